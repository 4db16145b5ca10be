//! Fields that are not merged like the others.

/// How what a patch says meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Mappings key by key, lists by appending, single values by replacing.
    Merge,
    /// The patch takes the place of all that was there.
    Replace,
    /// Items of a list that have one of these keys with the same value are merged, the others are appended.
    MergeItems(&'static [&'static str]),
    /// Items of a list that have this key with the same value are replaced, the others are appended.
    ReplaceItems(&'static str),
    /// The value of each key of a mapping takes the place of what was there.
    ReplaceEntries,
}

/// An item of a list in a path.
pub(super) const ITEM: &str = "[]";

/// Kind of document, path, and rule. The document without a kind is `None`.
const RULES: &[(Option<&str>, &[&str], Rule)] = &[
    (None, &["machine", "baseRuntimeSpecOverrides"], Rule::Replace),
    (
        None,
        &["machine", "kubelet", "credentialProviderConfig"],
        Rule::Replace,
    ),
    (
        None,
        &["machine", "network", "interfaces"],
        Rule::MergeItems(&["interface", "deviceSelector"]),
    ),
    (
        None,
        &["machine", "network", "interfaces", ITEM, "vlans"],
        Rule::MergeItems(&["vlanId"]),
    ),
    (None, &["cluster", "network", "podSubnets"], Rule::Replace),
    (None, &["cluster", "network", "serviceSubnets"], Rule::Replace),
    (
        None,
        &["cluster", "apiServer", "admissionControl"],
        Rule::MergeItems(&["name"]),
    ),
    (None, &["cluster", "apiServer", "auditPolicy"], Rule::Replace),
    (Some("KubeNetworkConfig"), &["podSubnets"], Rule::Replace),
    (Some("KubeNetworkConfig"), &["serviceSubnets"], Rule::Replace),
    (Some("KubeAuditPolicyConfig"), &["configuration"], Rule::Replace),
    (
        Some("KubeAuthenticationConfig"),
        &["configuration"],
        Rule::Replace,
    ),
    (
        Some("KubeCredentialProviderConfig"),
        &["configuration"],
        Rule::Replace,
    ),
    (Some("KubeStaticPodConfig"), &["pod"], Rule::Replace),
    (Some("CRIBaseRuntimeSpecConfig"), &["overrides"], Rule::Replace),
    (
        Some("NetworkRuleConfig"),
        &["portSelector", "ports"],
        Rule::Replace,
    ),
    (Some("NetworkRuleConfig"), &["ingress"], Rule::Replace),
    (Some("BGPInstanceConfig"), &["advertise"], Rule::Replace),
    (Some("BGPInstanceConfig"), &["importRoutes"], Rule::Replace),
    (Some("BGPInstanceConfig"), &["neighbors"], Rule::Replace),
    (
        Some("ExtensionServiceConfig"),
        &["configFiles"],
        Rule::MergeItems(&["mountPath"]),
    ),
    (
        Some("ImageVerificationConfig"),
        &["rules"],
        Rule::ReplaceItems("image"),
    ),
];

/// The rule for what is at this path.
pub(super) fn rule(kind: Option<&str>, path: &[String]) -> Rule {
    // Arguments of programs are of this name wherever they are.
    if path.last().is_some_and(|key| key == "extraArgs") {
        return Rule::ReplaceEntries;
    }
    let found = RULES.iter().find(|(of, at, _)| *of == kind && *at == path);
    found.map_or(Rule::Merge, |(_, _, rule)| *rule)
}
