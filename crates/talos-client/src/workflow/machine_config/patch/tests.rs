//! The rules of patches, each by what it does to a small configuration.

use proptest::prelude::*;

use super::*;

const CONFIG: &str = "\
version: v1alpha1
machine:
  type: worker
  token: hunter2
  certSANs: [a.example.org]
  network:
    interfaces:
    - interface: eth0
      dhcp: true
      vlans:
      - {vlanId: 1, dhcp: true}
    - deviceSelector: {driver: virtio}
      mtu: 1400
  files:
  - {path: /var/a, permissions: 0644}
  kubelet:
    extraArgs: {v: '2', list: [a, b]}
cluster:
  network:
    podSubnets: [10.244.0.0/16]
---
apiVersion: v1alpha1
kind: HostnameConfig
hostname: one
---
apiVersion: v1alpha1
kind: NetworkRuleConfig
name: ssh
portSelector: {ports: [22], protocol: tcp}
ingress:
- subnet: 10.0.0.0/8
";

fn patched(patch: &str) -> Vec<Document> {
    let text = ConfigPatch::parse(patch)
        .expect("a patch")
        .apply(CONFIG)
        .expect(patch);
    document::read(text.expose()).expect("a configuration")
}

fn failure(patch: &str) -> PatchError {
    let failure = ConfigPatch::parse(patch).and_then(|patch| patch.apply(CONFIG));
    let error = failure.expect_err(patch);
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    error
}

/// What is at a path of the document with this index, as JSON.
fn at(documents: &[Document], index: usize, path: &[&str]) -> String {
    let value = documents[index].value.at(path);
    Value::List(value.cloned().into_iter().collect()).to_string()
}

#[test]
fn an_empty_change_changes_nothing() {
    let documents = patched("machine: {}\n");
    let before = document::read(CONFIG).expect("a configuration");
    assert!(documents == before);
}

