//! The program `talos-sim`, started as others start it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running `talos-sim`, which is killed at the latest when this is dropped.
struct Sim {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Sim {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The rest of a line of its output that begins with `key` and a colon.
    fn line(&mut self, key: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(
                self.output.read_line(&mut line).unwrap(),
                0,
                "the program ended: {}",
                self.errors()
            );
            if let Some(value) = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(": ")) {
                return value.trim_end().to_owned();
            }
        }
    }

    /// Everything it says on standard error, once it has ended.
    fn errors(&mut self) -> String {
        let mut text = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_talos-sim"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

/// What a start that fails says.
fn failure(arguments: &[&str]) -> String {
    let output = command(arguments).output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "nothing is announced");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn it_announces_a_talosconfig_and_endpoints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talosconfig");
    let mut sim = Sim::start(&[
        "--nodes",
        "2+1",
        "--name",
        "ci",
        "--talosconfig-out",
        path.to_str().unwrap(),
    ]);
    assert_eq!(sim.line("talosconfig"), path.to_str().unwrap());
    let endpoints = sim.line("endpoints");
    assert_eq!(endpoints.split(',').count(), 2);
    let config = text(&path);
    assert!(config.starts_with("context: ci\n") && config.ends_with('\n'));
    for endpoint in endpoints.split(',') {
        assert!(config.contains(endpoint));
        std::net::TcpStream::connect(endpoint).unwrap();
    }
}

#[test]
fn it_serves_kubernetes_where_its_kubeconfig_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, "an older one").unwrap();
    let mut sim = Sim::start(&["--kubernetes", "--kubeconfig-out", path.to_str().unwrap()]);
    let url = sim.line("kubernetes");
    assert!(text(&path).contains(&format!("server: {url}\n")));
    std::net::TcpStream::connect(url.strip_prefix("https://").unwrap()).unwrap();
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(
        folder.path().read_dir().unwrap().count(),
        1,
        "nothing else is left"
    );
    let error = failure(&["--kubeconfig-out", "/nowhere/at/all/kubeconfig"]);
    assert!(error.contains("writing /nowhere/at/all/kubeconfig: "), "{error}");
}

#[test]
fn machines_in_maintenance_come_with_fingerprints_and_configurations() {
    let folder = tempfile::tempdir().unwrap();
    let mut sim = Sim::start(&[
        "--nodes",
        "1+2",
        "--maintenance",
        "--machine-configs-out",
        folder.path().to_str().unwrap(),
    ]);
    let fingerprints: Vec<_> = ["10.5.0.2", "10.5.0.3", "10.5.0.4"]
        .map(|name| sim.line(&format!("fingerprint of {name}")))
        .into();
    assert!(fingerprints.iter().all(|fingerprint| fingerprint.len() == 44));
    assert_ne!(fingerprints[0], fingerprints[1]);
    for role in ["controlplane", "worker"] {
        let config = text(&folder.path().join(format!("{role}.yaml")));
        assert!(config.contains(&format!("\n    type: {role}\n")), "{config}");
    }
}

#[cfg(unix)]
#[test]
fn it_stops_in_good_order_on_sigterm_and_takes_its_folder_along() {
    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::TERM, Signal::INT] {
        let mut sim = Sim::start(&["--nodes", "1+1"]);
        let talosconfig = PathBuf::from(sim.line("talosconfig"));
        let endpoint = sim.line("endpoints");
        assert!(talosconfig.exists());
        kill_process(Pid::from_child(&sim.child), signal).unwrap();
        let status = sim.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", sim.errors());
        assert!(!talosconfig.exists());
        std::net::TcpStream::connect(endpoint).unwrap_err();
    }
}

#[test]
fn an_occupied_port_is_named() {
    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let error = failure(&["--listen", "shared", "--ports", &port]);
    assert!(
        error.contains(&format!("listening on 127.0.0.1:{port} failed: ")),
        "{error}"
    );
}

#[test]
fn a_second_start_on_the_same_ports_is_refused() {
    // A port that is free now and that nobody else is given meanwhile, as far as that can be had.
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let arguments = ["--listen", "shared", "--ports", &port];
    let mut first = Sim::start(&arguments);
    assert_eq!(first.line("endpoints"), format!("127.0.0.1:{port}"));
    let error = failure(&arguments);
    assert!(
        error.contains(&format!("listening on 127.0.0.1:{port} failed: ")),
        "{error}"
    );
}

#[test]
fn a_wrong_scenario_is_pointed_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scenario.yaml");
    std::fs::write(&path, "cluster:\n  nodes: 3+1\n  speed: fast\n").unwrap();
    let error = failure(&["--scenario", path.to_str().unwrap()]);
    assert!(error.contains("scenario.yaml: line 3, column 3: "), "{error}");
    assert!(error.contains("speed"), "{error}");
    let missing = folder.path().join("missing.yaml");
    let error = failure(&["--scenario", missing.to_str().unwrap()]);
    assert!(
        error.contains("reading ") && error.contains("missing.yaml failed: "),
        "{error}"
    );
    std::fs::write(
        &path,
        "faults:\n  - on: node\n    node: 10.5.0.99\n    hang: true\n",
    )
    .unwrap();
    let error = failure(&["--scenario", path.to_str().unwrap()]);
    assert!(
        error.contains("line 3, column 11: the cluster has no node called 10.5.0.99"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn sockets_are_in_folders_of_their_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "--nodes",
        "1+1",
        "--unix-sockets",
        folder.path().to_str().unwrap(),
    ];
    let mut sim = Sim::start(&arguments);
    sim.line("talosconfig");
    for node in ["10.5.0.2", "10.5.0.3"] {
        let socket = folder.path().join(node).join("machine.sock");
        std::os::unix::net::UnixStream::connect(socket).unwrap();
    }
    let error = failure(&arguments);
    assert!(error.contains("machine.sock failed: "), "{error}");
}
