//! One line a number.

use std::fmt;

/// A measured number and its bar.
#[derive(Debug)]
pub struct Line {
    pub name: String,
    pub measured: String,
    pub bar: String,
    pub ok: bool,
}

impl Line {
    /// A ratio that may be at most this, compared as it is printed: with two digits.
    pub fn at_most(name: &str, ratio: f64, max: f64, detail: &str) -> Self {
        Self {
            name: name.to_owned(),
            measured: format!("{ratio:.2}x ({detail})"),
            bar: format!("<= {max:.2}x"),
            ok: rounded(ratio) <= max,
        }
    }

    /// A ratio that must be at least this.
    pub fn at_least(name: &str, ratio: f64, min: f64, detail: &str) -> Self {
        Self {
            name: name.to_owned(),
            measured: format!("{ratio:.2}x ({detail})"),
            bar: format!(">= {min:.2}x"),
            ok: rounded(ratio) >= min,
        }
    }

    /// A number with a unit that must be below this.
    pub fn below(name: &str, value: f64, max: f64, unit: &str) -> Self {
        Self {
            name: name.to_owned(),
            measured: format!("{value:.1} {unit}"),
            bar: format!("< {max:.0} {unit}"),
            ok: value < max,
        }
    }
}

fn rounded(ratio: f64) -> f64 {
    (ratio * 100.0).round() / 100.0
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.ok { "ok" } else { "short" };
        let Self {
            name, measured, bar, ..
        } = self;
        write!(f, "{name:<28} {measured:<44} {bar:<18} {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_compared_as_it_is_printed() {
        for (line, ok) in [
            (Line::at_most("a", 1.104, 1.1, ""), true),
            (Line::at_most("a", 1.106, 1.1, ""), false),
            (Line::at_least("a", 0.996, 1.0, ""), true),
            (Line::at_least("a", 0.994, 1.0, ""), false),
            (Line::below("a", 31.9, 32.0, "MiB"), true),
            (Line::below("a", 32.0, 32.0, "MiB"), false),
        ] {
            assert_eq!(line.ok, ok, "{line}");
            let end = if ok { " ok" } else { " short" };
            assert!(line.to_string().ends_with(end), "{line}");
        }
    }
}
