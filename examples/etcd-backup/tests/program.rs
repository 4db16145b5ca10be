//! Runs the program on the simulated cluster.

use example_testing::{Lines, Program, assert_recorded};

fn run(arguments: &[&str]) -> String {
    Program::at(env!("CARGO_BIN_EXE_etcd-backup"))
        .run(arguments)
        .succeeded()
}

#[test]
fn a_backup_is_whole_and_old_ones_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    // Made an hour, a day and a week before.
    for old in [
        "etcd-20260101T000000Z.snapshot",
        "etcd-20260102T000000Z.snapshot",
        "mine.txt",
    ] {
        std::fs::write(folder.path().join(old), "old").expect("written");
    }
    let text = run(&["--folder", path, "--keep", "2"]);
    // The database and its checksum.
    assert!(text.contains("67108896 bytes, verified"), "{text}");
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("read")
        .map(|entry| entry.expect("read").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&"mine.txt".to_owned()), "{names:?}");
    assert!(
        !names.contains(&"etcd-20260101T000000Z.snapshot".to_owned()),
        "{names:?}"
    );
}

#[test]
fn a_temporary_folder_does_without_arguments() {
    assert!(run(&[]).contains("verified"));
}

#[test]
fn what_it_prints_is_as_recorded() {
    assert_recorded("etcd-backup", &run(&[]), Lines::InOrder, &[]);
}
