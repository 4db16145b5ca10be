//! Where upstream's protos may come from, and what is said when they cannot be had.

use crate::support::{Fixture, contents, git, xtask};

/// Makes a repository of the fixture's upstream: tag `v1.14.0` is up to date with ours, `v1.15.0` and the work
/// tree have one field more.
fn repository(fixture: &Fixture) {
    let folder = fixture.path("upstream");
    git(&folder, &["init", "--quiet"]);
    fixture.write("upstream/README.md", "not a proto");
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "--quiet", "--message", "First"]);
    git(&folder, &["tag", "v1.14.0"]);
    fixture.upstream("  bool on = 1;", "  bool on = 1;\n  bool fast = 4;");
    git(&folder, &["commit", "--quiet", "--all", "--message", "Second"]);
    git(&folder, &["tag", "v1.15.0"]);
}

#[test]
fn a_git_url_is_cloned_at_the_revision_asked_for() {
    let fixture = Fixture::new();
    repository(&fixture);
    let bare = fixture.path("bare.git");
    git(
        &fixture.path("."),
        &["clone", "--quiet", "--bare", "upstream", "bare.git"],
    );
    let url = format!("file://{}", bare.display());

    fixture.diff(&["--from", &url, "--rev", "v1.14.0"]).succeeded();
    let newest = fixture.diff(&["--from", &url]);
    assert_eq!(newest.code, Some(3), "{newest:?}");
    assert!(
        newest
            .stdout
            .contains("field lamp.SwitchRequest.fast: bool fast = 4"),
        "{}",
        newest.stdout
    );

    let refresh = fixture.refresh(&["--from", &url, "--rev", "v1.15.0"]).succeeded();
    assert!(
        refresh
            .stdout
            .contains("proto/methods.toml says talos-release = \"v1.14\""),
        "{}",
        refresh.stdout
    );
    fixture.diff(&["--from", &url]).succeeded();
}

#[test]
fn a_revision_of_a_checkout_is_read_without_touching_it() {
    let fixture = Fixture::new();
    repository(&fixture);
    let folder = fixture.path("upstream");
    fixture.write("upstream/api/lamp/lamp.proto", "work in progress");
    git(&folder, &["add", "api"]);
    fixture.write("upstream/api/new.proto", "also in progress");
    let state = || {
        (
            git(&folder, &["status", "--porcelain"]),
            git(&folder, &["rev-parse", "HEAD"]),
            git(&folder, &["worktree", "list"]),
        )
    };
    let index = || std::fs::read(folder.join(".git/index")).unwrap();
    let (before, index_before) = (state(), index());

    fixture.diff(&["--rev", "v1.14.0"]).succeeded();
    assert_eq!(fixture.diff(&["--rev", "HEAD"]).code, Some(3));
    let commit = git(&folder, &["rev-parse", "v1.14.0"]);
    fixture.diff(&["--rev", &commit]).succeeded();
    // A folder inside the checkout is read as it was too.
    fixture
        .diff(&["--from", folder.join("api").to_str().unwrap(), "--rev", "v1.14.0"])
        .succeeded();

    assert_eq!(index(), index_before);
    assert_eq!(state(), before);
}

#[test]
fn a_folder_without_api_is_read_itself() {
    let fixture = Fixture::new();
    fixture
        .diff(&["--from", fixture.path("upstream/api").to_str().unwrap()])
        .succeeded();
}

#[test]
fn an_unknown_revision_is_named_with_the_words_of_git() {
    let fixture = Fixture::new();
    repository(&fixture);
    let before = fixture.ours();
    fixture
        .refresh(&["--rev", "v9.9"])
        .failed_with(&["revision v9.9", "git says: fatal:"]);
    let url = format!("file://{}", fixture.path("upstream").display());
    fixture.refresh(&["--from", &url, "--rev", "v9.9"]).failed_with(&[
        "branch or tag v9.9",
        "git says:",
        "v9.9 not found",
    ]);
    assert_eq!(fixture.ours(), before);
}

#[test]
fn a_repository_that_is_not_there_is_named_with_the_words_of_git() {
    let fixture = Fixture::new();
    let url = format!("file://{}", fixture.path("nowhere.git").display());
    fixture
        .diff(&["--from", &url])
        .failed_with(&["cloning file://", "nowhere.git", "git says: fatal:"]);
}

#[test]
fn a_revision_of_a_folder_without_git_is_refused() {
    let fixture = Fixture::new();
    fixture
        .diff(&["--rev", "v1.14.0"])
        .failed_with(&["--rev needs a git checkout", "upstream"]);
}

#[test]
fn folders_that_cannot_be_read_are_named() {
    let fixture = Fixture::new();
    let missing = fixture.path("missing");
    fixture
        .diff(&["--from", missing.to_str().unwrap()])
        .failed_with(&["no folder", "missing", "not a git URL"]);
    let file = fixture.path("upstream/api/lamp/lamp.proto");
    fixture
        .diff(&["--from", file.to_str().unwrap()])
        .failed_with(&["lamp.proto is a file"]);
    std::fs::create_dir(fixture.path("empty")).unwrap();
    fixture
        .diff(&["--from", fixture.path("empty").to_str().unwrap()])
        .failed_with(&["no .proto file below", "empty"]);
    fixture
        .diff(&["--include", missing.to_str().unwrap()])
        .failed_with(&["--include", "missing: no such folder"]);
    let run = xtask(&["protos", "fmt", "--root", missing.to_str().unwrap()]);
    run.failed_with(&["there is no folder", "missing"]);
}

#[test]
fn a_revision_without_protos_is_named() {
    let fixture = Fixture::new();
    repository(&fixture);
    let folder = fixture.path("upstream");
    git(&folder, &["rm", "-r", "--quiet", "api"]);
    git(&folder, &["commit", "--quiet", "--message", "Third"]);
    git(&folder, &["tag", "empty"]);
    fixture
        .diff(&["--rev", "empty"])
        .failed_with(&["revision empty of", "upstream: no .proto file below"]);
}

#[test]
fn a_file_that_is_not_proto3_is_named() {
    let fixture = Fixture::new();
    fixture.write(
        "upstream/api/old.proto",
        "syntax = \"proto2\";\npackage old;\nmessage Old {}\n",
    );
    fixture.diff(&[]).failed_with(&["old.proto", "only proto3"]);
}

#[test]
fn wrong_arguments_end_with_code_2_and_the_help_says_what_codes_mean() {
    assert_eq!(xtask(&["protos", "diff"]).code, Some(2));
    assert_eq!(xtask(&["protos", "refresh", "--from"]).code, Some(2));
    assert_eq!(
        xtask(&["protos", "diff", "--from", ".", "--format", "xml"]).code,
        Some(2)
    );
    let help = xtask(&["protos", "diff", "--help"]).succeeded();
    for text in [
        "--from",
        "--rev",
        "--include",
        "--format",
        "Exit codes: 0 nothing differs, 3 something does",
    ] {
        assert!(help.stdout.contains(text), "no {text:?} in {}", help.stdout);
    }
    let help = xtask(&["protos", "refresh", "--help"]).succeeded();
    assert!(
        help.stdout.contains("every file stays as it was"),
        "{}",
        help.stdout
    );
}

#[test]
fn comparing_leaves_no_trace() {
    let fixture = Fixture::new();
    let before = contents(&fixture.path("."));
    fixture.diff(&[]).succeeded();
    assert_eq!(contents(&fixture.path(".")), before);
}
