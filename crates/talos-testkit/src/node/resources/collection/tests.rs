use bytes::Bytes;

use super::super::{Draft, ResourceKind};
use super::*;

const KIND: ResourceKind = ResourceKind {
    name: "T",
    namespace: "n",
    owner: "o",
};

fn put(collection: &Collection, id: &str, yaml: &str) {
    collection.put(Draft {
        kind: &KIND,
        id: id.to_owned(),
        proto_spec: Bytes::new(),
        yaml_spec: yaml.to_owned(),
    });
}

#[test]
fn versions_count_real_updates_only() {
    let collection = Collection::default();
    for yaml in ["a", "a", "b"] {
        put(&collection, "x", yaml);
    }
    let metadata = collection.get("x").unwrap().metadata.clone().unwrap();
    assert_eq!(metadata.version, "2");
    assert_eq!(collection.snapshot().position, 2);
    collection.remove("x");
    collection.remove("x");
    assert_eq!((collection.get("x"), collection.snapshot().position), (None, 3));
}

#[test]
fn the_history_grows_to_its_limit_and_then_forgets() {
    let collection = Collection::default();
    for n in 0..2000 {
        put(&collection, "x", &n.to_string());
    }
    assert!(matches!(collection.read(2000), Read::Nothing));
    assert!(matches!(collection.read(976), Read::Next { position: 976, .. }));
    assert!(matches!(
        collection.read(975),
        Read::Overrun {
            written: 2000,
            capacity: 1024
        }
    ));
    assert_eq!(collection.tail(5, None), 1995);
    assert_eq!(collection.tail(5000, None), 980, "the gap is not replayed");
}

#[test]
fn tails_of_one_resource_count_its_own_events() {
    let collection = Collection::default();
    for (id, yaml) in [("x", "1"), ("y", "1"), ("x", "2"), ("y", "2"), ("y", "3")] {
        put(&collection, id, yaml);
    }
    assert_eq!(collection.tail(1, Some("x")), 2);
    assert_eq!(collection.tail(9, Some("x")), 2, "position 0 is in the gap");
    assert_eq!(collection.tail(1, Some("z")), 5);
}

#[test]
fn bookmarks_go_on_after_their_event_while_it_is_in_reach() {
    let collection = Collection::default();
    let empty = Bookmark::before(collection.snapshot().position);
    assert_eq!(collection.after(empty), Some(0));
    for n in 0..3 {
        put(&collection, "x", &n.to_string());
    }
    assert_eq!(collection.after(empty), Some(0));
    assert_eq!(collection.after(Bookmark::at(1)), Some(2));
    assert_eq!(collection.after(Bookmark::at(3)), None, "never happened");
    put(&collection, "x", "3");
    assert_eq!(
        collection.after(empty),
        None,
        "early bookmarks expire after a few events"
    );
    assert_eq!(collection.after(Bookmark::at(1)), Some(2));
}

#[test]
fn a_forced_overrun_is_one_for_watchers_bookmarks_and_tails() {
    let collection = Collection::default();
    put(&collection, "x", "1");
    let bookmark = Bookmark::at(0);
    assert_eq!(collection.after(bookmark), Some(1));
    collection.overrun();
    assert_eq!(collection.after(bookmark), None);
    let Read::Overrun { written, capacity } = collection.read(1) else {
        panic!("the event is gone");
    };
    assert!(written - 1 > capacity, "{written} {capacity}");
    assert_eq!(collection.tail(5, None), written);
    put(&collection, "x", "2");
    assert_eq!(collection.tail(5, None), written);
    assert!(matches!(collection.read(written), Read::Next { .. }));
    assert_eq!(
        collection.snapshot().resources.len(),
        1,
        "the resources themselves stay"
    );
}
