//! Workflows, with faults at every step.

mod faulted;
mod kubeconfig;
