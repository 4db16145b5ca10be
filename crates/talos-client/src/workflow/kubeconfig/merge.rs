//! The rules of merging, without I/O.

use std::path::PathBuf;

use super::{KubeconfigConflicts, KubeconfigMerge, KubeconfigPart, KubeconfigRename, MergedKubeconfig};
use crate::resource::value::Value;

/// A list of the file that entries are added to.
struct Part<'a> {
    /// The key of the list, and that of what is in an entry.
    keys: (&'static str, &'static str),
    new: &'a [Value],
    /// Whether an entry takes the place of another one of its name.
    overwrite: bool,
}

/// Names that entries had, and have in the file.
type Names = Vec<(String, String)>;

/// Adds the entries of `new`. Returns the document, unless it is as it was.
pub(super) fn merge(
    rules: &KubeconfigMerge,
    existing: Value,
    new: &Value,
) -> (Option<Value>, MergedKubeconfig) {
    let part = |list: &'static str, inner: &'static str, overwrite: bool| Part {
        keys: (list, inner),
        new: new.get(list).map_or(&[], Value::items),
        overwrite,
    };
    let overwrite = rules.conflicts == KubeconfigConflicts::Overwrite;
    // Of a cluster that is known already, a user of the same name has credentials that are older.
    let renew = rules.conflicts == KubeconfigConflicts::Renew && knows_clusters(&existing, new);
    let mut document = existing.clone();
    for (key, text) in [("apiVersion", "v1"), ("kind", "Config")] {
        if document.get(key).is_none() {
            set(&mut document, key, Value::String(text.to_owned()));
        }
    }
    let mut report = MergedKubeconfig {
        path: PathBuf::new(),
        context: None,
        renames: Vec::new(),
        changed: false,
    };

    // talosctl names users and contexts after the cluster: who is renamed takes them along.
    let clusters = add(
        &mut document,
        &part("clusters", "cluster", overwrite),
        |name| name.to_owned(),
        |content| content.clone(),
    );
    let users = add(
        &mut document,
        &part("users", "user", overwrite || renew),
        |name| substitute(name, &clusters),
        |content| content.clone(),
    );
    let contexts = add(
        &mut document,
        &part("contexts", "context", overwrite || renew),
        |name| {
            rules
                .context_name
                .clone()
                .unwrap_or_else(|| substitute(name, &users))
        },
        |content| {
            let mut content = content.clone();
            for (key, names) in [("cluster", &clusters), ("user", &users)] {
                let renamed = content.get(key).and_then(Value::as_str);
                let renamed = renamed.and_then(|name| names.iter().find(|(from, _)| from == name));
                if let Some((_, to)) = renamed {
                    set(&mut content, key, Value::String(to.clone()));
                }
            }
            content
        },
    );

    report.context = contexts.last().map(|(_, to)| to.clone());
    let current = document
        .get("current-context")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if let Some(context) = report
        .context
        .clone()
        .filter(|_| !rules.keep_current || current.is_empty())
    {
        set(&mut document, "current-context", Value::String(context));
    }
    let parts = [
        (KubeconfigPart::Cluster, clusters),
        (KubeconfigPart::User, users),
        (KubeconfigPart::Context, contexts),
    ];
    for (part, names) in parts {
        let renamed = names.into_iter().filter(|(from, to)| from != to);
        report
            .renames
            .extend(renamed.map(|(from, to)| KubeconfigRename { part, from, to }));
    }
    report.changed = !same(&document, &existing);
    (report.changed.then_some(document), report)
}

