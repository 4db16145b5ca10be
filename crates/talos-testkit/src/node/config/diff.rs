//! Differences of two texts in the unified format.

/// Lines around a change.
const CONTEXT: usize = 3;
/// Beyond this many differing lines, the middle is shown as replaced as a whole.
const MOST_EDITS: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Keep,
    Remove,
    Add,
}

/// The unified diff of `old` and `new`; `None` if they are equal.
pub(super) fn unified(old: &str, new: &str) -> Option<String> {
    if old == new {
        return None;
    }
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let edits = edits(&old, &new);
    let mut text = "--- a\n+++ b\n".to_owned();
    for (from, to) in hunks(&edits) {
        render(&mut text, &edits, from, to, &old, &new);
    }
    Some(text)
}

/// The shortest way from `old` to `new`, line by line.
fn edits(old: &[&str], new: &[&str]) -> Vec<Edit> {
    let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[prefix..], &new[prefix..]);
    let suffix = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let old_middle = &old_rest[..old_rest.len() - suffix];
    let new_middle = &new_rest[..new_rest.len() - suffix];
    let mut all = vec![Edit::Keep; prefix];
    all.extend(shortest(old_middle, new_middle).unwrap_or_else(|| {
        let removed = std::iter::repeat_n(Edit::Remove, old_middle.len());
        removed
            .chain(std::iter::repeat_n(Edit::Add, new_middle.len()))
            .collect()
    }));
    all.extend(std::iter::repeat_n(Edit::Keep, suffix));
    all
}

/// Myers's greedy algorithm; `None` if more than [`MOST_EDITS`] lines differ.
fn shortest(old: &[&str], new: &[&str]) -> Option<Vec<Edit>> {
    let limit = (old.len() + new.len()).min(MOST_EDITS);
    // `furthest[k + offset]` is how far in `old` the diagonal `k` (old minus new) has come.
    let offset = limit + 1;
    let mut furthest = vec![0_usize; 2 * offset + 1];
    let mut trace = Vec::new();
    for depth in 0..=limit {
        trace.push(furthest.clone());
        for step in (0..=2 * depth).step_by(2) {
            let diagonal = offset - depth + step;
            let down = step == 0 || step != 2 * depth && furthest[diagonal - 1] < furthest[diagonal + 1];
            let mut x = if down {
                furthest[diagonal + 1]
            } else {
                furthest[diagonal - 1] + 1
            };
            // On diagonals that leave the grid, `y` would be negative or `x` too large; they lead nowhere.
            let Some(mut y) = (x + offset).checked_sub(diagonal) else {
                continue;
            };
            while x < old.len() && y < new.len() && old[x] == new[y] {
                x += 1;
                y += 1;
            }
            furthest[diagonal] = x;
            if x >= old.len() && y >= new.len() {
                return Some(walk_back(&trace, old.len(), new.len(), offset));
            }
        }
    }
    None
}

fn walk_back(trace: &[Vec<usize>], old: usize, new: usize, offset: usize) -> Vec<Edit> {
    let (mut x, mut y) = (old, new);
    let mut edits = Vec::new();
    for (depth, furthest) in trace.iter().enumerate().rev() {
        let diagonal = x + offset - y;
        let lowest = diagonal == offset - depth;
        let down = lowest || diagonal != offset + depth && furthest[diagonal - 1] < furthest[diagonal + 1];
        let before = if down { diagonal + 1 } else { diagonal - 1 };
        let from_x = furthest[before];
        let from_y = (from_x + offset).saturating_sub(before);
        if depth == 0 {
            edits.extend(std::iter::repeat_n(Edit::Keep, x));
            break;
        }
        let (turn_x, turn_y) = if down {
            (from_x, from_y + 1)
        } else {
            (from_x + 1, from_y)
        };
        edits.extend(std::iter::repeat_n(Edit::Keep, (x - turn_x).min(y - turn_y)));
        edits.push(if down { Edit::Add } else { Edit::Remove });
        (x, y) = (from_x, from_y);
    }
    edits.reverse();
    edits
}

