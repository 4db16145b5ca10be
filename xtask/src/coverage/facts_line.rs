//! Whether the facts line of a typed method agrees with the table of RPCs.

use crate::functions::Function;
use crate::methods::Method;

/// The facts line of a function, put together where it is broken; what follows `Upstream: `.
pub(super) fn of(function: &Function) -> Option<String> {
    let start = function
        .docs
        .iter()
        .position(|line| line.starts_with("Upstream: "))?;
    let lines: Vec<&str> = function.docs[start..]
        .iter()
        .map(String::as_str)
        .take_while(|line| !line.is_empty())
        .collect();
    lines.join(" ").strip_prefix("Upstream: ").map(str::to_owned)
}

/// What the line lacks of what the table says about the RPC: since when, how safe, and the role with the fewest rights.
pub(super) fn problem(line: &str, method: &Method) -> Option<String> {
    let since = method.facts.since.map_or_else(
        || "1.7 or older".to_owned(),
        |since| since.to_string().trim_start_matches('v').to_owned(),
    );
    let mut wanted = vec![format!("since Talos {since}"), method.facts.safety.to_string()];
    let roles: Vec<_> = method.facts.roles.iter().map(ToString::to_string).collect();
    let special = |role: &&String| !["admin", "operator", "reader"].contains(&role.as_str());
    let least = ["reader", "operator"]
        .iter()
        .find(|role| roles.iter().any(|found| found == *role))
        .map(|role| (*role).to_owned())
        .or_else(|| roles.iter().find(special).cloned())
        .or_else(|| roles.first().cloned());
    wanted.extend(least.map(|role| format!("os:{role}")));
    wanted.retain(|wanted| !line.contains(wanted.as_str()));
    (!wanted.is_empty()).then(|| format!("does not say {wanted:?} about {method}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::functions;
    use crate::methods::tests::sample;

    fn line(source: &str) -> String {
        of(&functions(source).unwrap()[0]).unwrap()
    }

    #[test]
    fn a_line_that_is_broken_is_put_together() {
        let source =
            "/// Text.\n///\n/// Upstream: `a` · role\n/// os:reader · read-only\n///\n/// More.\nfn a() {}";
        assert_eq!(line(source), "`a` · role os:reader · read-only");
    }

    #[test]
    fn release_safety_and_least_role_are_demanded() {
        let methods = sample();
        let [get, old, put] = &methods.all[..] else {
            panic!("three RPCs");
        };
        let right = "since Talos 1.7 or older · role os:reader · read-only";
        assert_eq!(problem(right, get), None);
        assert_eq!(
            problem("since Talos 1.7 or older · role os:admin · unsafe", put),
            None
        );
        let text = problem(right, old).unwrap();
        assert_eq!(
            text,
            "does not say [\"since Talos 1.13\", \"unsafe\", \"os:admin\"] about time.TimeService/Old"
        );
    }
}
