//! Runs an example program as a user would.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// Whether it succeeded, its output, and what it said beside.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> (bool, String, String) {
    // Cargo builds the examples of a package together with its tests.
    let mut path: PathBuf = env::current_exe().expect("a path");
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{program}{}", env::consts::EXE_SUFFIX));
    let mut command = Command::new(path);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("RUST_LOG")
        .env_remove("TALOSCONFIG");
    let output: Output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("not panicked")
        .expect("the program is built beside its tests");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}