/// Ranges of edits that are shown: changes with their surroundings.
fn hunks(edits: &[Edit]) -> Vec<(usize, usize)> {
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for (index, edit) in edits.iter().enumerate() {
        if *edit == Edit::Keep {
            continue;
        }
        let from = index.saturating_sub(CONTEXT);
        let to = (index + 1 + CONTEXT).min(edits.len());
        match hunks.last_mut() {
            Some(last) if from <= last.1 => last.1 = to,
            _ => hunks.push((from, to)),
        }
    }
    hunks
}

fn render(text: &mut String, edits: &[Edit], from: usize, to: usize, old: &[&str], new: &[&str]) {
    let count = |range: &[Edit], other: Edit| range.iter().filter(|edit| **edit != other).count();
    let mut at_old = count(&edits[..from], Edit::Add);
    let mut at_new = count(&edits[..from], Edit::Remove);
    let range = |start: usize, length: usize| match length {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        _ => format!("{},{length}", start + 1),
    };
    let shown = &edits[from..to];
    text.push_str(&format!(
        "@@ -{} +{} @@\n",
        range(at_old, count(shown, Edit::Add)),
        range(at_new, count(shown, Edit::Remove))
    ));
    for edit in shown {
        let (mark, line) = match edit {
            Edit::Keep => (' ', old[at_old]),
            Edit::Remove => ('-', old[at_old]),
            Edit::Add => ('+', new[at_new]),
        };
        at_old += usize::from(*edit != Edit::Add);
        at_new += usize::from(*edit != Edit::Remove);
        text.push(mark);
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_diff() {
        assert_eq!(unified("a\nb\n", "a\nb\n"), None);
    }

    #[test]
    fn changes_are_shown_with_three_lines_around_them() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n";
        let expected = "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n";
        assert_eq!(unified(old, new).unwrap(), expected);
    }

    #[test]
    fn distant_changes_are_separate_hunks() {
        let lines = |changed: &[usize]| -> String {
            (1..=20)
                .map(|line| {
                    if changed.contains(&line) {
                        format!("x{line}\n")
                    } else {
                        format!("{line}\n")
                    }
                })
                .collect()
        };
        let diff = unified(&lines(&[]), &lines(&[2, 18])).unwrap();
        assert_eq!(diff.matches("@@ -").count(), 2, "{diff}");
        let diff = unified(&lines(&[]), &lines(&[5, 8])).unwrap();
        assert_eq!(diff.matches("@@ -").count(), 1, "{diff}");
    }

    #[test]
    fn beginnings_ends_and_missing_newlines() {
        assert_eq!(unified("", "a\n").unwrap(), "--- a\n+++ b\n@@ -0,0 +1 @@\n+a\n");
        assert_eq!(unified("a\n", "").unwrap(), "--- a\n+++ b\n@@ -1 +0,0 @@\n-a\n");
        let diff = unified("a", "a\n").unwrap();
        assert_eq!(
            diff,
            "--- a\n+++ b\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"
        );
    }

    #[test]
    fn applying_the_edits_gives_the_new_text() {
        let mut rng = crate::rng::SimRng::new(5);
        for _ in 0..300 {
            let text = |rng: &mut crate::rng::SimRng| -> Vec<&'static str> {
                (0..rng.one_to(12))
                    .map(|_| ["a", "b", "c"][rng.one_to(3) - 1])
                    .collect()
            };
            let (old, new) = (text(&mut rng), text(&mut rng));
            let (mut at_old, mut at_new, mut made) = (0, 0, Vec::new());
            for edit in edits(&old, &new) {
                match edit {
                    Edit::Keep => {
                        assert_eq!(old[at_old], new[at_new]);
                        made.push(old[at_old]);
                        (at_old, at_new) = (at_old + 1, at_new + 1);
                    }
                    Edit::Remove => at_old += 1,
                    Edit::Add => {
                        made.push(new[at_new]);
                        at_new += 1;
                    }
                }
            }
            assert_eq!((made, at_old), (new.clone(), old.len()), "{old:?} {new:?}");
        }
    }
}
