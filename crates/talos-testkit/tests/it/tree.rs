//! The file tree: lists, sizes, archives.

use std::collections::BTreeMap;
use std::io::Read as _;

use talos_proto::machine::list_request::Type;
use talos_proto::machine::{
    CopyRequest, DiskUsageInfo, DiskUsageRequest, FileInfo, ListRequest, ReadRequest,
};
use talos_testkit::{SimCluster, SimFile, SimProcess};
use tonic::{Code, Status};

use crate::single;
use crate::wire::{Wire, all, concat, failure};

async fn list(wire: &Wire, request: ListRequest) -> Result<Vec<FileInfo>, Status> {
    all(wire.machine().list(request).await?.into_inner()).await
}

fn below(root: &str, recursion_depth: i32) -> ListRequest {
    ListRequest {
        root: root.to_owned(),
        recurse: true,
        recursion_depth,
        ..ListRequest::default()
    }
}

fn names(files: &[FileInfo]) -> Vec<&str> {
    files.iter().map(|file| file.relative_name.as_str()).collect()
}

/// A node with a few files below `/var/t`, and a link to that.
async fn prepared() -> SimCluster {
    let cluster = single().await;
    let node = cluster.node(0);
    node.write_file("/var/t/a/x/deep", "12345");
    node.write_file("/var/t/a-b", "1");
    node.put_file(
        "/var/t/b",
        SimFile::regular("12")
            .mode(0o4750)
            .owner(50, 60)
            .xattr("user.k", "v"),
    );
    node.put_file("/var/t/l", SimFile::symlink("a/x"));
    node.put_file("/var/t/z", SimFile::char_device(1, 3).mode(0o666));
    node.put_file("/link", SimFile::symlink("/var/t"));
    cluster
}

// covers: machine.MachineService/List
#[tokio::test]
async fn lists_have_the_root_first_and_names_sorted() {
    let cluster = prepared().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    for root in ["/var/t", "/var/t/", "var/t", "/link"] {
        let request = ListRequest {
            root: root.to_owned(),
            ..ListRequest::default()
        };
        let files = list(&wire, request).await.unwrap();
        assert_eq!(names(&files), [".", "a", "a-b", "b", "l", "z"], "{root}");
        assert_eq!(files[0].name, "/var/t");
    }
    let files = list(&wire, below("/var/t", 0)).await.unwrap();
    assert_eq!(names(&files), [".", "a", "a/x", "a/x/deep", "a-b", "b", "l", "z"]);
    let files = list(&wire, below("/var/t", 2)).await.unwrap();
    assert_eq!(names(&files), [".", "a", "a/x", "a-b", "b", "l", "z"]);
    let one = list(&wire, below("/var/t/b", 0)).await.unwrap();
    assert_eq!(names(&one), ["b"]);
    let top = list(&wire, ListRequest::default()).await.unwrap();
    assert!(names(&top).contains(&"etc") && !names(&top).contains(&"etc/hostname"));
    let deeper = list(&wire, below("/", 1)).await.unwrap();
    assert!(
        names(&deeper).contains(&"etc/hostname"),
        "one level more below the root"
    );
    let missing = failure(list(&wire, below("/no", 0)).await);
    assert_eq!(
        missing,
        (Code::Unknown, "lstat /no: no such file or directory".to_owned())
    );
}

// covers: machine.MachineService/List
#[tokio::test]
async fn entries_have_gos_mode_bits() {
    let cluster = prepared().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let request = ListRequest {
        report_xattrs: true,
        ..below("/var/t", 1)
    };
    let files = list(&wire, request).await.unwrap();
    let [root, _, _, file, link, device] = files.as_slice() else {
        panic!("{files:?}")
    };
    assert_eq!((root.mode, root.is_dir), (1 << 31 | 0o755, true));
    assert_eq!(
        (file.mode, file.size, file.uid, file.gid),
        (1 << 23 | 0o750, 2, 50, 60)
    );
    assert_eq!(
        (file.xattrs[0].name.as_str(), &file.xattrs[0].data[..]),
        ("user.k", b"v".as_slice())
    );
    assert_eq!((link.mode, link.link.as_str()), (1 << 27 | 0o777, "a/x"));
    assert_eq!(device.mode, 1 << 26 | 1 << 21 | 0o666);
    let plain = list(&wire, below("/var/t", 1)).await.unwrap();
    assert!(
        plain.iter().all(|file| file.xattrs.is_empty()),
        "only when asked for"
    );
    let labelled = ListRequest {
        report_xattrs: true,
        ..below("/usr/bin/runc", 0)
    };
    let label = &list(&wire, labelled).await.unwrap()[0].xattrs[0];
    assert_eq!(label.name, "security.selinux");
    assert!(label.data.ends_with(b"\0"));
}

