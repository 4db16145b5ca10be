//! Keeps our files from importing each other in a circle.
//!
//! Upstream has in one file what we split by area, so types that never met may start to use each other.

use std::collections::{BTreeMap, BTreeSet};

use super::schema::{FileLayout, Schema};

/// Moves types until no file imports itself by way of others, and says which known ones were moved and why.
///
/// Where it helps, it is the `new` ones that go to another file. Else, of the files that form a circle, the
/// types used across them are gathered in one, with everything among these files that they use in turn. That
/// file then imports none of the others.
pub fn untangle(schema: &Schema, files: &mut [FileLayout], new: &BTreeSet<String>) -> Vec<String> {
    while move_new(schema, files, new) {}
    let mut notes = Vec::new();
    while let Some(circle) = circle(schema, files) {
        let shared = shared(schema, files, &circle);
        let Some(target) = circle.iter().copied().max_by_key(|file| {
            (
                files[*file]
                    .items
                    .iter()
                    .filter(|item| shared.contains(*item))
                    .count(),
                std::cmp::Reverse(*file),
            )
        }) else {
            break;
        };
        let before = notes.len();
        for file in circle.into_iter().filter(|file| *file != target) {
            let (moved, kept) = std::mem::take(&mut files[file].items)
                .into_iter()
                .partition(|i| shared.contains(i));
            files[file].items = kept;
            for name in &moved {
                notes.push(format!(
                    "{name} moves from {} to {}, or they would import each other",
                    files[file].path, files[target].path
                ));
            }
            files[target].items.extend::<Vec<String>>(moved);
        }
        if notes.len() == before {
            break;
        }
    }
    notes
}

/// Moves the new type to the file where that leaves the fewest files in circles. Answers whether any did.
fn move_new(schema: &Schema, files: &mut [FileLayout], new: &BTreeSet<String>) -> bool {
    let Some(circle) = circle(schema, files) else {
        return false;
    };
    let before = tangled(schema, files);
    let mut best: Option<(usize, Vec<FileLayout>)> = None;
    for from in &circle {
        for name in files[*from].items.iter().filter(|name| new.contains(*name)) {
            for to in circle.iter().filter(|to| *to != from) {
                let mut moved = files.to_vec();
                moved[*from].items.retain(|item| item != name);
                let place = beside(schema, name, &moved[*to].items);
                moved[*to].items.insert(place, name.clone());
                let left = tangled(schema, &moved);
                if left < best.as_ref().map_or(before, |(left, _)| *left) {
                    best = Some((left, moved));
                }
            }
        }
    }
    best.is_some_and(|(_, moved)| {
        files.clone_from_slice(&moved);
        true
    })
}

/// Behind the last of `items` that has to do with `name`.
fn beside(schema: &Schema, name: &str, items: &[String]) -> usize {
    let related = |item: &String| {
        uses(schema, name).any(|used| used == item) || uses(schema, item).any(|used| used == name)
    };
    items
        .iter()
        .rposition(related)
        .map_or(items.len(), |last| last + 1)
}

/// Number of files that import themselves by way of others.
fn tangled(schema: &Schema, files: &[FileLayout]) -> usize {
    let imports = imports(schema, files);
    let in_circle = |file: &usize| {
        let mut others = imports[*file].iter().filter(|other| *other != file);
        others.any(|other| reach(*other, &imports).contains(file))
    };
    (0..files.len()).filter(in_circle).count()
}

/// The files of one package that import each other, directly or not.
fn circle(schema: &Schema, files: &[FileLayout]) -> Option<BTreeSet<usize>> {
    let imports = imports(schema, files);
    let reached: Vec<_> = (0..files.len()).map(|file| reach(file, &imports)).collect();
    (0..files.len()).find_map(|file| {
        let circle: BTreeSet<_> = reached[file]
            .iter()
            .copied()
            .filter(|other| reached[*other].contains(&file) && files[*other].package == files[file].package)
            .collect();
        (circle.len() > 1).then_some(circle)
    })
}

fn holders(files: &[FileLayout]) -> BTreeMap<&str, usize> {
    let items = files
        .iter()
        .enumerate()
        .flat_map(|(file, layout)| layout.items.iter().map(move |item| (item, file)));
    items.map(|(item, file)| (item.as_str(), file)).collect()
}

/// The top-level types that `item` uses.
fn uses<'a>(schema: &'a Schema, item: &str) -> impl Iterator<Item = &'a str> {
    let references = schema
        .items
        .get(item)
        .map(|item| item.references())
        .unwrap_or_default();
    references.into_iter().filter_map(|used| schema.top(used))
}

