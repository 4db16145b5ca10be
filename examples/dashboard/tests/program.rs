//! Runs the program on the simulated cluster, and looks at what it shows.

use std::path::Path;

use example_testing::{Lines, Program, assert_recorded, assert_recorded_file};

fn run(arguments: &[&str]) -> String {
    Program::at(env!("CARGO_BIN_EXE_dashboard"))
        .run(arguments)
        .succeeded()
}

/// One after the other, as they were printed.
fn frames(text: &str) -> Vec<&str> {
    text.split_inclusive(" q ends\n").map(str::trim_start).collect()
}

#[test]
fn frames_show_every_node_with_its_curves_and_log() {
    let text = run(&["--frames", "3"]);
    let frames: Vec<_> = frames(&text)
        .into_iter()
        .filter(|frame| !frame.is_empty())
        .collect();
    assert_eq!(frames.len(), 3, "{text}");
    for (number, frame) in frames.iter().enumerate() {
        for node in [
            "10.5.0.2 sim-controlplane-1 v1.14.0",
            "10.5.0.3 ",
            "10.5.0.4 ",
            "10.5.0.5 sim-worker-1",
        ] {
            assert!(frame.contains(node), "{node}: {frame}");
        }
        assert!(frame.contains("running, ready"), "{frame}");
        assert!(
            frame.contains(&format!("simulated line 3 of step {}", number + 1)),
            "{frame}"
        );
    }
    // The use of the CPUs takes two looks, that of memory one. Simulated CPUs count in seconds, of which one is between
    // two frames.
    assert!(
        frames[0].contains("cpu -") && frames[0].contains("memory 80 %"),
        "{text}"
    );
    assert!(
        frames[1].contains("cpu 14 %") && frames[1].contains("memory 73 %"),
        "{text}"
    );
    assert!(
        frames[2].contains('█') && frames[2].contains("memory 66 %"),
        "{text}"
    );
    // Something is wrong in between.
    let sick: Vec<bool> = frames.iter().map(|frame| frame.contains("not kubelet")).collect();
    assert_eq!(sick, [false, true, false], "{text}");
}

#[test]
fn without_a_terminal_it_ends_by_itself() {
    let text = run(&["--interval", "10", "--log", "apid"]);
    assert_eq!(text.matches("q ends").count(), 2, "{text}");
    assert!(!text.contains("simulated line"), "{text}");
}

#[test]
fn what_it_shows_is_as_recorded() {
    assert_recorded("dashboard", &run(&["--frames", "1"]), Lines::InOrder, &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dashboard.svg");
    let arguments = ["--frames", "6", "--picture", path.to_str().expect("text")];
    assert_eq!(run(&arguments).matches("q ends").count(), 6);
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard.svg");
    assert_recorded_file(&path, &recorded);
}
