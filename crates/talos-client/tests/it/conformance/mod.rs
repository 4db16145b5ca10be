//! One suite for simulated and for real clusters: what holds on every Talos cluster, seen by a client.
//!
//! Every case is a function of a [`Subject`] and is run twice: on a simulated cluster, always, and on a real one, where
//! there is one. A real one is named by a talosconfig in the environment variable `TALOS_CONFORMANCE_TALOSCONFIG`, whose
//! current context is for an administrator and lists the cluster's machines under `nodes`, control plane nodes first.
//!
//! ```console
//! TALOS_CONFORMANCE_TALOSCONFIG=~/.talos/config cargo test -p talos-client --all-features --test it -- --ignored conformance::real::
//! ```
//!
//! Cases that change something put it back, and are in a module of their own, `real_changes`.

mod calls;
mod changes;
mod credentials;
mod failures;
mod resources;
mod snapshots;
mod streams;
mod subject;

use subject::Subject;

macro_rules! suite {
    (looks { $($area:ident::$case:ident,)+ } changes { $($changing_area:ident::$changing:ident,)+ }) => {
        mod simulated {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$area::$case(&super::Subject::simulated().await).await;
                }
            )+
            $(
                #[tokio::test]
                async fn $changing() {
                    super::$changing_area::$changing(&super::Subject::simulated().await).await;
                }
            )+
        }

        mod real {
            $(
                #[tokio::test]
                #[ignore = "needs a Talos cluster"]
                async fn $case() {
                    super::$area::$case(&super::Subject::real().await).await;
                }
            )+
        }

        mod real_changes {
            $(
                #[tokio::test]
                #[ignore = "needs a Talos cluster that may be changed"]
                async fn $changing() {
                    super::$changing_area::$changing(&super::Subject::real().await).await;
                }
            )+
        }
    };
}

suite! {
    looks {
        calls::every_node_answers_for_itself,
        calls::all_nodes_of_a_cluster_run_a_release,
        calls::services_of_a_node_run,
        calls::clocks_agree_with_a_time_server,
        calls::controllers_depend_on_resources,
        calls::the_cluster_is_healthy,
        snapshots::memory_and_load_are_possible,
        snapshots::processes_have_a_first_one,
        snapshots::mounts_have_one_for_data,
        snapshots::cpus_are_counted_alike,
        snapshots::interfaces_have_a_loopback,
        snapshots::disks_count_what_they_did,
        snapshots::the_api_listens,
        snapshots::disks_are_block_devices,
        failures::a_missing_file_is_not_found,
        failures::a_folder_is_no_file,
        failures::an_unknown_log_is_an_error_of_the_node,
        failures::workers_do_not_do_what_control_planes_do,
        failures::an_unknown_node_is_unreachable_and_others_are_not,
        failures::an_unknown_disk_is_not_found,
        failures::services_that_may_not_be_stopped_are_not,
        resources::every_machine_runs_and_is_ready,
        resources::members_are_the_machines_of_the_cluster,
        resources::a_resource_that_is_not_there_is_not_found,
        streams::a_file_is_read_whole,
        streams::the_last_lines_of_a_log_are_as_many_as_asked_for,
        streams::the_kernel_has_said_something,
        credentials::a_reader_may_look_and_no_more,
        credentials::a_kubeconfig_is_for_the_cluster,
    }
    changes {
        changes::kubelet_is_restarted,
    }
}
