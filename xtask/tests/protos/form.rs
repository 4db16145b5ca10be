//! The canonical form of `proto/`.

use crate::support::{Fixture, contents, copy, repository, xtask};

fn fmt(fixture: &Fixture, check: bool) -> crate::support::Run {
    let root = fixture.path("ours");
    let mut arguments = vec!["protos", "fmt", "--root", root.to_str().unwrap()];
    arguments.extend(check.then_some("--check"));
    xtask(&arguments)
}

#[test]
fn the_fixture_is_canonical() {
    let fixture = Fixture::new();
    assert_eq!(fmt(&fixture, true).succeeded().stdout, "");
}

#[test]
fn other_forms_are_found_and_rewritten_with_all_comments() {
    let fixture = Fixture::new();
    let canonical = fixture.ours();
    fixture.edit(
        "ours/proto/lamp/switch.proto",
        "  // Whether it shall be on.\n  bool on = 1;",
        "    bool on=1;   //Whether it shall be on.",
    );
    fixture.edit(
        "ours/proto/lamp/switch.proto",
        "// What was done with the lamp.",
        "/*\n * What was done with the lamp.\n */",
    );
    fixture.edit(
        "ours/proto/lamp/lamp.proto",
        "import \"google/protobuf/empty.proto\";\n",
        "",
    );
    fixture.edit("ours/proto/lamp/lamp.proto", "import \"lamp/switch.proto\";\n", "import \"lamp/switch.proto\";\nimport \"google/protobuf/empty.proto\";\nimport \"google/protobuf/any.proto\";\n");
    let other = fixture.ours();

    let run =
        fmt(&fixture, true).failed_with(&["2 files are not in canonical form", "cargo xtask protos fmt"]);
    assert_eq!(
        run.stdout,
        "rewritten: proto/lamp/lamp.proto\nrewritten: proto/lamp/switch.proto\n"
    );
    assert_eq!(fixture.ours(), other);

    fmt(&fixture, false).succeeded();
    assert_eq!(fixture.ours(), canonical);
    assert_eq!(fmt(&fixture, false).succeeded().stdout, "");
}

#[test]
fn comments_of_every_kind_survive() {
    let fixture = Fixture::new();
    let file = "\
// Copyright line.

// About the file.
syntax = \"proto3\";

// About the package.
package odd;

import \"google/protobuf/descriptor.proto\";

extend google.protobuf.FieldOptions {
  // Of an extension.
  string note = 50001;
}

// A heading over two messages.

// First. A URL:
// https://example.org/a_very_long_path/that/cannot/be/broken/anywhere/because/it/is/one/word/a/long/one
message First {

  // A heading over fields.

  // Of a field.
  //
  //     code {  keeps = its form; }
  //
  // | a table row that is longer than a hundred columns | stays on one line | since it could not be read |
  string value = 1 [(odd.note) = \"// no \\\"comment\\\"\"];
  // Of a oneof.
  oneof choice {
    // Of a choice.
    bool left = 2;

    // A heading in a oneof.

    bool right = 3;
  }
}

// Über Umlaute: äöü.
enum Kind {
  // Nothing.
  NONE = 0;
}

// Last: a service after other things.
service Odd {
  option deprecated = true;

  // Of an RPC.
  rpc Do(First) returns (First);

  // A heading over RPCs.

  rpc DoNot(First) returns (First);
}
";
    fixture.write("ours/proto/odd/odd.proto", file);
    fmt(&fixture, true).succeeded();
}

#[test]
fn types_and_packages_of_one_name_survive() {
    let fixture = Fixture::new();
    let file = "\
syntax = \"proto3\";

package lamp.odd;

import \"common/common.proto\";
import \"google/protobuf/empty.proto\";
import \"lamp/events.proto\";
import \"lamp/odd/common/hidden.proto\";

message Level {
  message google {}
  message Level {}
  lamp.Level near = 1;
  lamp.odd.Level own = 2;
  Level inner = 3;
  .common.Metadata common = 4;
  lamp.odd.common.Metadata hidden = 5;
  .google.protobuf.Empty empty = 6;
  map<string, google> others = 7;
}
";
    fixture.write("ours/proto/lamp/odd/odd.proto", file);
    fixture.write(
        "ours/proto/lamp/odd/common/hidden.proto",
        "syntax = \"proto3\";\n\npackage lamp.odd.common;\n\nmessage Metadata {}\n",
    );
    fmt(&fixture, false).succeeded();
    let rewritten = fixture.read("ours/proto/lamp/odd/odd.proto");
    fmt(&fixture, true).succeeded();
    // Written differently, but each name still means what it meant.
    copy(&fixture.path("ours/proto"), &fixture.path("same"));
    fixture.write("same/lamp/odd/odd.proto", file);
    let same = fixture.path("same");
    let run = fixture.diff(&["--from", same.to_str().unwrap()]).succeeded();
    assert!(
        run.stdout.starts_with("no difference"),
        "{}\n{rewritten}",
        run.stdout
    );
}

#[test]
fn reserved_ranges_up_to_the_highest_number_survive() {
    let fixture = Fixture::new();
    let file = "\
syntax = \"proto3\";

package odd;

message First {
  reserved 5 to max;
}

enum Kind {
  reserved -5 to -1;
  reserved 536870911;
  reserved 536870913 to max;
  NONE = 0;
  NEGATIVE = -6;
}
";
    fixture.write("ours/proto/odd/odd.proto", file);
    fmt(&fixture, true).succeeded();
}

#[test]
fn long_comment_lines_are_broken_at_column_100() {
    let fixture = Fixture::new();
    let words = "word ".repeat(40);
    fixture.edit(
        "ours/proto/lamp/switch.proto",
        "// A colour.",
        &format!("// {}", words.trim_end()),
    );
    fmt(&fixture, false).succeeded();
    let switch = fixture.read("ours/proto/lamp/switch.proto");
    assert!(switch.lines().all(|line| line.len() <= 100), "{switch}");
    assert_eq!(switch.matches("word").count(), 40);
    fmt(&fixture, true).succeeded();
}

/// Whatever is done to the real tree by hand: rewriting it changes no fact and loses no comment.
#[test]
fn the_real_protos_say_the_same_in_canonical_form() {
    let fixture = Fixture::with_upstream(&repository().join("proto"));
    std::fs::remove_dir_all(fixture.path("ours/proto")).unwrap();
    copy(&repository().join("proto"), &fixture.path("ours/proto"));
    fmt(&fixture, false).succeeded();
    let run = fixture.diff(&[]).succeeded();
    assert_eq!(run.stdout, "no difference on the wire\n");
    fmt(&fixture, true).succeeded();

    let words = |folder: &str| -> Vec<String> {
        let files = contents(&fixture.path(folder))
            .into_iter()
            .filter(|(name, _)| name.ends_with(".proto"));
        files
            .flat_map(|(_, text)| {
                let comments: Vec<_> = text
                    .lines()
                    .filter_map(|line| line.trim_start().strip_prefix("//"))
                    .map(str::to_owned)
                    .collect();
                comments
                    .join(" ")
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    assert_eq!(words("ours/proto"), words("upstream"));
}
