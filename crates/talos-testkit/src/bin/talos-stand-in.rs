//! The init of an image that stands in for Talos, see docs/testing-real-clusters.md. It is configured as a node
//! in a container is, by the environment variable `USERDATA`, and ends on SIGTERM.

use std::error::Error;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "the log of a container")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the log of a container")]
async fn run() -> Result<(), Box<dyn Error>> {
    let user_data = std::env::var("USERDATA").map_err(|_| "USERDATA is not set")?;
    let cluster = talos_testkit::real::start_stand_in(&user_data).await?;
    println!("{} serves the Talos API", cluster.name());
    terminated().await?;
    println!("stopping");
    cluster.shutdown().await;
    Ok(())
}

#[cfg(unix)]
async fn terminated() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    // As process 1 it gets no signal that it has no handler for.
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

#[cfg(not(unix))]
async fn terminated() -> std::io::Result<()> {
    std::future::pending().await
}
