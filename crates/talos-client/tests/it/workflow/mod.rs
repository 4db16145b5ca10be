//! Workflows, with faults at every step.

mod bootstrap;
mod credentials;
mod etcd;
mod etcd_backup;
mod faulted;
mod health;
mod kubeconfig;
#[cfg(feature = "kube")]
mod kubernetes;
mod machine_config;
#[cfg(feature = "support-bundle")]
mod support;
mod track;
mod upgrade;
mod upgrade_node;
