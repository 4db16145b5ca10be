//! How much space folders take.

use talos_client::{ErrorKind, api::files::DiskUsageStream, proto::machine as proto};
use talos_testkit::SimFile;

use crate::support::{Sim, message};

const DISK_USAGE: &str = "/machine.MachineService/DiskUsage";

async fn sizes(mut stream: DiskUsageStream) -> Vec<(String, u64)> {
    let mut sizes = Vec::new();
    while let Some(usage) = stream.next_usage().await {
        let usage = usage.expect("a size");
        assert_eq!(usage.error(), None);
        sizes.push((usage.relative_path().to_owned(), usage.size()));
    }
    sizes
}

fn pairs(sizes: &[(&str, u64)]) -> Vec<(String, u64)> {
    sizes
        .iter()
        .map(|(path, size)| ((*path).to_owned(), *size))
        .collect()
}

// covers: machine.MachineService/DiskUsage
#[tokio::test]
async fn sizes_are_of_what_was_asked_for_and_as_deep() {
    let sim = Sim::start().await;
    let (node, simulated) = (sim.node(0), sim.cluster.node(0));
    simulated.put_file("/var/u/a/big", SimFile::made_up(1, 10_000));
    simulated.write_file("/var/u/a/x/small", "123");
    simulated.write_file("/var/u/b", "12");
    let usage = || node.disk_usage("/var/u");
    let alone = sizes(usage().send().await.expect("opened")).await;
    assert_eq!(alone, pairs(&[(".", 22_293)]), "with everything in it");
    let one = sizes(usage().depth(1).send().await.expect("opened")).await;
    assert_eq!(one, pairs(&[("a", 18_195), (".", 22_293)]));
    let large = usage().recursive().files(true).at_least(4100);
    let large = sizes(large.send().await.expect("opened")).await;
    assert_eq!(large, pairs(&[("a/big", 10_000), ("a", 18_195), (".", 22_293)]));
    let small = usage().recursive().files(true).at_most(3);
    let small = sizes(small.send().await.expect("opened")).await;
    assert_eq!(small, pairs(&[("a/x/small", 3), ("b", 2)]));

    let calls = sim.cluster.requests().of(DISK_USAGE);
    let requests: Vec<proto::DiskUsageRequest> = calls.iter().map(message).collect();
    let expected = |recursion_depth, all, threshold| proto::DiskUsageRequest {
        recursion_depth,
        all,
        threshold,
        paths: vec!["/var/u".to_owned()],
    };
    assert_eq!(
        requests,
        [
            expected(1, false, 0),
            expected(2, false, 0),
            expected(0, true, 4100),
            expected(0, true, -3),
        ]
    );
    let root = sizes(node.disk_usage("/").send().await.expect("opened")).await;
    assert_eq!(
        root.len(),
        1,
        "nodes count the first level below / as none: {root:?}"
    );
}

// covers: machine.MachineService/DiskUsage
#[tokio::test]
async fn a_path_that_is_not_there_is_an_item_and_a_relative_one_is_not_sent() {
    let sim = Sim::start().await;
    let node = sim.node(3);
    let mut stream = node.disk_usage("/no").send().await.expect("opened");
    let usage = stream.next_usage().await.expect("open").expect("an item");
    assert_eq!(usage.error(), Some("lstat /no: no such file or directory"));
    let _: proto::DiskUsageRequest = sim.received_by(3, DISK_USAGE);
    for path in ["", "var", "./var"] {
        let error = node.disk_usage(path).send().await.expect_err(path);
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidInput, 0),
            "{path:?}"
        );
    }
    assert_eq!(sim.cluster.requests().of(DISK_USAGE).len(), 1);
}
