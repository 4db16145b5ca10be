//! Disruption budgets.

use serde_json::{Value, json};

use super::super::json::text;
use super::super::selector::selects;
use super::{pod, set_condition};

/// How a budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kubernetes) struct Standing {
    /// Pods that are ready and stay.
    pub(in crate::kubernetes) healthy: usize,
    /// Pods that have to be.
    pub(in crate::kubernetes) desired: usize,
    /// Pods that there should be.
    pub(in crate::kubernetes) expected: usize,
}

impl Standing {
    /// How many pods may go.
    pub(in crate::kubernetes) const fn allowed(self) -> usize {
        self.healthy.saturating_sub(self.desired)
    }
}

/// Whether the budget is about a pod of its namespace.
pub(in crate::kubernetes) fn covers(budget: &Value, candidate: &Value) -> bool {
    selects(&budget["spec"]["selector"], candidate)
}

/// How a budget stands with `pods`, those that it covers, of which their owners want `expected`.
pub(in crate::kubernetes) fn standing(budget: &Value, pods: &[&Value], expected: usize) -> Standing {
    let healthy = pods
        .iter()
        .filter(|each| pod::is_ready(each) && !pod::is_terminating(each));
    let spec = &budget["spec"];
    let desired = if spec.get("minAvailable").is_some() {
        amount(&spec["minAvailable"], expected)
    } else {
        expected.saturating_sub(amount(&spec["maxUnavailable"], expected))
    };
    Standing {
        healthy: healthy.count(),
        desired,
        expected,
    }
}

/// A number, or a share of `whole` that is rounded up.
fn amount(value: &Value, whole: usize) -> usize {
    if let Some(number) = value.as_u64() {
        return usize::try_from(number).unwrap_or(usize::MAX);
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%'));
    let percent: usize = percent.and_then(|text| text.parse().ok()).unwrap_or_default();
    whole.saturating_mul(percent).div_ceil(100)
}

/// Lets a budget say how it stands.
pub(in crate::kubernetes) fn follow(budget: &mut Value, standing: Standing) {
    let generation = budget["metadata"]["generation"].clone();
    let allowed = standing.allowed();
    let status = &mut budget["status"];
    status["currentHealthy"] = json!(standing.healthy);
    status["desiredHealthy"] = json!(standing.desired);
    status["expectedPods"] = json!(standing.expected);
    status["disruptionsAllowed"] = json!(allowed);
    if !generation.is_null() {
        status["observedGeneration"] = generation;
    }
    let (status, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    set_condition(budget, "DisruptionAllowed", status, reason, "");
}

/// Whether pods that are not ready may go whatever the budget says.
pub(in crate::kubernetes) fn lets_unhealthy_go(budget: &Value) -> bool {
    text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_shares() {
        let stands = |spec: Value, expected| standing(&json!({"spec": spec}), &[], expected).desired;
        assert_eq!(stands(json!({"minAvailable": 2}), 3), 2);
        assert_eq!(stands(json!({"minAvailable": "50%"}), 3), 2);
        assert_eq!(stands(json!({"maxUnavailable": 1}), 3), 2);
        assert_eq!(stands(json!({"maxUnavailable": "50%"}), 3), 1);
        assert_eq!(stands(json!({"maxUnavailable": 5}), 3), 0);
    }
}
