//! States of a node that pass by themselves.

use super::Code;

/// Whether a refusal is about a state that passes without anybody doing anything.
///
/// The code does not tell: `FAILED_PRECONDITION` is also for what never changes. So this goes by text (Talos v1.14,
/// `internal/app/machined/internal/server/v1alpha1`, `internal/app/lifecycle`). A text that is not known is no such
/// state.
pub(super) fn passes_by_itself(code: Code, message: &str) -> bool {
    code == Code::FailedPrecondition
        && (message == "another apply configuration is already in progress"
            || message.starts_with("configuration was already applied and node is rebooting")
            || message == "another installation/upgrade is already in progress"
            || message == "bootstrap is not available yet"
            || message == "time is not in sync yet"
            || message == "etcd service is not ready for recovery yet")
        || code == Code::Unimplemented && message.starts_with("machine type is not set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_from_what_stays() {
        let waits = [
            (
                Code::FailedPrecondition,
                "another apply configuration is already in progress",
            ),
            (
                Code::FailedPrecondition,
                "configuration was already applied and node is rebooting, please wait",
            ),
            (
                Code::FailedPrecondition,
                "another installation/upgrade is already in progress",
            ),
            (Code::FailedPrecondition, "bootstrap is not available yet"),
            (Code::FailedPrecondition, "time is not in sync yet"),
            (
                Code::FailedPrecondition,
                "etcd service is not ready for recovery yet",
            ),
            (
                Code::Unimplemented,
                "machine type is not set, cannot use bootstrap API",
            ),
        ];
        for (code, message) in waits {
            assert!(passes_by_itself(code, message), "{message}");
        }
        let stays = [
            (
                Code::FailedPrecondition,
                "method is not supported in container mode",
            ),
            (Code::FailedPrecondition, "machine is not installed"),
            (Code::FailedPrecondition, "k8s API server CA config is not set"),
            (Code::FailedPrecondition, "invalid watch bookmark"),
            (Code::Unknown, "time is not in sync yet"),
            (
                Code::Unimplemented,
                "bootstrap is only available on control plane nodes",
            ),
        ];
        for (code, message) in stays {
            assert!(!passes_by_itself(code, message), "{message}");
        }
    }
}
