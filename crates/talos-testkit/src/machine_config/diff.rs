//! The difference between two texts, as `diff -u` shows it.

/// Lines of context around each change.
const CONTEXT: usize = 3;

/// Larger parts than this are shown as replaced as a whole: entries of the table that finds what they share.
const ROOM: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Keep,
    Remove,
    Add,
}

/// What turns `before` into `after`; `None` if they are the same.
pub(crate) fn unified(before: &str, after: &str) -> Option<String> {
    if before == after {
        return None;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let edits = edits(&old, &new);
    let mut text = String::from("--- a\n+++ b\n");
    for (from, to) in hunks(&edits) {
        let skipped = |kind| edits[..from].iter().filter(|edit| **edit != kind).count();
        let (mut left, mut right) = (skipped(Edit::Add), skipped(Edit::Remove));
        let length = |kind| edits[from..to].iter().filter(|edit| **edit != kind).count();
        text.push_str(&format!(
            "@@ -{} +{} @@\n",
            range(left, length(Edit::Add)),
            range(right, length(Edit::Remove))
        ));
        for edit in &edits[from..to] {
            let (mark, line) = match edit {
                Edit::Keep => (' ', old[left]),
                Edit::Remove => ('-', old[left]),
                Edit::Add => ('+', new[right]),
            };
            text.push(mark);
            text.push_str(line);
            text.push('\n');
            left += usize::from(*edit != Edit::Add);
            right += usize::from(*edit != Edit::Remove);
        }
    }
    Some(text)
}

fn range(skipped: usize, length: usize) -> String {
    match length {
        0 => format!("{skipped},0"),
        1 => format!("{}", skipped + 1),
        _ => format!("{},{length}", skipped + 1),
    }
}

fn edits(old: &[&str], new: &[&str]) -> Vec<Edit> {
    let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[prefix..], &new[prefix..]);
    let suffix = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old, new) = (&old[..old.len() - suffix], &new[..new.len() - suffix]);
    let mut edits = vec![Edit::Keep; prefix];
    if (old.len() + 1).saturating_mul(new.len() + 1) > ROOM {
        edits.resize(prefix + old.len(), Edit::Remove);
        edits.resize(prefix + old.len() + new.len(), Edit::Add);
    } else {
        edits.extend(middle(old, new));
    }
    edits.resize(edits.len() + suffix, Edit::Keep);
    edits
}

/// By the longest common subsequence.
fn middle(old: &[&str], new: &[&str]) -> Vec<Edit> {
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for left in (0..old.len()).rev() {
        for right in (0..new.len()).rev() {
            common[left * width + right] = if old[left] == new[right] {
                common[(left + 1) * width + right + 1] + 1
            } else {
                common[(left + 1) * width + right].max(common[left * width + right + 1])
            };
        }
    }
    let (mut left, mut right) = (0, 0);
    let mut edits = Vec::new();
    while left < old.len() || right < new.len() {
        let edit = if left == old.len() {
            Edit::Add
        } else if right == new.len() {
            Edit::Remove
        } else if old[left] == new[right] {
            Edit::Keep
        } else if common[(left + 1) * width + right] >= common[left * width + right + 1] {
            Edit::Remove
        } else {
            Edit::Add
        };
        left += usize::from(edit != Edit::Add);
        right += usize::from(edit != Edit::Remove);
        edits.push(edit);
    }
    edits
}

/// Ranges of edits that belong together, with their context.
fn hunks(edits: &[Edit]) -> Vec<(usize, usize)> {
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for (index, _) in edits.iter().enumerate().filter(|(_, edit)| **edit != Edit::Keep) {
        let (from, to) = (
            index.saturating_sub(CONTEXT),
            (index + 1 + CONTEXT).min(edits.len()),
        );
        match hunks.last_mut() {
            Some((_, end)) if *end >= from => *end = to,
            _ => hunks.push((from, to)),
        }
    }
    hunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_with_their_surroundings() {
        assert_eq!(unified("a\n", "a\n"), None);
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n";
        let after = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n13\n";
        assert_eq!(
            unified(before, after).unwrap(),
            "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n@@ -10,3 +10,4 @@\n 10\n 11\n 12\n+13\n"
        );
        assert_eq!(unified("", "x\n").unwrap(), "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n");
        assert_eq!(unified("x\n", "").unwrap(), "--- a\n+++ b\n@@ -1 +0,0 @@\n-x\n");
    }

    #[test]
    fn large_texts_are_compared_without_much_memory() {
        let old: String = (0..5_000).map(|line| format!("old {line}\n")).collect();
        let new: String = (0..5_000).map(|line| format!("new {line}\n")).collect();
        let text = unified(&old, &new).unwrap();
        assert!(text.starts_with("--- a\n+++ b\n@@ -1,5000 +1,5000 @@\n-old 0\n"));
    }
}
