//! What is refused, and what is traced.

use std::{
    fs, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use talos_client::{
    Client, ClientBuilder,
    config::{ReloadError, Talosconfig},
};

use super::{OFTEN, cluster, loaded, reload_error};

#[tokio::test]
async fn what_cannot_be_watched_is_refused_when_the_client_is_built() {
    let cluster = cluster().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    fs::write(&path, cluster.talosconfig()).expect("written");
    let from_memory = || {
        let talosconfig = Talosconfig::parse(cluster.talosconfig()).expect("valid");
        Client::builder().talosconfig(talosconfig)
    };
    let without = || Client::builder().endpoints(["10.5.0.2"]).ca_pem(cluster.ca_pem());
    let tls = from_memory().build().expect("a client").raw();
    let tls = tls.tls().expect("encrypted").clone();
    for (builder, expected) in [
        (
            loaded(&path).watch_talosconfig(Duration::ZERO),
            ReloadError::ZeroInterval,
        ),
        (from_memory().watch_talosconfig(OFTEN), ReloadError::NoFile),
        (without().watch_talosconfig(OFTEN), ReloadError::NoFile),
        (
            loaded(&path).tls(tls).watch_talosconfig(OFTEN),
            ReloadError::CredentialsGiven,
        ),
    ] {
        let error = builder.build().expect_err("cannot be watched");
        assert_eq!(*reload_error(&error), expected);
    }
    // Without watching all of these are fine, but have nothing to read again.
    for client in [from_memory().build(), without().build()] {
        let client = client.expect("a client");
        let error = client.reload().await.expect_err("no file");
        assert_eq!(*reload_error(&error), ReloadError::NoFile);
    }
    // Outside a runtime there is nothing to watch with.
    let outside = std::thread::spawn(move || {
        loaded(&path)
            .watch_talosconfig(ClientBuilder::DEFAULT_WATCH_INTERVAL)
            .build()
    });
    let error = outside.join().expect("no panic").expect_err("no runtime");
    assert_eq!(*reload_error(&error), ReloadError::NoRuntime);
}

#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<u8>>>);

impl io::Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_lasting_problem_is_warned_of_once_and_no_secret_is_traced() {
    let traced = Traced::default();
    let writer = traced.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process, since files are read on threads of the runtime's; other tests are told by their folders.
    tracing::subscriber::set_global_default(subscriber).expect("the only one");

    let cluster = cluster().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    let next = cluster.talosconfig_for_roles(["os:reader"]);
    fs::write(&path, cluster.talosconfig()).expect("written");
    let client = loaded(&path).build().expect("a client");
    for text in [
        None,
        None,
        Some("contexts: 5"),
        Some("contexts: 5"),
        None,
        Some(&next),
        Some(&next),
    ] {
        match text {
            None => drop(fs::remove_file(&path)),
            Some(text) => fs::write(&path, text).expect("written"),
        }
        // What comes of it is what is traced.
        let _ = client.reload().await;
    }
    client.version().await.expect("answered");

    let everything = String::from_utf8(traced.0.lock().expect("not poisoned").clone()).expect("text");
    let about = |line: &&str| line.contains("talosconfig=") && line.contains(path.to_str().expect("utf-8"));
    let levels: Vec<_> = everything
        .lines()
        .filter(about)
        .map(|line| line.split_whitespace().nth(1).expect("a level"))
        .collect();
    assert_eq!(
        levels,
        ["WARN", "DEBUG", "WARN", "DEBUG", "WARN", "INFO", "INFO"],
        "{everything}"
    );
    let key = Talosconfig::parse(&next).expect("valid").contexts["sim"]
        .key
        .clone();
    assert!(!everything.contains(&key.expect("a key").expose()[20..60]));
}
