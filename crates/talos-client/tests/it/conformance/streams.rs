//! What nodes stream.

use super::Subject;

// covers: machine.MachineService/Read
pub(super) async fn a_file_is_read_whole(subject: &Subject) {
    for node in &subject.nodes {
        let file = node.read("/etc/os-release").await.expect("exists");
        let contents = file.collect_up_to(1 << 20).await.expect("read");
        let text = String::from_utf8(contents.to_vec()).expect("text");
        assert!(text.contains("ID=talos"), "{text}");
    }
}

// covers: machine.MachineService/Logs
pub(super) async fn the_last_lines_of_a_log_are_as_many_as_asked_for(subject: &Subject) {
    let node = subject.control_plane();
    for wanted in [0, 1, 3] {
        let mut lines = node
            .logs("machined")
            .tail_lines(wanted)
            .send()
            .await
            .expect("exists")
            .lines();
        let mut count = 0;
        while let Some(line) = lines.next_line().await {
            line.expect("read");
            count += 1;
        }
        assert_eq!(count, wanted);
    }
}

// covers: machine.MachineService/Dmesg
pub(super) async fn the_kernel_has_said_something(subject: &Subject) {
    let mut lines = subject
        .control_plane()
        .dmesg()
        .send()
        .await
        .expect("opened")
        .lines();
    let first = lines.next_line().await.expect("a line").expect("read");
    assert!(first.contains(": ["), "{first}");
}