// covers: machine.MachineService/List
#[tokio::test]
async fn what_a_type_filter_takes_out_is_walked_all_the_same() {
    let cluster = prepared().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let of = async |kind: Type| {
        let request = ListRequest {
            types: vec![kind.into()],
            ..below("/var/t", 1)
        };
        let files = list(&wire, request).await.unwrap();
        files
            .into_iter()
            .map(|file| file.relative_name)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(Type::Regular).await, ["a/x/deep", "a-b", "b"]);
    assert_eq!(of(Type::Directory).await, [".", "a"]);
    assert_eq!(of(Type::Symlink).await, ["l"]);
}

// covers: machine.MachineService/List
// covers: machine.MachineService/Read
#[tokio::test]
async fn proc_shows_the_processes() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let read = async |path: &str| {
        let request = ReadRequest {
            path: path.to_owned(),
        };
        let stream = wire.machine().read(request).await?.into_inner();
        concat(stream)
            .await
            .map(|bytes| String::from_utf8(bytes).unwrap())
    };
    assert_eq!(read("/proc/1/comm").await.unwrap(), "init\n");
    assert!(read("/proc/self/mounts").await.unwrap().contains(" /var xfs "));
    let etcd = node
        .processes()
        .into_iter()
        .find(|process| process.command == "etcd")
        .unwrap();
    assert_eq!(read(&format!("/proc/{}/comm", etcd.pid)).await.unwrap(), "etcd\n");
    node.set_processes([SimProcess::new(77, "/bin/mine")]);
    assert_eq!(read("/proc/77/comm").await.unwrap(), "mine\n");
    assert_eq!(read("/proc/1/comm").await.unwrap_err().code(), Code::NotFound);
    let files = list(&wire, below("/proc/77", 1)).await.unwrap();
    assert!(names(&files).contains(&"exe"), "{:?}", names(&files));
    assert!(
        files
            .iter()
            .all(|file| file.is_dir || file.size == 0 || !file.link.is_empty())
    );
    let uptime = read("/proc/uptime").await.unwrap();
    assert!(
        uptime.split(' ').next().unwrap().parse::<f64>().unwrap() >= 600.0,
        "{uptime}"
    );
    assert_eq!(read("/sys/block/vda/size").await.unwrap(), "20971520\n");
}

async fn usage(wire: &Wire, request: DiskUsageRequest) -> Vec<DiskUsageInfo> {
    all(wire.machine().disk_usage(request).await.unwrap().into_inner())
        .await
        .unwrap()
}

fn sizes(items: &[DiskUsageInfo]) -> Vec<(&str, i64)> {
    items
        .iter()
        .map(|item| (item.relative_name.as_str(), item.size))
        .collect()
}

// covers: machine.MachineService/DiskUsage
#[tokio::test]
async fn sizes_come_children_first_and_include_everything() {
    let cluster = single().await;
    let node = cluster.node(0);
    node.put_file("/var/u/a/big", SimFile::made_up(1, 10_000));
    node.write_file("/var/u/a/x/small", "123");
    node.write_file("/var/u/b", "12");
    let wire = Wire::with_roles(&cluster, &node, &["os:reader"]).await;
    let base = DiskUsageRequest {
        paths: vec!["/var/u".to_owned()],
        ..DiskUsageRequest::default()
    };
    let directories = usage(&wire, base.clone()).await;
    let expected = [("a/x", 4099), ("a", 18_195), (".", 22_293)];
    assert_eq!(sizes(&directories), expected);
    let everything = DiskUsageRequest {
        all: true,
        ..base.clone()
    };
    let items = usage(&wire, everything.clone()).await;
    let expected = [
        ("a/big", 10_000),
        ("a/x/small", 3),
        ("a/x", 4099),
        ("a", 18_195),
        ("b", 2),
        (".", 22_293),
    ];
    assert_eq!(sizes(&items), expected);
    let shallow = DiskUsageRequest {
        recursion_depth: 1,
        ..everything.clone()
    };
    assert_eq!(
        sizes(&usage(&wire, shallow).await),
        [(".", 22_293)],
        "the root alone"
    );
    let large = DiskUsageRequest {
        threshold: 4100,
        ..everything.clone()
    };
    assert_eq!(
        sizes(&usage(&wire, large).await),
        [("a/big", 10_000), ("a", 18_195), (".", 22_293)]
    );
    let small = DiskUsageRequest {
        threshold: -3,
        ..everything
    };
    assert_eq!(sizes(&usage(&wire, small).await), [("a/x/small", 3), ("b", 2)]);
    let slash = DiskUsageRequest {
        recursion_depth: 1,
        paths: vec!["/".to_owned()],
        ..DiskUsageRequest::default()
    };
    let items = usage(&wire, slash).await;
    assert!(
        items.iter().any(|item| item.relative_name == "var"),
        "the first level counts as 0 there"
    );
    assert!(!items.iter().any(|item| item.relative_name == "var/u"));
}

