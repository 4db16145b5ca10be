//! What a refresh does to `proto/`, and that it does nothing if it fails.

use crate::support::{Fixture, contents, copy, fixtures, repository, xtask};

const ROWS: &str = "Dim = {}\n[\"lamp.remote.RemoteService\"]\nPair = {}\n";

fn add_rows(fixture: &Fixture, rows: &str) {
    let table = fixture.read("ours/proto/methods.toml");
    fixture.write("ours/proto/methods.toml", &(table + rows));
}

/// Compares with `expected/`, or makes it anew.
fn expect(fixture: &Fixture, printed: &str) {
    let expected = fixtures().join("expected");
    let mut got = contents(&fixture.path("ours/proto"));
    got.remove("methods.toml");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::remove_dir_all(expected.join("proto")).unwrap();
        copy(&fixture.path("ours/proto"), &expected.join("proto"));
        std::fs::remove_file(expected.join("proto/methods.toml")).unwrap();
        std::fs::write(expected.join("refresh.txt"), printed).unwrap();
    }
    assert_eq!(got, contents(&expected.join("proto")));
    assert_eq!(
        printed,
        std::fs::read_to_string(expected.join("refresh.txt")).unwrap()
    );
}

#[test]
fn a_release_is_taken_over_as_expected_and_only_once() {
    let fixture = Fixture::with_upstream(&fixtures().join("next"));
    add_rows(&fixture, ROWS);
    let run = fixture.refresh(&[]).succeeded();
    expect(&fixture, &run.stdout);

    let after = fixture.ours();
    let again = fixture.refresh(&[]).succeeded();
    assert!(
        again.stdout.contains("every file is up to date"),
        "{}",
        again.stdout
    );
    assert_eq!(fixture.ours(), after);
    assert_eq!(fixture.diff(&[]).code, Some(0));
}

#[test]
fn no_comment_or_file_option_of_upstream_is_copied() {
    let fixture = Fixture::with_upstream(&fixtures().join("next"));
    add_rows(&fixture, ROWS);
    fixture.refresh(&[]).succeeded();
    for (name, text) in fixture.ours() {
        assert!(!text.contains("THEIR WORDS"), "{name}");
        assert!(!text.contains("go_package") && !text.contains("java_"), "{name}");
    }
}

#[test]
fn nothing_changes_where_upstream_says_the_same() {
    let fixture = Fixture::new();
    let before = fixture.ours();
    let run = fixture.refresh(&[]).succeeded();
    assert!(
        run.stdout
            .contains("no difference on the wire\nevery file is up to date"),
        "{}",
        run.stdout
    );
    assert_eq!(fixture.ours(), before);
}