/// Adds the entries of one list, under the names that `name` proposes, with what `content` makes of them.
fn add(
    document: &mut Value,
    part: &Part<'_>,
    name: impl Fn(&str) -> String,
    content: impl Fn(&Value) -> Value,
) -> Names {
    let (list, inner) = part.keys;
    let mut entries = match document.get(list) {
        Some(Value::List(entries)) => entries.clone(),
        _ => Vec::new(),
    };
    let empty = Value::Mapping(Vec::new());
    let mut names = Names::new();
    for entry in part.new {
        let Some(from) = name_of(entry) else { continue };
        let content = content(entry.get(inner).unwrap_or(&empty));
        let mut to = name(from);
        let taken = entries.iter().position(|entry| name_of(entry) == Some(&to));
        let mut place = taken;
        if let Some(at) = taken {
            let old = entries[at].get(inner).unwrap_or(&empty);
            if !same(old, &content) && !part.overwrite {
                to = free_name(&entries, &to);
                place = None;
            }
        }
        let mut entry = entry.clone();
        set(&mut entry, "name", Value::String(to.clone()));
        set(&mut entry, inner, content);
        match place {
            // An entry that is the same may be laid out in another way; it stays as it is.
            Some(at) if same(&entries[at], &entry) => {}
            Some(at) => entries[at] = entry,
            None => entries.push(entry),
        }
        names.push((from.to_owned(), to));
    }
    if !part.new.is_empty() {
        set(document, list, Value::List(entries));
    }
    names
}

/// Whether all clusters that come in are there, by name and content.
fn knows_clusters(existing: &Value, new: &Value) -> bool {
    let clusters = |document: &'_ Value| {
        document
            .get("clusters")
            .map_or(Vec::new(), |list| list.items().to_vec())
    };
    let known = clusters(existing);
    let new = clusters(new);
    !new.is_empty()
        && new
            .iter()
            .all(|cluster| known.iter().any(|known| same(known, cluster)))
}

fn name_of(entry: &Value) -> Option<&str> {
    entry.get("name")?.as_str()
}

/// The first free of `name-1`, `name-2`, …
fn free_name(entries: &[Value], wanted: &str) -> String {
    (1_u64..)
        .map(|number| format!("{wanted}-{number}"))
        .find(|name| entries.iter().all(|entry| name_of(entry) != Some(name)))
        .expect("a finite list leaves a number free")
}

/// The name with every old name in it replaced by the new one.
fn substitute(name: &str, names: &Names) -> String {
    names
        .iter()
        .filter(|(from, to)| from != to && !from.is_empty())
        .fold(name.to_owned(), |name, (from, to)| {
            name.replace(from.as_str(), to)
        })
}

/// Whether two values say the same; the order of keys does not matter.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Mapping(one), Value::Mapping(other)) => {
            let found = |(key, value): &(String, Value)| {
                let entry = other.iter().find(|(name, _)| name == key);
                entry.is_some_and(|(_, other)| same(value, other))
            };
            one.len() == other.len() && one.iter().all(found)
        }
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (one, other) => one == other,
    }
}