fn imports(schema: &Schema, files: &[FileLayout]) -> Vec<BTreeSet<usize>> {
    let holders = holders(files);
    let of = |layout: &FileLayout| {
        layout
            .items
            .iter()
            .flat_map(|item| uses(schema, item))
            .filter_map(|used| holders.get(used).copied())
            .collect()
    };
    files.iter().map(of).collect()
}

fn reach(start: usize, imports: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut pending = vec![start];
    while let Some(file) = pending.pop() {
        pending.extend(
            imports[file]
                .iter()
                .copied()
                .filter(|other| *other != file && found.insert(*other)),
        );
    }
    found
}

/// Types of the circle that another file of it uses, and what they use inside it.
fn shared(schema: &Schema, files: &[FileLayout], circle: &BTreeSet<usize>) -> BTreeSet<String> {
    let holders = holders(files);
    let inside = |name: &str| holders.get(name).copied().filter(|file| circle.contains(file));
    let mut shared = BTreeSet::new();
    let mut pending = Vec::new();
    for file in circle {
        for item in &files[*file].items {
            pending
                .extend(uses(schema, item).filter(|used| inside(used).is_some_and(|holder| holder != *file)));
        }
    }
    while let Some(name) = pending.pop() {
        if shared.insert(name.to_owned()) {
            pending.extend(uses(schema, name).filter(|used| inside(used).is_some()));
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protos::schema::{Field, Item, Label, Message, Options, Type};

    fn schema(of: &[(&str, &[&str])]) -> Schema {
        let message = |name: &str, uses: &[&str]| {
            let fields = uses.iter().zip(1..).map(|(used, number)| Field {
                name: format!("field{number}"),
                number,
                ty: Type::Named(format!("p.{used}")),
                label: Label::Singular,
                oneof: None,
                options: Options::new(),
            });
            Item::Message(Message {
                name: name.to_owned(),
                fields: fields.collect(),
                ..Message::default()
            })
        };
        let items = of
            .iter()
            .map(|(name, uses)| (format!("p.{name}"), message(name, uses)));
        Schema {
            items: items.collect(),
            ..Schema::default()
        }
    }

    fn files(of: &[(&str, &[&str])]) -> Vec<FileLayout> {
        let file = |path: &str, items: &[&str]| FileLayout {
            path: path.to_owned(),
            package: "p".to_owned(),
            items: items.iter().map(|item| format!("p.{item}")).collect(),
            extensions: Vec::new(),
        };
        of.iter().map(|(path, items)| file(path, items)).collect()
    }

    #[test]
    fn files_without_a_circle_stay_as_they_are() {
        let schema = schema(&[("A", &["B", "C"]), ("B", &["C"]), ("C", &["C"])]);
        let before = files(&[("a", &["A"]), ("b", &["B"]), ("c", &["C"])]);
        let mut after = before.clone();
        assert!(untangle(&schema, &mut after, &BTreeSet::new()).is_empty());
        assert_eq!(after, before);
    }

    #[test]
    fn types_used_across_a_circle_are_gathered() {
        let schema = schema(&[
            ("A", &["B"]),
            ("A2", &[]),
            ("B", &["B1"]),
            ("B1", &[]),
            ("B2", &["A2"]),
            ("C", &["A"]),
        ]);
        let mut split = files(&[("a", &["A", "A2"]), ("b", &["B", "B1", "B2"]), ("c", &["C"])]);
        let notes = untangle(&schema, &mut split, &BTreeSet::new());
        assert_eq!(
            split,
            files(&[("a", &["A"]), ("b", &["B", "B1", "B2", "A2"]), ("c", &["C"])])
        );
        assert_eq!(notes, ["p.A2 moves from a to b, or they would import each other"]);
    }

    #[test]
    fn a_new_type_moves_rather_than_a_known_one() {
        let schema = schema(&[("A", &["New"]), ("New", &["A2"]), ("A2", &[]), ("B", &[])]);
        let mut split = files(&[("a", &["A2", "A"]), ("b", &["B", "New"])]);
        let new = BTreeSet::from(["p.New".to_owned()]);
        assert!(untangle(&schema, &mut split, &new).is_empty());
        assert_eq!(split, files(&[("a", &["A2", "A", "New"]), ("b", &["B"])]));
    }

    #[test]
    fn types_that_use_each_other_end_up_in_one_file() {
        let schema = schema(&[("A", &["B"]), ("B", &["C"]), ("C", &["A"]), ("Own", &["A"])]);
        let mut split = files(&[("a", &["A"]), ("b", &["B", "Own"]), ("c", &["C"])]);
        untangle(&schema, &mut split, &BTreeSet::new());
        assert_eq!(
            split,
            files(&[("a", &["A", "B", "C"]), ("b", &["Own"]), ("c", &[])])
        );
    }
}
