//! How to reach the server under the measurement, which is a child process.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use talos_client::Client;
use talos_client::config::{Context, Talosconfig};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// What a server prints after its talosconfig.
pub const END: &str = "# end";

/// A server in a process of its own, and how to reach it. The process ends with this value.
#[derive(Debug)]
pub struct Server {
    _process: Option<Child>,
    talosconfig: Talosconfig,
}

/// Certificates and key as PEM.
#[derive(Clone)]
pub struct Credentials {
    pub ca: Vec<u8>,
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl Server {
    /// Starts this program again, as the server that `arguments` name.
    pub async fn start(arguments: &[&str]) -> Result<Self> {
        let program = std::env::current_exe().context("looking for this program")?;
        let mut process = Command::new(program)
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the server")?;
        let output = process.stdout.take().context("the server has an output")?;
        let mut lines = BufReader::new(output).lines();
        let mut text = String::new();
        loop {
            let line = lines.next_line().await?.context("the server ended early")?;
            if line == END {
                break;
            }
            text.push_str(&line);
            text.push('\n');
        }
        Ok(Self {
            _process: Some(process),
            talosconfig: Talosconfig::parse(text)?,
        })
    }

    /// One that runs already.
    pub fn at(talosconfig: &str) -> Result<Self> {
        Ok(Self {
            _process: None,
            talosconfig: Talosconfig::parse(talosconfig)?,
        })
    }

    pub fn client(&self) -> Result<Client> {
        Ok(Client::builder().talosconfig(self.talosconfig.clone()).build()?)
    }

    fn context(&self) -> Result<&Context> {
        Ok(self.talosconfig.select(None)?.1)
    }

    /// The first endpoint.
    pub fn endpoint(&self) -> Result<&str> {
        let endpoints = &self.context()?.endpoints;
        endpoints.first().map(String::as_str).context("no endpoint")
    }

    pub fn credentials(&self) -> Result<Credentials> {
        let context = self.context()?;
        let decode = |text: Option<&str>| -> Result<Vec<u8>> {
            Ok(STANDARD.decode(text.context("the talosconfig is not complete")?)?)
        };
        let key = decode(context.key.as_ref().map(|key| key.expose()))?;
        // The label of Talos is not known to rustls; the contents are what the usual one promises.
        let key = String::from_utf8(key)?.replace("ED25519 PRIVATE KEY", "PRIVATE KEY");
        ensure!(key.contains("-----BEGIN PRIVATE KEY"), "not an Ed25519 key");
        Ok(Credentials {
            ca: decode(context.ca.as_deref())?,
            certificate: decode(context.crt.as_deref())?,
            key: key.into_bytes(),
        })
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}
