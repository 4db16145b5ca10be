//! Paths on a node.

/// What is wrong with a path on a node, if anything. Not a [`std::path::Path`]: nodes run Linux.
pub(super) fn problem(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("the path is empty")
    } else if !path.starts_with('/') {
        Some("the path is not absolute")
    } else if path.contains('\0') {
        Some("the path has a zero byte in it")
    } else {
        None
    }
}

/// How many levels below the root of a listing something is; 0 for the root itself.
pub(super) fn depth(relative: &str) -> usize {
    match relative.trim_matches('/') {
        "" | "." => 0,
        path => path.split('/').count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute() {
        assert_eq!(problem("/"), None);
        assert_eq!(problem("/etc/os-release"), None);
        for path in ["", "etc", "./etc", "\\etc", "C:\\", "/a\0b"] {
            assert!(problem(path).is_some(), "{path:?}");
        }
    }

    #[test]
    fn depth_counts_names() {
        for (path, expected) in [(".", 0), ("", 0), ("a", 1), ("a/b", 2), ("a/b/c", 3), ("a/", 1)] {
            assert_eq!(depth(path), expected, "{path:?}");
        }
    }
}