/// Sets a key of a mapping, in its place or at the end.
fn set(mapping: &mut Value, key: &str, value: Value) {
    if let Value::Mapping(entries) = mapping {
        match entries.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => entries.push((key.to_owned(), value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Value {
        Value::from_yaml(text).expect("YAML")
    }

    fn kubeconfig(server: &str, key: &str) -> Value {
        yaml(&format!(
            "clusters: [{{name: sim, cluster: {{server: {server}}}}}]\n\
             users: [{{name: admin@sim, user: {{key: {key}}}}}]\n\
             contexts: [{{name: admin@sim, context: {{cluster: sim, user: admin@sim, namespace: default}}}}]\n\
             current-context: admin@sim\n"
        ))
    }

    fn names(document: &Value, list: &str) -> Vec<String> {
        let entries = document.get(list).map_or(&[][..], Value::items);
        entries.iter().filter_map(name_of).map(str::to_owned).collect()
    }

    #[test]
    fn a_cluster_that_is_renamed_takes_users_and_contexts_along() {
        let (document, report) = merge(
            &KubeconfigMerge::new(),
            kubeconfig("a", "1"),
            &kubeconfig("b", "2"),
        );
        let document = document.expect("changed");
        assert_eq!(names(&document, "clusters"), ["sim", "sim-1"]);
        assert_eq!(names(&document, "users"), ["admin@sim", "admin@sim-1"]);
        assert_eq!(names(&document, "contexts"), ["admin@sim", "admin@sim-1"]);
        assert_eq!(report.context.as_deref(), Some("admin@sim-1"));
        assert_eq!(report.renames.len(), 3);
        let context = document.get("contexts").expect("there").items()[1].get("context");
        let expected = yaml("{cluster: sim-1, user: admin@sim-1, namespace: default}");
        assert_eq!(context, Some(&expected));
        assert_eq!(
            document.get("current-context").and_then(Value::as_str),
            Some("admin@sim-1")
        );

        // A third one finds the next number.
        let (_, report) = merge(&KubeconfigMerge::new(), document, &kubeconfig("c", "3"));
        assert_eq!(report.context.as_deref(), Some("admin@sim-2"));
    }

    #[test]
    fn a_user_that_is_renamed_takes_the_context_along() {
        let (document, report) = merge(
            &KubeconfigMerge::new(),
            kubeconfig("a", "1"),
            &kubeconfig("a", "2"),
        );
        let document = document.expect("changed");
        assert_eq!(names(&document, "clusters"), ["sim"]);
        assert_eq!(names(&document, "users"), ["admin@sim", "admin@sim-1"]);
        assert_eq!(report.context.as_deref(), Some("admin@sim-1"));
    }

    #[test]
    fn what_is_there_already_changes_nothing() {
        let existing = yaml(
            "apiVersion: v1\nkind: Config\ncurrent-context: admin@sim\n\
             contexts: [{context: {namespace: default, user: admin@sim, cluster: sim}, name: admin@sim}]\n\
             users: [{name: admin@sim, user: {key: 1}}]\nclusters: [{name: sim, cluster: {server: a}}]\n",
        );
        let (document, report) = merge(&KubeconfigMerge::new(), existing, &kubeconfig("a", "1"));
        assert!(document.is_none() && !report.changed && report.renames.is_empty());
        assert_eq!(report.context.as_deref(), Some("admin@sim"));
    }

    #[test]
    fn overwriting_keeps_names_and_what_is_not_in_the_way() {
        let mut existing = kubeconfig("a", "1");
        set(&mut existing, "preferences", yaml("{colors: true}"));
        set(&mut existing, "x-unknown", yaml("[1, {a: b}]"));
        let rules = KubeconfigMerge::new().conflicts(KubeconfigConflicts::Overwrite);
        let (document, report) = merge(&rules, existing.clone(), &kubeconfig("b", "2"));
        let document = document.expect("changed");
        assert!(report.renames.is_empty());
        assert_eq!(names(&document, "clusters"), ["sim"]);
        assert_eq!(document.get("clusters"), kubeconfig("b", "2").get("clusters"));
        for key in ["preferences", "x-unknown"] {
            assert_eq!(document.get(key), existing.get(key), "{key}");
        }
    }

    #[test]
    fn credentials_are_renewed_for_a_cluster_that_is_known_only() {
        let rules = KubeconfigMerge::new().conflicts(KubeconfigConflicts::Renew);
        let (document, report) = merge(&rules, kubeconfig("a", "1"), &kubeconfig("a", "2"));
        assert!(report.renames.is_empty());
        assert_eq!(
            document.expect("changed").get("users"),
            kubeconfig("a", "2").get("users")
        );
        let (document, report) = merge(&rules, kubeconfig("a", "1"), &kubeconfig("b", "2"));
        assert_eq!(report.renames.len(), 3);
        assert_eq!(
            names(&document.expect("changed"), "users"),
            ["admin@sim", "admin@sim-1"]
        );
    }

    #[test]
    fn a_given_name_is_taken_and_the_current_context_may_stay() {
        let other = yaml("contexts: [{name: other, context: {cluster: x}}]\ncurrent-context: other\n");
        let rules = KubeconfigMerge::new().context_name("lab").keep_current();
        let (document, report) = merge(&rules, other.clone(), &kubeconfig("a", "1"));
        assert_eq!(report.context.as_deref(), Some("lab"));
        let document = document.expect("changed");
        assert_eq!(names(&document, "contexts"), ["other", "lab"]);
        assert_eq!(
            document.get("current-context").and_then(Value::as_str),
            Some("other")
        );

        // A name that is taken is no exception.
        let rules = KubeconfigMerge::new().context_name("other");
        let (_, report) = merge(&rules, other, &kubeconfig("a", "1"));
        assert_eq!(report.context.as_deref(), Some("other-1"));
    }
}
