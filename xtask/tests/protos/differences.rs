//! Which differences are found and which of them are shouted.

use crate::support::Fixture;

/// Makes one edit upstream and checks what is printed about it, notes apart.
fn check(edits: &[(&str, &str)], expected: &[&str]) {
    let fixture = Fixture::new();
    for (old, new) in edits {
        fixture.upstream(old, new);
    }
    let before = fixture.ours();
    let run = fixture.diff(&[]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let lines: Vec<_> = run
        .stdout
        .lines()
        .filter(|line| !line.contains(" note "))
        .collect();
    assert_eq!(lines[..lines.len() - 1], *expected, "{edits:?}");
    assert_eq!(fixture.ours(), before);
}

#[test]
fn changed_and_reused_numbers_are_shouted() {
    check(
        &[("times = 2", "times = 7")],
        &["BREAKING changed    field lamp.SwitchResponse.times: number 2 -> 7"],
    );
    check(
        &[("uint64 times = 2", "uint64 count = 2")],
        &[
            "BREAKING changed    field lamp.SwitchResponse.count: uint64 count = 2 takes over the number of `uint64 times = 2`",
            "BREAKING removed    field lamp.SwitchResponse.times: number 2 is not reserved",
        ],
    );
    check(
        &[(
            "  reserved 4, 10 to 12;",
            "  reserved 10 to 12;\n  uint32 white = 4;",
        )],
        &[
            "BREAKING changed    field lamp.Colour.white: uint32 white = 4 uses the reserved number 4",
            "         changed    message lamp.Colour: reserved 4, 10 to 12, \"alpha\", \"gamma\" -> 10 to 12, \"alpha\", \"gamma\"",
        ],
    );
    check(
        &[("OFF = 0;\n  LOW = 1;", "OFF = 0;\n  LOW = 4;")],
        &["BREAKING changed    value lamp.Level.LOW: number 1 -> 4"],
    );
    check(
        &[("SLOW = 2", "LAZY = 2")],
        &[
            "BREAKING changed    value lamp.SwitchRequest.Mode.LAZY: takes over number 2 of SLOW",
            "BREAKING removed    value lamp.SwitchRequest.Mode.SLOW: was 2",
        ],
    );
    check(
        &[
            ("  reserved 7, 9;", "  reserved 9;"),
            ("  BRIGHT = 2", "  WARM = 7;\n  BRIGHT = 2"),
        ],
        &[
            "BREAKING changed    value lamp.Level.WARM: uses the reserved number 7",
            "         changed    enum lamp.Level: reserved 7, 9, \"BLINDING\" -> 9, \"BLINDING\"",
        ],
    );
}

#[test]
fn removals_are_shouted_unless_a_field_is_reserved() {
    check(
        &[("  uint32 blue = 3;\n", "")],
        &["BREAKING removed    field lamp.Colour.blue: number 3 is not reserved"],
    );
    check(
        &[("  uint32 blue = 3;\n  reserved 4,", "  reserved 3, 4,")],
        &[
            "         changed    message lamp.Colour: reserved 4, 10 to 12, \"alpha\", \"gamma\" -> 3, 4, 10 to 12, \"alpha\", \"gamma\"",
            "         removed    field lamp.Colour.blue: number 3 is reserved",
        ],
    );
    check(
        &[("    SLOW = 2;\n", "")],
        &["BREAKING removed    value lamp.SwitchRequest.Mode.SLOW: was 2"],
    );
    check(
        &[("  rpc Switch(SwitchRequest) returns (SwitchResponse);\n", "")],
        &["BREAKING removed    rpc lamp.LampService.Switch"],
    );
    check(
        &[
            ("message SwitchResponse {", "message Answer {"),
            ("returns (SwitchResponse);", "returns (Answer);"),
            ("(stream SwitchResponse)", "(stream Answer)"),
        ],
        &[
            "BREAKING changed    rpc lamp.LampService.Blink: response lamp.SwitchResponse -> lamp.Answer",
            "BREAKING changed    rpc lamp.LampService.Switch: response lamp.SwitchResponse -> lamp.Answer",
            "BREAKING removed    message lamp.SwitchResponse",
            "         added      message lamp.Answer",
        ],
    );
    check(
        &[(
            "message Cause {\n    string text = 1;\n    map<string, Cause> others = 2;\n  }\n  Cause cause = 5;",
            "string cause = 5;",
        )],
        &[
            "BREAKING removed    message lamp.Event.Cause",
            "BREAKING changed    field lamp.Event.cause: type lamp.Event.Cause -> string",
        ],
    );
}

#[test]
fn changed_shapes_are_shouted() {
    check(
        &[("uint64 times", "int64 times")],
        &["BREAKING changed    field lamp.SwitchResponse.times: type uint64 -> int64"],
    );
    check(
        &[("repeated .lamp.Colour", ".lamp.Colour")],
        &["BREAKING changed    field lamp.SwitchRequest.colours: label repeated -> singular"],
    );
    check(
        &[("map<string, Cause>", "map<int32, Cause>")],
        &[
            "BREAKING changed    field lamp.Event.Cause.others: type map<string, lamp.Event.Cause> -> map<int32, lamp.Event.Cause>",
        ],
    );
    check(
        &[
            ("    Level level = 4;\n", ""),
            ("  oneof payload {", "  Level level = 4;\n  oneof payload {"),
        ],
        &["BREAKING changed    field lamp.Event.level: oneof payload -> none"],
    );
    check(
        &[("rpc Switch(SwitchRequest)", "rpc Switch(stream SwitchRequest)")],
        &["BREAKING changed    rpc lamp.LampService.Switch: streaming unary -> client stream"],
    );
    check(
        &[("rpc Watch(google.protobuf.Empty)", "rpc Watch(Colour)")],
        &["BREAKING changed    rpc lamp.LampService.Watch: request google.protobuf.Empty -> lamp.Colour"],
    );
    check(
        &[(
            "message Colour {\n  uint32 red = 1;\n  uint32 green = 2;\n  uint32 blue = 3;\n  reserved 4, 10 to 12;\n  reserved \"gamma\", \"alpha\";\n}",
            "enum Colour {\n  RED = 0;\n}",
        )],
        &["BREAKING changed    message lamp.Colour: is now a enum"],
    );
}

#[test]
fn what_old_programs_still_understand_is_not_shouted() {
    check(
        &[("optional string actor", "string actor")],
        &["         changed    field lamp.Event.actor: label optional -> singular"],
    );
    check(
        &[("history = 6 [packed = false]", "history = 6")],
        &["         changed    field lamp.Event.history: packed false -> unset"],
    );
    check(
        &[("raw = 7 [json_name = \"rawText\"]", "raw = 7")],
        &["         changed    field lamp.Event.raw: json_name \"rawText\" -> unset"],
    );
    check(
        &[("  LOW = 1;\n", ""), ("  option allow_alias = true;\n", "")],
        &[
            "BREAKING removed    value lamp.Level.LOW: was 1",
            "         changed    enum lamp.Level: allow_alias true -> unset",
        ],
    );
    check(
        &[
            ("  bool on = 1;", "  bool on = 1;\n  repeated Colour more = 9;"),
            ("  OFF = 0;", "  OFF = 0;\n  DARK = -1;"),
        ],
        &[
            "         added      value lamp.Level.DARK: = -1",
            "         added      field lamp.SwitchRequest.more: repeated lamp.Colour more = 9",
        ],
    );
}

#[test]
fn deprecations_and_announced_removals_are_told_apart() {
    check(
        &[("  bool on = 1;", "  bool on = 1 [deprecated = true];")],
        &["         deprecated field lamp.SwitchRequest.on"],
    );
    check(
        &[("BRIGHT = 2 [deprecated = true]", "BRIGHT = 2")],
        &["         deprecated value lamp.Level.BRIGHT: no longer deprecated"],
    );
    check(
        &[
            (
                "// THEIR WORDS\nmessage Event {",
                "extend google.protobuf.FieldOptions {\n  string remove = 93117;\n}\nmessage Event {",
            ),
            (
                "import \"google/protobuf/empty.proto\";",
                "import \"google/protobuf/empty.proto\";\nimport \"google/protobuf/descriptor.proto\";",
            ),
            ("  bool on = 1;", "  bool on = 1 [(lamp.remove) = \"v1.18\"];"),
        ],
        &[
            "         removal    field lamp.SwitchRequest.on: goes away in v1.18",
            "         added      extension lamp.remove: string remove = 93117 of google.protobuf.FieldOptions",
        ],
    );
}

#[test]
fn a_postponed_removal_is_shown_with_both_releases() {
    let fixture = Fixture::with_upstream(&crate::support::fixtures().join("next"));
    let table =
        fixture.read("ours/proto/methods.toml") + "Dim = {}\n[\"lamp.remote.RemoteService\"]\nPair = {}\n";
    fixture.write("ours/proto/methods.toml", &table);
    fixture.refresh(&[]).succeeded();
    fixture
        .upstream("\"v1.18\"", "\"v1.20\"")
        .upstream(", (common.remove_deprecated_field) = \"v1.19\"", "");
    let run = fixture.diff(&[]);
    assert!(
        run.stdout
            .contains("         removal    rpc lamp.LampService.Blink: goes away in v1.18 -> v1.20\n"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains(
            "         removal    field lamp.SwitchRequest.actor: goes away in v1.19 -> no release\n"
        ),
        "{}",
        run.stdout
    );
}

#[test]
fn breaking_changes_come_first_and_are_counted() {
    let fixture = Fixture::new();
    fixture
        .upstream("  bool on = 1;", "  bool on = 1;\n  bool fast = 4;")
        .upstream("times = 2", "times = 3");
    let run = fixture.diff(&[]);
    assert!(run.stdout.starts_with("BREAKING "), "{}", run.stdout);
    assert!(
        run.stdout.ends_with("2 differences on the wire, 1 BREAKING\n"),
        "{}",
        run.stdout
    );
}

#[test]
fn json_holds_the_same_for_programs() {
    let fixture = Fixture::new();
    fixture.upstream("times = 2", "times = 3");
    let run = fixture.diff(&["--format", "json"]);
    assert_eq!(run.code, Some(3));
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["breaking"], 1);
    let change = serde_json::json!({
        "class": "number",
        "breaking": true,
        "kind": "field",
        "name": "lamp.SwitchResponse.times",
        "detail": "number 2 -> 3",
    });
    assert_eq!(json["changes"], serde_json::json!([change]));
    assert_eq!(json["notes"].as_array().unwrap().len(), 1);
}
