//! Which endpoint the program is about, and who signs.

use std::{env, error::Error, path::PathBuf};

use clap::Args;
use talos_client::{
    Client,
    config::{Auth, Context, Talosconfig},
    siderov1::SideroV1Config,
};
use talos_testkit::{SimCluster, omni::SimOmni};

use crate::{ACCOUNT, ROLE};

/// Names the endpoint where there is no talosconfig.
const ENDPOINT: &str = "OMNI_ENDPOINT";
/// Hold the key of a service account; the first one that is set counts.
const KEYS: [&str; 2] = ["SIDERO_SERVICE_ACCOUNT_KEY", "OMNI_SERVICE_ACCOUNT_KEY"];

#[derive(Debug, Args)]
// The name of the struct, which is the default, is that of the program's arguments as well.
#[group(id = "place")]
pub(crate) struct Arguments {
    /// Use the endpoint of this talosconfig, as Omni hands it out for a cluster
    #[arg(long, value_name = "FILE")]
    talosconfig: Option<PathBuf>,
    /// Use this context of the talosconfig, instead of its current one
    #[arg(long, value_name = "NAME", requires = "talosconfig")]
    context: Option<String>,
    /// The cluster at the endpoint that the variable OMNI_ENDPOINT names
    #[arg(long, value_name = "NAME", conflicts_with = "talosconfig")]
    cluster: Option<String>,
}

/// An endpoint that wants signatures.
pub(crate) struct Place {
    pub(crate) title: String,
    pub(crate) config: SideroV1Config,
    pub(crate) simulated: Option<Simulated>,
    talosconfig: Talosconfig,
    context: Option<String>,
}

/// It ends when this is dropped.
pub(crate) struct Simulated {
    pub(crate) omni: SimOmni,
    /// Another one, in front of the same cluster, with keys of its own.
    pub(crate) elsewhere: SimOmni,
    _cluster: SimCluster,
}

impl Arguments {
    pub(crate) async fn find(self) -> Result<Place, Box<dyn Error>> {
        // `from_env` takes the key of a service account from the environment, else that of the user, which talosctl
        // makes.
        let (config, context) = (SideroV1Config::from_env(), self.context);
        let place = |title, talosconfig| Place {
            title,
            config,
            simulated: None,
            talosconfig,
            context,
        };
        match (self.talosconfig, env::var(ENDPOINT)) {
            (Some(path), _) => {
                let title = format!("cluster of {}", path.display());
                Ok(place(title, Talosconfig::load(path)?))
            }
            (None, Ok(endpoint)) => {
                let cluster = self.cluster.ok_or("which cluster? name it with --cluster")?;
                // Without a talosconfig nobody says which user that would be.
                if KEYS.into_iter().all(|name| env::var_os(name).is_none()) {
                    return Err(format!("who signs? set {}, or name a --talosconfig", KEYS[1]).into());
                }
                let title = format!("cluster {cluster} through {endpoint}");
                Ok(place(title, talosconfig_for(&endpoint, &cluster)))
            }
            (None, Err(_)) => simulated().await,
        }
    }
}

impl Place {
    /// A client whose calls are signed as `config` says.
    pub(crate) fn client(&self, config: SideroV1Config) -> talos_client::Result<Client> {
        let builder = Client::builder()
            .talosconfig(self.talosconfig.clone())
            .siderov1(config);
        match &self.context {
            Some(name) => builder.context(name).build(),
            None => builder.build(),
        }
    }
}

/// What Omni's own talosconfig says, but for the user.
fn talosconfig_for(endpoint: &str, cluster: &str) -> Talosconfig {
    let mut context = Context::new([endpoint]);
    // Calls are for this cluster of all that are behind the endpoint.
    context.cluster = Some(cluster.to_owned());
    // A service account goes before the identity.
    context.auth = Some(Auth::SideroV1 {
        identity: String::new(),
    });
    let mut talosconfig = Talosconfig::new();
    cluster.clone_into(&mut talosconfig.context);
    talosconfig.contexts.insert(cluster.to_owned(), context);
    talosconfig
}

async fn simulated() -> Result<Place, Box<dyn Error>> {
    let cluster = SimCluster::builder().control_planes(3).workers(2).start().await?;
    let omni = SimOmni::in_front_of(&cluster)?;
    let elsewhere = SimOmni::in_front_of(&cluster)?;
    let title = format!(
        "simulated cluster {} through {}, signed by {ACCOUNT}",
        cluster.name(),
        omni.endpoint()
    );
    Ok(Place {
        title,
        config: SideroV1Config::new().service_account_key(simulated_key(&omni)?),
        talosconfig: Talosconfig::parse(omni.talosconfig("somebody@example.org"))?,
        context: None,
        simulated: Some(Simulated {
            omni,
            elsewhere,
            _cluster: cluster,
        }),
    })
}

/// The key that the endpoint knows the account by.
pub(crate) fn simulated_key(omni: &SimOmni) -> Result<String, Box<dyn Error>> {
    Ok(omni.service_account(ACCOUNT, [ROLE])?)
}