#[test]
fn a_new_message_stands_behind_its_upstream_neighbour_with_a_marker() {
    let fixture = Fixture::new();
    // Upstream has one file; here it follows an enum that we have in events.proto.
    fixture.upstream(
        "message Colour {",
        "message Shade {\n  Level of = 1;\n}\n\nmessage Colour {",
    );
    fixture.upstream(
        "  optional string actor = 2;",
        "  optional string actor = 2;\n  Shade shade = 8;",
    );
    let run = fixture.refresh(&[]).succeeded();
    let events = fixture.read("ours/proto/lamp/events.proto");
    for expected in [
        "\n// UNDOCUMENTED: describe `lamp.Shade`.\nmessage Shade {\n  // UNDOCUMENTED: describe `lamp.Shade.of`.\n  Level of = 1;\n}\n",
        "  optional string actor = 2;\n  // UNDOCUMENTED: describe `lamp.Event.shade`.\n  Shade shade = 8;\n",
    ] {
        assert!(events.contains(expected), "{events}");
    }
    assert!(
        run.stdout.contains("3 new items wait for a comment"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_new_message_stands_elsewhere_if_files_would_import_each_other() {
    let fixture = Fixture::new();
    // The same place, but now it has to do with types that we have in switch.proto.
    fixture.upstream(
        "message Colour {",
        "message Shade {\n  Colour of = 1;\n}\n\nmessage Colour {",
    );
    fixture.upstream("  bool on = 1;", "  bool on = 1;\n  Shade shade = 4;");
    fixture.refresh(&[]).succeeded();
    let switch = fixture.read("ours/proto/lamp/switch.proto");
    assert!(switch.contains("// Whether it shall be on.\n  bool on = 1;\n  // UNDOCUMENTED: describe `lamp.SwitchRequest.shade`.\n  Shade shade = 4;\n"), "{switch}");
    assert!(switch.ends_with("  uint32 blue = 3;\n}\n\n// UNDOCUMENTED: describe `lamp.Shade`.\nmessage Shade {\n  // UNDOCUMENTED: describe `lamp.Shade.of`.\n  Colour of = 1;\n}\n"), "{switch}");
}

#[test]
fn types_move_where_files_would_import_each_other() {
    let fixture = Fixture::new();
    fixture.upstream("  bool on = 1;", "  bool on = 1;\n  Event last = 4;");
    fixture.upstream(
        "  Cause cause = 5;",
        "  Cause cause = 5;\n  SwitchRequest request = 8;",
    );
    let run = fixture.refresh(&[]).succeeded();
    assert!(
        run.stdout.contains("or they would import each other"),
        "{}",
        run.stdout
    );
    let events = fixture.read("ours/proto/lamp/events.proto");
    assert!(!events.contains("import \"lamp/"), "{events}");
    assert!(
        events.contains("// What to do with the lamp.\nmessage SwitchRequest {"),
        "{events}"
    );
    assert_eq!(fixture.diff(&[]).code, Some(0));
}

#[test]
fn a_renamed_upstream_file_is_a_note_and_changes_nothing() {
    let fixture = Fixture::new();
    let before = fixture.ours();
    std::fs::rename(
        fixture.path("upstream/api/common/common.proto"),
        fixture.path("upstream/api/common/meta.proto"),
    )
    .unwrap();
    fixture.upstream("common/common.proto", "common/meta.proto");
    let run = fixture.refresh(&[]).succeeded();
    assert!(
        run.stdout
            .contains("note       upstream's file common/meta.proto is our common/common.proto"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("no difference on the wire\n"),
        "{}",
        run.stdout
    );
    assert_eq!(fixture.ours(), before);
}

#[test]
fn a_removed_package_is_deleted_but_one_from_another_repository_stays() {
    let fixture = Fixture::new();
    std::fs::remove_dir_all(fixture.path("upstream/api/lamp")).unwrap();
    fixture.write("ours/proto/methods.toml", "talos-release = \"v1.14\"\n");
    let run = fixture.refresh(&[]).succeeded();
    assert!(
        run.stdout
            .contains("BREAKING removed    service lamp.LampService\n"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout
            .contains("BREAKING removed    rpc lamp.LampService.Switch\n"),
        "{}",
        run.stdout
    );
    assert!(!fixture.path("ours/proto/lamp").exists());
    assert!(fixture.path("ours/proto/cosi/resource/resource.proto").exists());
}

#[test]
fn a_package_from_another_repository_is_compared_where_it_is_given() {
    let fixture = Fixture::new();
    let resource = "syntax = \"proto3\";\npackage cosi.resource;\nmessage Resource {\n  string id = 1;\n  string owner = 2;\n}\n";
    fixture.write("cosi/v1/resource.proto", resource);
    fixture.write(
        "cosi/v1/runtime.proto",
        "syntax = \"proto3\";\npackage cosi.runtime;\nmessage Controller {}\n",
    );
    let include = fixture.path("cosi");
    let run = fixture
        .refresh(&["--include", include.to_str().unwrap()])
        .succeeded();
    assert!(
        run.stdout
            .contains("added      field cosi.resource.Resource.owner: string owner = 2"),
        "{}",
        run.stdout
    );
    assert!(!run.stdout.contains("note"), "{}", run.stdout);
    let ours = fixture.read("ours/proto/cosi/resource/resource.proto");
    assert!(
        ours.contains("// A resource, which no lamp has.\nmessage Resource {\n  string id = 1;"),
        "{ours}"
    );
    assert!(!fixture.path("ours/proto/cosi/runtime").exists());
}

#[test]
fn vendored_files_are_taken_over_when_something_uses_them() {
    let fixture = Fixture::new();
    fixture.edit(
        "upstream/api/vendor/google/api/http.proto",
        "import \"google/not/vendored.proto\";",
        "",
    );
    fixture.upstream(
        "import \"common/common.proto\";",
        "import \"common/common.proto\";\nimport \"google/api/http.proto\";",
    );
    fixture.refresh(&[]).succeeded();
    assert!(
        !fixture.path("ours/proto/google/api").exists(),
        "imported, but not used"
    );

    fixture.upstream("  bool on = 1;", "  bool on = 1;\n  google.api.Http http = 4;");
    fixture.refresh(&[]).succeeded();
    let http = fixture.read("ours/proto/google/api/http.proto");
    assert!(
        http.contains("package google.api;") && http.contains("// UNDOCUMENTED: describe `google.api.Http`."),
        "{http}"
    );
}

#[test]
fn a_syntax_error_upstream_is_shown_with_its_place_and_changes_nothing() {
    let fixture = Fixture::new();
    fixture.upstream("  bool on = 1;", "  bool on 1;");
    let before = fixture.ours();
    fixture
        .refresh(&[])
        .failed_with(&["lamp/lamp.proto:56:11: expected '='", "upstream"]);
    assert_eq!(fixture.ours(), before);
}

#[test]
fn an_import_that_is_missing_upstream_is_named_with_a_way_out() {
    let fixture = Fixture::new();
    std::fs::rename(fixture.path("upstream/api/vendor"), fixture.path("elsewhere")).unwrap();
    let before = fixture.ours();
    fixture
        .refresh(&[])
        .failed_with(&["google/rpc/status.proto", "--include"]);
    assert_eq!(fixture.ours(), before);
    fixture
        .refresh(&["--include", fixture.path("elsewhere").to_str().unwrap()])
        .succeeded();
    assert_eq!(fixture.ours(), before);
}

#[test]
fn a_new_rpc_without_a_row_is_named_and_changes_nothing() {
    let fixture = Fixture::new();
    fixture.upstream(
        "  rpc Switch(",
        "  rpc Flip(SwitchRequest) returns (SwitchResponse);\n  rpc Switch(",
    );
    let before = fixture.ours();
    let run = fixture
        .refresh(&[])
        .failed_with(&["[\"lamp.LampService\"]\n  Flip = {", "proto/methods.toml"]);
    assert!(
        run.stdout.contains("added      rpc lamp.LampService.Flip"),
        "{}",
        run.stdout
    );
    assert_eq!(fixture.ours(), before);

    add_rows(&fixture, "Flip = {}\n");
    fixture.refresh(&[]).succeeded();
    let service = fixture.read("ours/proto/lamp/lamp.proto");
    assert!(
        service.contains("  // UNDOCUMENTED: describe `lamp.LampService.Flip`.\n  rpc Flip("),
        "{service}"
    );
}

#[test]
fn a_row_without_its_rpc_is_named_and_changes_nothing() {
    let fixture = Fixture::new();
    fixture.upstream("  rpc Switch(SwitchRequest) returns (SwitchResponse);\n", "");
    let before = fixture.ours();
    fixture
        .refresh(&[])
        .failed_with(&["lamp.LampService/Switch", "remove"]);
    assert_eq!(fixture.ours(), before);
}

#[test]
fn a_failing_generator_changes_nothing() {
    let fixture = Fixture::new();
    fixture.upstream("  bool on = 1;", "  bool on = 1;\n  bool fast = 4;");
    let before = fixture.ours();
    let (root, from) = (fixture.path("ours"), fixture.path("upstream"));
    let arguments = [
        "protos",
        "refresh",
        "--root",
        root.to_str().unwrap(),
        "--from",
        from.to_str().unwrap(),
    ];
    // The generator knows the services of Talos only.
    xtask(&arguments).failed_with(&["lamp.LampService", "nothing was changed"]);
    assert_eq!(fixture.ours(), before);
}

#[test]
fn a_comment_that_has_no_item_stops_the_refresh_instead_of_being_lost() {
    let fixture = Fixture::new();
    let file = fixture.read("ours/proto/lamp/events.proto");
    fixture.write("ours/proto/lamp/events.proto", &(file + "\n// A last word.\n"));
    let before = fixture.ours();
    fixture
        .refresh(&[])
        .failed_with(&["lamp/events.proto:", "A last word."]);
    assert_eq!(fixture.ours(), before);
}

#[test]
fn the_real_protos_are_refreshed_and_their_code_is_generated() {
    let fixture = Fixture::with_upstream(&repository().join("proto"));
    std::fs::remove_dir_all(fixture.path("ours/proto")).unwrap();
    copy(&repository().join("proto"), &fixture.path("ours/proto"));
    let power = "upstream/machine/power.proto";
    let text = fixture.read(power);
    fixture.write(
        power,
        &text.replace(
            "message Shutdown {\n",
            "message Shutdown {\n  string brand_new_field = 4711;\n",
        ),
    );

    let (root, from) = (fixture.path("ours"), fixture.path("upstream"));
    let arguments = [
        "protos",
        "refresh",
        "--root",
        root.to_str().unwrap(),
        "--from",
        from.to_str().unwrap(),
    ];
    let run = xtask(&arguments).succeeded();
    assert!(run.stdout.starts_with("         added      field machine.Shutdown.brand_new_field: string brand_new_field = 4711\n1 difference"), "{}", run.stdout);
    assert!(
        fixture
            .read("ours/proto/machine/power.proto")
            .contains("  string brand_new_field = 4711;\n")
    );
    let code = contents(&fixture.path("ours/crates/talos-proto/src/generated"));
    assert!(code.values().any(|text| text.contains("pub brand_new_field:")));
    let left: Vec<_> = std::fs::read_dir(fixture.path("ours"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        left.iter().all(|name| !name.to_string_lossy().starts_with('.')),
        "{left:?}"
    );
}