// covers: machine.MachineService/DiskUsage
#[tokio::test]
async fn only_the_first_path_that_is_there_is_looked_at() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let request = DiskUsageRequest {
        paths: ["/no", "/etc/kubernetes", "/usr"].map(str::to_owned).to_vec(),
        ..DiskUsageRequest::default()
    };
    let items = usage(&wire, request).await;
    assert_eq!(items[0].error, "lstat /no: no such file or directory");
    let names: Vec<_> = items[1..].iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["/etc/kubernetes/manifests", "/etc/kubernetes"]);
}

#[expect(deprecated, reason = "older nodes report errors there")]
async fn copy(wire: &Wire, root_path: &str) -> (Vec<u8>, Result<(), Status>) {
    let request = CopyRequest {
        root_path: root_path.to_owned(),
    };
    let mut stream = match wire.machine().copy(request).await {
        Ok(stream) => stream.into_inner(),
        Err(status) => return (Vec::new(), Err(status)),
    };
    let mut bytes = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(piece)) => {
                assert!(piece.bytes.len() <= 1024);
                if let Some(metadata) = piece.metadata {
                    return (bytes, Err(Status::aborted(metadata.error)));
                }
                bytes.extend_from_slice(&piece.bytes);
            }
            Ok(None) => return (bytes, Ok(())),
            Err(status) => return (bytes, Err(status)),
        }
    }
}

/// The entries of an archive: kind, size and contents or target by name, read by a few lines of its own.
fn entries(archive: &[u8]) -> BTreeMap<String, (u8, Vec<u8>)> {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(archive)
        .read_to_end(&mut tar)
        .unwrap();
    assert_eq!(tar.len() % 512, 0);
    let mut entries = BTreeMap::new();
    let mut rest = tar.as_slice();
    let mut long_name = None;
    while rest.len() > 1024 {
        let (header, after) = rest.split_at(512);
        let text = |range: std::ops::Range<usize>| {
            let field = header[range].split(|byte| *byte == 0).next().unwrap();
            String::from_utf8(field.to_vec()).unwrap()
        };
        let size = usize::from_str_radix(text(124..136).trim(), 8).unwrap();
        let contents = after[..size].to_vec();
        rest = &after[size.next_multiple_of(512)..];
        match header[156] {
            b'x' => {
                let record = String::from_utf8(contents).unwrap();
                let name = record.split_once("path=").unwrap().1.trim_end().to_owned();
                long_name = Some(name);
            }
            b'2' => {
                entries.insert(text(0..100), (b'2', text(157..257).into_bytes()));
            }
            kind => {
                let name = long_name.take().unwrap_or_else(|| text(0..100));
                entries.insert(name, (kind, contents));
            }
        }
    }
    assert_eq!(rest, [0; 1024], "two empty blocks at the end");
    entries
}

