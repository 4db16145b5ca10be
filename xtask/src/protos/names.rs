//! Writes type names as short as protobuf's scoping rules allow.

use std::collections::BTreeSet;

use super::schema::{Item, Message, Schema, Tree, join};

/// All names that a type reference can be resolved against.
#[derive(Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// Collects the types, services and packages of `tree`, and of the well-known types it uses.
    pub fn of(tree: &Tree) -> Self {
        let mut names = Self::default();
        for file in &tree.files {
            names.package(&file.package);
        }
        names.schema(&tree.schema);
        for name in tree.foreign.keys() {
            if let Some((package, _)) = name.rsplit_once('.') {
                names.package(package);
            }
            names.0.insert(name.clone());
        }
        names
    }

    fn package(&mut self, package: &str) {
        let ends = package
            .match_indices('.')
            .map(|(end, _)| end)
            .chain([package.len()]);
        self.0.extend(ends.map(|end| package[..end].to_owned()));
    }

    fn schema(&mut self, schema: &Schema) {
        for (name, item) in &schema.items {
            self.0.insert(name.clone());
            if let Item::Message(message) = item {
                self.message(name, message);
            }
        }
    }

    fn message(&mut self, scope: &str, message: &Message) {
        self.0
            .extend(message.enums.iter().map(|nested| join(scope, &nested.name)));
        for nested in &message.messages {
            let name = join(scope, &nested.name);
            self.message(&name, nested);
            self.0.insert(name);
        }
    }

    /// How to write `target` inside `scope`, a message or service of `package`: without the package if it is
    /// the same one, and with a leading dot where a nearer name would be taken instead.
    pub fn reference(&self, target: &str, package: &str, scope: &str) -> String {
        let local = target
            .strip_prefix(package)
            .and_then(|rest| rest.strip_prefix('.'));
        let local = local.filter(|name| self.resolve(name, scope).as_deref() == Some(target));
        local.map_or_else(|| self.qualified(target, scope), str::to_owned)
    }

    /// How to write the full name `target` inside `scope`: as it is, or with a leading dot.
    pub fn qualified(&self, target: &str, scope: &str) -> String {
        let hidden = self.resolve(target, scope).is_some_and(|found| found != target);
        if hidden {
            format!(".{target}")
        } else {
            target.to_owned()
        }
    }

    /// What `name` means inside `scope`: the innermost scope that knows its first part decides.
    fn resolve(&self, name: &str, scope: &str) -> Option<String> {
        let first = name.split('.').next()?;
        let mut scope = scope;
        loop {
            if self.0.contains(&join(scope, first)) {
                return Some(join(scope, name));
            }
            if scope.is_empty() {
                return None;
            }
            scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    fn names(of: &[&str]) -> Names {
        Names(of.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn the_own_package_is_left_out() {
        let names = names(&[
            "machine",
            "machine.Event",
            "machine.Event.Kind",
            "common",
            "common.Data",
        ]);
        assert_eq!(
            names.reference("machine.Event", "machine", "machine.Request"),
            "Event"
        );
        assert_eq!(
            names.reference("machine.Event.Kind", "machine", "machine.Event"),
            "Event.Kind"
        );
        assert_eq!(
            names.reference("common.Data", "machine", "machine.Request"),
            "common.Data"
        );
    }

    #[test]
    fn a_leading_dot_helps_where_a_nearer_name_hides_the_target() {
        let names = names(&[
            "a",
            "a.common",
            "a.common.X",
            "common",
            "common.Data",
            "a.M",
            "a.M.Inner",
            "a.Inner",
        ]);
        assert_eq!(names.reference("common.Data", "a", "a.M"), ".common.Data");
        assert_eq!(names.reference("a.Inner", "a", "a.M"), "a.Inner");
        assert_eq!(names.reference("a.M.Inner", "a", "a.M"), "M.Inner");
    }
}
