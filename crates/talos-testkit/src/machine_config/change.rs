//! Which changes of a configuration take a reboot.

use super::read::MachineConfig;
use super::value::Value;

/// Parts of the `machine` section that a running machine of a release before 1.14 takes over.
const AT_ONCE: &str = "\
    time ca acceptedCAs certSANs install network nodeAnnotations nodeLabels nodeTaints sysfs sysctls logging \
    controlPlane kubelet pods kernel registries features udev";

/// Why a running machine cannot take `after` over from `before`; `None` if it can.
///
/// Since Talos 1.14 that is about the type of the machine alone; before, it is `strict` about most of the
/// `machine` section.
pub(crate) fn reboot_reason(before: &MachineConfig, after: &MachineConfig, strict: bool) -> Option<String> {
    let (before, after) = (before.legacy()?.get("machine"), after.legacy()?.get("machine"));
    let part = |section: Option<&Value>, key: &str| section.and_then(|section| section.get(key)).cloned();
    if part(before, "type") != part(after, "type") {
        return Some("the type of the machine changes".to_owned());
    }
    if !strict {
        return None;
    }
    let keys = [before, after].into_iter().flatten().flat_map(Value::entries);
    let mut changed: Vec<_> = keys
        .map(|(key, _)| key.as_str())
        .filter(|key| !AT_ONCE.split_whitespace().any(|known| known == *key))
        .filter(|key| part(before, key) != part(after, key))
        .collect();
    changed.sort_unstable();
    changed.dedup();
    (!changed.is_empty()).then(|| format!("machine.{} changes", changed.join(", machine.")))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_running_machine_keeps_its_type() {
        let config = |text: &'static str| MachineConfig::read(Bytes::from_static(text.as_bytes())).unwrap();
        let before = config("machine: {type: worker, token: a, sysctls: {x: '1'}}\n");
        let sysctl = config("machine: {type: worker, token: a, sysctls: {x: '2'}}\n");
        let token = config("machine: {type: worker, token: b}\n");
        let kind = config("machine: {type: controlplane, token: a}\n");
        let reason = |after, strict| reboot_reason(&before, after, strict);
        assert_eq!(reason(&sysctl, true), None);
        assert_eq!(reason(&token, false), None);
        assert_eq!(reason(&token, true).unwrap(), "machine.token changes");
        for strict in [false, true] {
            assert_eq!(reason(&kind, strict).unwrap(), "the type of the machine changes");
        }
    }
}