#[test]
fn single_values_replace_unless_they_say_nothing() {
    let main = |patch: &str, key| at(&patched(&format!("machine: {patch}\n")), 0, &["machine", key]);
    assert_eq!(main("{type: controlplane}", "type"), r#"["controlplane"]"#);
    assert_eq!(main("{type: ''}", "type"), r#"["worker"]"#);
    assert_eq!(main("{type: ~}", "type"), r#"["worker"]"#);
    assert_eq!(main("{new: 0}", "new"), "[0]");
    let documents = patched("machine: {network: {interfaces: [{interface: eth0, dhcp: false}]}}\n");
    let interfaces = documents[0].value.at(&["machine", "network", "interfaces"]);
    let first = &interfaces.expect("there").items()[0];
    assert_eq!(first.get("dhcp"), Some(&Value::Bool(false)));
}

#[test]
fn lists_are_appended_to_replaced_or_merged_by_identity() {
    let documents = patched("machine: {certSANs: [b.example.org]}\n");
    assert_eq!(
        at(&documents, 0, &["machine", "certSANs"]),
        r#"[["a.example.org","b.example.org"]]"#
    );
    let documents = patched("cluster: {network: {podSubnets: [10.1.0.0/16]}}\n");
    assert_eq!(
        at(&documents, 0, &["cluster", "network", "podSubnets"]),
        r#"[["10.1.0.0/16"]]"#
    );

    let patch = "machine:\n  network:\n    interfaces:\n    - {interface: eth0, mtu: 9000, vlans: [{vlanId: 1, mtu: 1}, {vlanId: 2}]}\n    - {deviceSelector: {driver: virtio}, dhcp: true}\n    - {interface: eth1}\n";
    let documents = patched(patch);
    assert_eq!(
        at(&documents, 0, &["machine", "network", "interfaces"]),
        r#"[[{"interface":"eth0","dhcp":true,"vlans":[{"vlanId":1,"dhcp":true,"mtu":1},{"vlanId":2}],"mtu":9000},{"deviceSelector":{"driver":"virtio"},"mtu":1400,"dhcp":true},{"interface":"eth1"}]]"#
    );

    let rule = "apiVersion: v1alpha1\nkind: NetworkRuleConfig\nname: ssh\nportSelector: {ports: [2222]}\ningress: [{subnet: 0.0.0.0/0}]\n";
    let documents = patched(rule);
    assert_eq!(
        at(&documents, 2, &["portSelector"]),
        r#"[{"ports":[2222],"protocol":"tcp"}]"#
    );
    assert_eq!(at(&documents, 2, &["ingress"]), r#"[[{"subnet":"0.0.0.0/0"}]]"#);

    let documents = patched("machine: {kubelet: {extraArgs: {v: '4', list: [c]}}}\n");
    assert_eq!(
        at(&documents, 0, &["machine", "kubelet", "extraArgs"]),
        r#"[{"v":"4","list":["c"]}]"#
    );
}

#[test]
fn documents_meet_by_kind_and_name_or_are_added() {
    let documents = patched(
        "apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: two\n---\n\
         apiVersion: v1alpha1\nkind: NetworkRuleConfig\nname: web\nportSelector: {ports: [80]}\n---\n\
         machine: {type: controlplane}\n",
    );
    assert_eq!(documents.len(), 4);
    assert_eq!(at(&documents, 1, &["hostname"]), r#"["two"]"#);
    assert_eq!(documents[3].identity.to_string(), r#"NetworkRuleConfig "web""#);
    assert_eq!(at(&documents, 2, &["portSelector", "ports"]), "[[22]]");
    assert_eq!(at(&documents, 0, &["machine", "type"]), r#"["controlplane"]"#);
}

#[test]
fn deletions_remove_paths_items_and_documents() {
    let documents = patched("machine: {network: {$patch: delete}}\n");
    assert_eq!(at(&documents, 0, &["machine", "network"]), "[]");
    let documents = patched("machine: {network: {interfaces: [{interface: eth0, $patch: delete}]}}\n");
    assert_eq!(
        at(&documents, 0, &["machine", "network", "interfaces"]),
        r#"[[{"deviceSelector":{"driver":"virtio"},"mtu":1400}]]"#
    );
    // What is beside a deletion is merged.
    let documents = patched("machine: {type: controlplane, files: [{$patch: delete, path: /var/a}]}\n");
    assert_eq!(at(&documents, 0, &["machine", "files"]), "[[]]");
    assert_eq!(at(&documents, 0, &["machine", "type"]), r#"["controlplane"]"#);

    let documents = patched("apiVersion: v1alpha1\nkind: HostnameConfig\n$patch: delete\n");
    assert_eq!(documents.len(), 2);
    // One that is not there is gone already, and is not added either.
    let documents = patched("apiVersion: v1alpha1\nkind: NetworkRuleConfig\nname: none\n$patch: delete\n");
    assert_eq!(documents.len(), 3);
    let documents = patched("apiVersion: v1alpha1\nkind: Unheard\nfield: {$patch: delete}\n");
    assert_eq!(documents.len(), 3);
}

#[test]
fn failures_name_document_and_path() {
    for (patch, document, at) in [
        (
            "machine: {nothing: {$patch: delete}}\n",
            "the main document",
            "machine.nothing",
        ),
        (
            "machine: {certSANs: {deep: {$patch: delete}}}\n",
            "the main document",
            "machine.certSANs.deep",
        ),
        (
            "machine: {network: {interfaces: [{interface: eth9, $patch: delete}]}}\n",
            "the main document",
            "machine.network.interfaces[interface]",
        ),
        (
            "apiVersion: v1alpha1\nkind: NetworkRuleConfig\nname: ssh\nmatcher: {$patch: delete}\n",
            "NetworkRuleConfig \"ssh\"",
            "matcher",
        ),
    ] {
        match failure(patch) {
            PatchError::NotFound {
                document: found,
                path,
            } => {
                assert_eq!((found.as_str(), path.as_str()), (document, at), "{patch}");
            }
            other => panic!("{patch}: {other:?}"),
        }
    }
    let mismatch = failure("machine: {certSANs: {a: 1}}\n");
    assert!(
        matches!(&mismatch, PatchError::Mismatch { path, .. } if path == "machine.certSANs"),
        "{mismatch}"
    );
    assert!(matches!(
        failure("machine: hunter2\n"),
        PatchError::Mismatch { .. }
    ));
    assert!(matches!(failure("$patch: delete\n"), PatchError::DeleteMain));
    assert!(matches!(
        failure("machine: {}\n$patch: delete\n"),
        PatchError::DeleteMain
    ));
    assert!(matches!(
        failure("machine: {a: {$patch: remove}}\n"),
        PatchError::Directive { .. }
    ));
    assert!(matches!(
        failure("machine: {network: {interfaces: [{interface: eth0, vlans: {$patch: delete}}]}}\n"),
        PatchError::DeleteInsideItem { .. }
    ));
    assert!(matches!(
        failure("machine: {network: {interfaces: [{$patch: delete}]}}\n"),
        PatchError::DeleteWithoutKey { .. }
    ));
    assert!(matches!(failure(""), PatchError::Empty { .. }));
    assert!(matches!(failure("# only words\n"), PatchError::Empty { .. }));
    assert!(matches!(
        failure("hunter2\n"),
        PatchError::UnknownDocument { number: 1, .. }
    ));
    assert!(matches!(
        failure("machine: {}\n---\nkind: HostnameConfig\n"),
        PatchError::UnknownDocument { number: 2, .. }
    ));
    assert!(matches!(
        failure("machine: {}\n---\n- op: remove\n"),
        PatchError::UnknownDocument { number: 2, .. }
    ));
    assert!(matches!(
        failure("a: hunter2\nb: [\n"),
        PatchError::Yaml { line: 1.., .. }
    ));
}

#[test]
fn a_configuration_that_no_node_takes_is_refused() {
    let patch = ConfigPatch::parse("machine: {}\n").expect("a patch");
    let twice =
        "apiVersion: v1alpha1\nkind: HostnameConfig\n---\napiVersion: v1alpha1\nkind: HostnameConfig\n";
    assert!(matches!(patch.apply(twice), Err(PatchError::Duplicate { .. })));
    assert!(matches!(
        patch.apply("token: hunter2\n"),
        Err(PatchError::UnknownDocument { number: 1, .. })
    ));
}

const SINGLE: &str = "machine:\n  certSANs: [a, b]\n  token: hunter2\n  'a/b': {'c~d': 1}\n";

fn json(patch: &str) -> Result<Vec<Document>, PatchError> {
    let text = ConfigPatch::parse(patch)?.apply(SINGLE)?;
    document::read(text.expose())
}

#[test]
fn json_patches_do_what_the_standard_says() {
    for (patch, path, expected) in [
        (
            r#"[{"op":"add","path":"/machine/type","value":"worker"}]"#,
            &["machine", "type"][..],
            r#"["worker"]"#,
        ),
        (
            r#"[{"op":"add","path":"/machine/certSANs/-","value":"c"}]"#,
            &["machine", "certSANs"],
            r#"[["a","b","c"]]"#,
        ),
        (
            r#"[{"op":"add","path":"/machine/certSANs/1","value":"c"}]"#,
            &["machine", "certSANs"],
            r#"[["a","c","b"]]"#,
        ),
        (
            "- op: remove\n  path: /machine/certSANs/0\n",
            &["machine", "certSANs"],
            r#"[["b"]]"#,
        ),
        (
            "- {op: replace, path: /machine/a~1b/c~0d, value: 2}\n",
            &["machine", "a/b", "c~d"],
            "[2]",
        ),
        (
            "- {op: move, from: /machine/token, path: /cluster}\n- {op: add, path: /machine/x, value: ~}\n",
            &["cluster"],
            r#"["hunter2"]"#,
        ),
        (
            "- {op: copy, from: /machine/certSANs, path: /machine/copy}\n",
            &["machine", "copy"],
            r#"[["a","b"]]"#,
        ),
        (
            "- {op: test, path: /machine/certSANs, value: [a, b]}\n- {op: remove, path: /machine/token}\n",
            &["machine", "token"],
            "[]",
        ),
    ] {
        match json(patch) {
            Ok(documents) => assert_eq!(at(&documents, 0, path), expected, "{patch}"),
            // A cluster that is a text is no configuration.
            Err(PatchError::Mismatch { path: at, .. }) => {
                assert_eq!((at.as_str(), path), ("cluster", &["cluster"][..]))
            }
            Err(other) => panic!("{patch}: {other}"),
        }
    }
}

#[test]
fn json_patches_fail_where_the_standard_says() {
    for patch in [
        "- {op: remove, path: /machine/none}\n",
        "- {op: replace, path: /machine/none, value: 1}\n",
        "- {op: add, path: /machine/none/deep, value: 1}\n",
        "- {op: add, path: /machine/certSANs/3, value: 1}\n",
        "- {op: remove, path: /machine/certSANs/2}\n",
        "- {op: remove, path: /machine/certSANs/01}\n",
        "- {op: copy, from: /none, path: /machine/x}\n",
    ] {
        assert!(matches!(json(patch), Err(PatchError::NotFound { .. })), "{patch}");
    }
    for patch in [
        "- {op: frob, path: /machine}\n",
        "- {path: /machine}\n",
        "- {op: add, path: /machine}\n",
        "- {op: remove, path: machine}\n",
        "- {op: remove, path: ''}\n",
        "- {op: move, from: /machine, path: /machine/x}\n",
        "- {op: move, path: /machine/x}\n",
        "- hunter2\n",
    ] {
        assert!(
            matches!(json(patch), Err(PatchError::Operation { number: 1, .. })),
            "{patch}"
        );
    }
    let test = json("- {op: test, path: /machine/token, value: other}\n")
        .err()
        .expect("another");
    assert!(matches!(test, PatchError::Test { number: 1, .. }) && !test.to_string().contains("hunter2"));
    assert!(matches!(
        failure("- {op: remove, path: /machine}\n"),
        PatchError::JsonPatchOnSeveralDocuments
    ));
}

#[test]
fn debug_shows_nothing_of_a_patch() {
    let patch = ConfigPatch::parse("machine: {token: hunter2}\n").expect("a patch");
    assert_eq!(format!("{patch:?}"), "ConfigPatch(strategic, 1 documents)");
}

proptest! {
    #[test]
    fn no_text_makes_a_patch_panic(patch in "[\\[\\]{}:,$a-z~/ \n-]{0,60}", marked in any::<bool>()) {
        let patch = if marked { format!("machine: {{a: {{$patch: delete}}, b: [{patch}]}}") } else { patch };
        if let Ok(patch) = ConfigPatch::parse(&patch) {
            let _ = patch.apply(CONFIG);
            let _ = patch.apply(SINGLE);
        }
    }
}
