//! Files of a node and its kubeconfig.

use std::io::Read as _;

use talos_proto::machine::ReadRequest;
use talos_testkit::{MemoryInfo, SimCluster};
use tonic::{Code, Status};

use crate::wire::{Wire, concat, with};
use crate::{four_nodes, single};

async fn read(wire: &Wire, path: &str) -> Result<Vec<u8>, Status> {
    let request = ReadRequest {
        path: path.to_owned(),
    };
    concat(wire.machine().read(request).await?.into_inner()).await
}

#[tokio::test]
async fn files_reflect_the_state_of_the_node() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.set_memory(MemoryInfo::new(1000, 400));
    node.set_load([0.5, 1.25, 2.0]);
    node.set_talos_version("v1.14.2");
    let text = async |path: &str| String::from_utf8(read(&wire, path).await.unwrap()).unwrap();
    assert_eq!(
        text("/proc/sys/kernel/random/boot_id").await,
        format!("{}\n", node.boot_id())
    );
    let meminfo = text("/proc/meminfo").await;
    assert!(
        meminfo.starts_with("MemTotal:           1000 kB\nMemFree:             400 kB\n"),
        "{meminfo}"
    );
    assert!(text("/proc/loadavg").await.starts_with("0.50 1.25 2.00 "));
    assert!(
        text("/etc/os-release")
            .await
            .contains("\nPRETTY_NAME=\"Talos (v1.14.2)\"\n")
    );
    assert_eq!(text("/etc/hostname").await, "sim-controlplane-1\n");
}

#[tokio::test]
async fn big_files_come_in_pieces() {
    let cluster = single().await;
    let node = cluster.node(0);
    let contents: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
    node.write_file("/var/lib/big", contents.clone());
    let wire = Wire::admin(&cluster, &node).await;
    assert_eq!(read(&wire, "/var/lib/big").await.unwrap(), contents);
    node.write_file("/var/lib/big", "");
    assert_eq!(read(&wire, "/var/lib/big").await.unwrap(), b"");
    assert!(node.remove_file("/var/lib/big"));
    assert_eq!(
        read(&wire, "/var/lib/big").await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn what_is_no_regular_file_cannot_be_read() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let cases = [
        (
            "/nothing",
            Code::NotFound,
            "stat /nothing: no such file or directory",
        ),
        ("", Code::NotFound, "stat : no such file or directory"),
        ("/etc", Code::Unknown, "path must be a regular file"),
        ("/", Code::Unknown, "path must be a regular file"),
    ];
    for (path, code, message) in cases {
        let status = read(&wire, path).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
}

#[tokio::test]
async fn the_kubeconfig_is_an_unfinished_archive_in_one_message() {
    let cluster = SimCluster::builder().cluster_name("prod").start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let mut stream = wire.machine().kubeconfig(()).await.unwrap().into_inner();
    let archive = stream.message().await.unwrap().unwrap().bytes;
    assert_eq!(stream.message().await.unwrap(), None, "one message");
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(archive.as_ref())
        .read_to_end(&mut tar)
        .unwrap();
    let (header, contents) = tar.split_at(512);
    let field = |range: std::ops::Range<usize>| {
        String::from_utf8(header[range].to_vec())
            .unwrap()
            .trim_matches(['\0', ' '])
            .to_owned()
    };
    assert_eq!(
        (field(0..100).as_str(), field(100..108).as_str()),
        ("kubeconfig", "0000600")
    );
    assert_eq!(
        usize::from_str_radix(&field(124..136), 8).unwrap(),
        contents.len(),
        "no padding, no end"
    );
    let mut blank = header.to_vec();
    blank[148..156].fill(b' ');
    let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
    assert_eq!(u32::from_str_radix(&field(148..156), 8).unwrap(), sum);
    let yaml = std::str::from_utf8(contents).unwrap();
    assert!(yaml.contains("\ncurrent-context: admin@prod\n"), "{yaml}");
    assert!(yaml.contains("\n    server: https://10.5.0.2:6443\n"), "{yaml}");
    for key in [
        "certificate-authority-data",
        "client-certificate-data",
        "client-key-data",
    ] {
        assert!(yaml.contains(&format!("    {key}: LS0t")), "{key}");
    }
}

#[tokio::test]
async fn workers_have_no_kubeconfig() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let status = wire
        .machine()
        .kubeconfig(with((), &[("node", "10.5.0.5")]))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(
        status.message(),
        "kubeconfig is only available on control plane nodes"
    );
}
