//! The inside of a stand-in for Talos: what the init of a container does that is started as a node would be,
//! so that everything around a real cluster can be tested with an image of one small program.

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::{Listen, PlatformMode, SimCluster, SimError};

/// The port of `apid`.
const PORT: u16 = 50000;

/// Why a stand-in does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandInError {
    /// The machine configuration is missing or cannot be used.
    #[error("unusable machine configuration: {0}")]
    Config(&'static str),
    /// The machine configuration is no YAML.
    #[error("the machine configuration cannot be read: {0}")]
    Yaml(String),
    /// The simulator does not start.
    #[error("the simulator does not start")]
    Sim(#[from] SimError),
}

#[derive(Deserialize)]
struct Config {
    machine: Machine,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Machine {
    ca: Pair,
    #[serde(default, rename = "certSANs")]
    cert_sans: Vec<String>,
}

#[derive(Deserialize)]
struct Pair {
    crt: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    cluster_name: String,
}

/// Simulates one control plane node that is configured by `user_data`, the value of the environment variable
/// `USERDATA`: it has the authority and the names of the configuration, and listens on port 50000 of all
/// addresses. A worker has no authority, and there is no `trustd` to ask: it has no stand-in.
///
/// # Errors
///
/// [`StandInError`] when the configuration is no control plane's, or the port is in use.
pub async fn start_stand_in(user_data: &str) -> Result<SimCluster, StandInError> {
    let text = decoded(user_data).ok_or(StandInError::Config("USERDATA is no text in base64"))?;
    let options = serde_saphyr::options! { with_snippet: false };
    let config: Config = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| StandInError::Yaml(error.to_string()))?;
    let ca = config.machine.ca;
    if ca.key.is_empty() {
        return Err(StandInError::Config("a worker has no key of the authority"));
    }
    let broken = StandInError::Config("machine.ca is no PEM text in base64");
    let (Some(certificate), Some(key)) = (decoded(&ca.crt), decoded(&ca.key)) else {
        return Err(broken);
    };
    let builder = SimCluster::builder()
        .cluster_name(config.cluster.cluster_name)
        .authority(certificate, key)
        .cert_sans(config.machine.cert_sans)
        .platform(PlatformMode::Container)
        .listen(Listen::Ip(Ipv4Addr::UNSPECIFIED.into()))
        .first_port(PORT);
    Ok(builder.start().await?)
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_configuration_of_a_control_plane_is_refused() {
        let worker =
            "machine:\n    ca:\n        crt: YQ==\n        key: \"\"\ncluster:\n    clusterName: t\n";
        let cases = [
            (
                "*".to_owned(),
                "unusable machine configuration: USERDATA is no text in base64",
            ),
            (
                STANDARD.encode(worker),
                "unusable machine configuration: a worker has no key of the authority",
            ),
            (
                STANDARD.encode(worker.replace("\"\"", "'*'")),
                "unusable machine configuration: machine.ca is no PEM text in base64",
            ),
            (
                STANDARD.encode(worker.replace("\"\"", "YQ==")),
                "the simulator does not start",
            ),
        ];
        for (user_data, expected) in cases {
            let error = start_stand_in(&user_data).await.unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let error = start_stand_in(&STANDARD.encode("machine: [")).await.unwrap_err();
        assert!(matches!(error, StandInError::Yaml(_)), "{error}");
    }
}
