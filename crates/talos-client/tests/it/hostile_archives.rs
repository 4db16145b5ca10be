//! Archives that lie or are broken: nothing is written outside the folder, and everything left out is reported.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use talos_client::{
    ErrorKind,
    api::files::archive::{EntryKind, SkipReason},
};

use crate::{
    hostile::chunks,
    scripted::{Scripted, Step, ok},
};

/// A tar of these entries, as a gzip.
fn archive(entries: &[(&str, tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, kind, link, contents) in entries {
        let mut header = tar::Header::new_gnu();
        // By hand, since the writer refuses what a hostile one would not.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *contents).expect("appended");
    }
    builder
        .into_inner()
        .and_then(GzEncoder::finish)
        .expect("an archive")
}

async fn extract(
    steps: Vec<Step>,
    folder: &std::path::Path,
) -> talos_client::Result<talos_client::api::files::archive::ExtractReport> {
    let server = Scripted::always(steps).await;
    let archive = server.node().copy("/etc").send().await.expect("opened");
    archive.extract_to(folder).await
}

// covers: machine.MachineService/Copy
#[cfg(unix)]
#[tokio::test]
async fn nothing_is_extracted_outside_the_folder() {
    let outside = tempfile::tempdir().expect("a folder");
    let folder = outside.path().join("inside");
    let outside_path = outside.path().to_str().expect("text");
    let absolute = format!("{outside_path}/absolute");
    use tar::EntryType::{Directory, Fifo, Link, Regular, Symlink};
    let archive = archive(&[
        ("good", Regular, "", b"good"),
        ("../escaped", Regular, "", b"bad"),
        ("a/../../escaped", Regular, "", b"bad"),
        (&absolute, Regular, "", b"bad"),
        ("up", Symlink, "..", b""),
        ("root", Symlink, "/", b""),
        ("up/escaped", Regular, "", b"into a link that is not there"),
        ("folder/", Directory, "", b""),
        ("folder/link", Symlink, "../good", b""),
        ("folder/out", Symlink, "../../escaped", b""),
        ("folder/link/escaped", Regular, "", b"through a link"),
        ("folder/winding", Symlink, "link/../../..", b""),
        ("hard", Link, "good", b""),
        ("pipe", Fifo, "", b""),
        ("good", Regular, "", b"again"),
    ]);
    let report = extract(ok(chunks(&archive)), &folder).await.expect("extracted");
    let skipped: Vec<_> = report
        .skipped()
        .iter()
        .map(|skipped| (skipped.path(), skipped.reason()))
        .collect();
    assert_eq!(
        skipped,
        [
            ("../escaped", SkipReason::UnsafePath),
            ("a/../../escaped", SkipReason::UnsafePath),
            (absolute.as_str(), SkipReason::UnsafePath),
            ("up", SkipReason::LinkEscapes),
            ("root", SkipReason::LinkEscapes),
            ("folder/out", SkipReason::LinkEscapes),
            ("folder/link/escaped", SkipReason::NotAFolder),
            ("folder/winding", SkipReason::LinkEscapes),
            ("hard", SkipReason::Unsupported(EntryKind::HardLink)),
            ("pipe", SkipReason::Unsupported(EntryKind::Other(b'6'))),
            ("good", SkipReason::Exists),
        ]
    );
    assert!(!report.is_complete());
    assert_eq!((report.files(), report.folders(), report.links()), (2, 1, 1));
    let mut names: Vec<_> = std::fs::read_dir(outside.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["inside"]);
    assert_eq!(std::fs::read(folder.join("good")).expect("there"), b"good");
}

#[cfg(unix)]
#[tokio::test]
async fn links_that_are_there_already_are_not_followed() {
    let outside = tempfile::tempdir().expect("a folder");
    let folder = outside.path().join("inside");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(outside.path().join("mine"), "mine").expect("written");
    std::os::unix::fs::symlink("../mine", folder.join("file")).expect("a link");
    std::os::unix::fs::symlink("..", folder.join("folder")).expect("a link");
    let archive = archive(&[
        ("file", tar::EntryType::Regular, "", b"theirs"),
        ("folder/mine", tar::EntryType::Regular, "", b"theirs"),
    ]);
    let server = Scripted::always(ok(chunks(&archive))).await;
    let copy = server.node().copy("/etc").send().await.expect("opened");
    let report = copy.extract_to(&folder).overwrite(true).await.expect("extracted");
    assert_eq!((report.files(), report.skipped_count()), (1, 1));
    assert_eq!(report.skipped()[0].reason(), SkipReason::NotAFolder);
    assert_eq!(
        std::fs::read(outside.path().join("mine")).expect("there"),
        b"mine"
    );
    assert_eq!(std::fs::read(folder.join("file")).expect("there"), b"theirs");
    assert!(!folder.join("file").is_symlink());
}

#[tokio::test]
async fn an_archive_that_promises_more_than_comes_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut header = tar::Header::new_gnu();
    header.set_path("huge").expect("a path");
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(4 << 30);
    header.set_mode(0o600);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(header.as_bytes()).expect("written");
    gzip.write_all(&[7; 5000]).expect("written");
    let gzip = gzip.finish().expect("a gzip");

    let error = extract(ok(chunks(&gzip)), folder.path())
        .await
        .expect_err("cut off");
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Malformed, Some("the archive stops in the middle"))
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0,
        "nothing is left"
    );

    // Where the node says why, that is not an error of the extraction.
    let mut steps = chunks(&gzip);
    steps.push(Step::Status(
        2,
        "1 error occurred: * skipping \"/etc/huge\": i/o error",
    ));
    let report = extract(steps, folder.path()).await.expect("extracted");
    assert_eq!(report.skipped()[0].reason(), SkipReason::CutOff);
    let said = report.node_error().expect("the node said why");
    assert!(said.message().expect("words").contains("skipping"), "{said:#}");
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0,
        "nothing is left"
    );

    // And a limit is kept before anything is written.
    let server = Scripted::always(ok(chunks(&gzip))).await;
    let copy = server.node().copy("/etc").send().await.expect("opened");
    let error = copy
        .extract_to(folder.path())
        .max_bytes(1 << 30)
        .await
        .expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:#}");
}

#[tokio::test]
async fn what_is_no_archive_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = archive(&[("file", tar::EntryType::Regular, "", b"contents")]);
    let mut nested = GzEncoder::new(Vec::new(), Compression::default());
    nested.write_all(&good).expect("written");
    let nested = nested.finish().expect("a gzip");
    let mut damaged = good.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("text", b"<html>not a gzip</html>"),
        ("a gzip in a gzip", &nested),
        ("a wrong checksum", &damaged),
        ("half of it", &good[..good.len() / 2]),
    ] {
        let error = extract(ok(chunks(bytes)), folder.path()).await.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Malformed, "{what}: {error:#}");
    }
}