// covers: machine.MachineService/Copy
#[tokio::test]
async fn a_copy_is_a_compressed_archive_of_the_tree() {
    let cluster = prepared().await;
    let node = cluster.node(0);
    let long = "n".repeat(150);
    node.write_file(&format!("/var/t/{long}"), "long");
    node.put_file("/var/t/big", SimFile::made_up(3, 100_000));
    let wire = Wire::admin(&cluster, &node).await;
    let (archive, end) = copy(&wire, "/link").await;
    end.unwrap();
    let entries = entries(&archive);
    let names: Vec<_> = entries.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "a-b",
            "a/",
            "a/x/",
            "a/x/deep",
            "b",
            "big",
            "l",
            long.as_str(),
            "z"
        ]
    );
    assert_eq!(entries["a/x/deep"], (b'0', b"12345".to_vec()));
    assert_eq!(entries["l"], (b'2', b"a/x".to_vec()));
    assert_eq!(entries[&long].1, b"long");
    assert_eq!(entries["big"].1, node.read_file("/var/t/big").unwrap());
    assert_eq!((entries["a/"].0, entries["z"].0), (b'5', b'3'));
    let (archive, end) = copy(&wire, "/var/t/b").await;
    end.unwrap();
    assert_eq!(super::tree::entries(&archive).keys().collect::<Vec<_>>(), ["b"]);
    let (_, relative) = copy(&wire, "var").await;
    assert_eq!(
        failure(relative),
        (Code::Unknown, "path is not absolute var".to_owned())
    );
    let (nothing, missing) = copy(&wire, "/no").await;
    assert_eq!(nothing, b"");
    assert_eq!(
        failure(missing),
        (Code::Unknown, "lstat /no: no such file or directory".to_owned())
    );
}

// covers: machine.MachineService/Copy
#[tokio::test]
async fn skipped_files_are_reported_after_the_whole_archive() {
    let cluster = prepared().await;
    let node = cluster.node(0);
    node.put_file("/var/t/b", SimFile::regular("").unreadable("permission denied"));
    let wire = Wire::admin(&cluster, &node).await;
    let message = "1 error occurred:\n\t* skipping \"/var/t/b\": open /var/t/b: permission denied\n\n";
    let (archive, end) = copy(&wire, "/var/t").await;
    let found = entries(&archive);
    assert!(
        found.contains_key("z") && !found.contains_key("b"),
        "what comes after it is there"
    );
    assert_eq!(failure(end), (Code::Unknown, message.to_owned()));
    node.set_talos_version("v1.13.2");
    let (_, end) = copy(&wire, "/var/t").await;
    assert_eq!(
        failure(end),
        (Code::Aborted, message.to_owned()),
        "in metadata, then"
    );
}

// covers: machine.MachineService/Copy
#[tokio::test]
async fn pseudo_files_are_archived_as_far_as_they_are_small() {
    let cluster = single().await;
    let node = cluster.node(0);
    node.write_file("/proc/t/small", "12");
    node.put_file("/proc/t/large", SimFile::made_up(1, 5000));
    let wire = Wire::admin(&cluster, &node).await;
    let (archive, end) = copy(&wire, "/proc/t").await;
    end.unwrap();
    let found = entries(&archive);
    assert_eq!(
        (found["small"].1.as_slice(), found["large"].1.as_slice()),
        (&b"12"[..], &b""[..])
    );
    let (_, end) = copy(&wire, "/sys/devices/virtio-vdb").await;
    let (code, message) = failure(end);
    assert_eq!(code, Code::Unknown);
    assert!(
        message.contains("archive/tar: missed writing"),
        "attributes claim a page: {message}"
    );
}

// covers: machine.MachineService/List
// covers: machine.MachineService/DiskUsage
// covers: machine.MachineService/Copy
#[tokio::test]
async fn a_directory_that_cannot_be_opened_is_met_with_its_error() {
    let cluster = prepared().await;
    let node = cluster.node(0);
    node.put_file("/var/t/a", SimFile::directory().unreadable("permission denied"));
    let wire = Wire::admin(&cluster, &node).await;
    let files = list(&wire, below("/var/t", 0)).await.unwrap();
    assert_eq!(names(&files), [".", "a", "a-b", "b", "l", "z"]);
    assert_eq!(files[1].error, "open /var/t/a: permission denied");
    let request = DiskUsageRequest {
        paths: vec!["/var/t".to_owned()],
        ..DiskUsageRequest::default()
    };
    let items = usage(&wire, request).await;
    assert_eq!(items[0].error, "open /var/t/a: permission denied");
    let (archive, end) = copy(&wire, "/var/t").await;
    assert!(!entries(&archive).contains_key("a/x/deep"));
    assert!(
        failure(end)
            .1
            .contains("skipping \"/var/t/a\": open /var/t/a: permission denied")
    );
}
