//! `ApplyConfiguration`: reads a configuration, checks it, and gives it to the machine.

use std::sync::Arc;
use std::time::Duration;

use talos_proto::machine::apply_configuration_request::Mode;
use talos_proto::machine::{ApplyConfiguration, ApplyConfigurationRequest, ApplyConfigurationResponse};
use talos_proto::methods::Release;
use tonic::Status;

use super::Call;
use crate::clock::go_duration;
use crate::machine_config::{MachineConfig, reboot_reason, unified, validate};
use crate::machined::policy::not_authorized;
use crate::node::config::Effect;
use crate::node::sequence::Job;
use crate::node::sequence::plan::{Conditions, Sequence};
use crate::text::multi_error;

/// The zero value of the enum, which newer nodes only take in maintenance mode.
#[expect(deprecated, reason = "clients send it all the same")]
const REBOOT: Mode = Mode::Reboot;

/// How long a configuration is tried if the request does not say.
const TRY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a configuration does, besides being stored.
enum Plan {
    Apply(Effect),
    /// Only before Talos 1.14; with the reason, if the machine chose it.
    Reboot(Option<String>),
}

pub(in crate::machined) async fn apply_configuration(
    call: Call,
    request: ApplyConfigurationRequest,
) -> Result<ApplyConfigurationResponse, Status> {
    call.not_in_agent()?;
    let node = &call.node;
    let maintenance = node.in_maintenance();
    if maintenance && node.is_older_than(Release::new(1, 13)) {
        return apply_in_old_maintenance(&call, request);
    }
    let Some(_turn) = node.configuration.begin() else {
        return Err(Status::failed_precondition(
            "another apply configuration is already in progress",
        ));
    };
    if !maintenance && !call.caller.roles.is_admin() {
        return Err(not_authorized());
    }
    let mode = Mode::try_from(request.mode);
    if mode != Ok(Mode::Try) {
        // Whatever becomes of this call.
        node.configuration.keep_tried();
    }
    let config = MachineConfig::read(request.data.clone()).map_err(Status::invalid_argument)?;
    let config = Arc::new(config);
    if !maintenance && config.legacy().is_none() {
        return Err(Status::invalid_argument(
            "the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine \
             config instead?",
        ));
    }
    let reboots = node.is_older_than(Release::new(1, 14));
    let mode = match mode {
        Ok(REBOOT) if maintenance => Ok(Mode::NoReboot),
        Ok(REBOOT) if !reboots => {
            return Err(Status::unimplemented(
                "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead",
            ));
        }
        mode => mode,
    };
    let findings = validate(&config, node.platform.is_container());
    if !findings.is_empty() {
        return Err(Status::invalid_argument(multi_error(&findings)));
    }
    let Ok(mode) = mode else {
        return Err(Status::invalid_argument(format!(
            "incorrect mode '{}' specified for the apply config call",
            request.mode
        )));
    };
    let plan = plan(&call, mode, reboots, &config, &request)?;
    let (mode, mut details) = outcome(mode, &plan);
    let mut warnings = node.configuration.warnings();
    if request.dry_run {
        let before = node.configuration.active();
        let difference = unified(
            before.as_ref().map_or("", |config| config.as_str()),
            config.as_str(),
        );
        details = format!(
            "Dry run summary:\n{details} (skipped in dry-run).\nConfig diff:\n\n{}",
            difference.as_deref().unwrap_or("No changes.")
        );
        warnings.clear();
    } else {
        match plan {
            Plan::Apply(effect) => node.configure(config, effect),
            Plan::Reboot(_) => {
                node.configure(config, Effect::Staged);
                let conditions = Conditions {
                    kexec: true,
                    ..node.conditions()
                };
                node.start_sequence(Job::new(Sequence::Reboot, conditions));
            }
        }
    }
    Ok(ApplyConfigurationResponse {
        messages: vec![ApplyConfiguration {
            metadata: None,
            warnings,
            mode: mode.into(),
            mode_details: details,
        }],
    })
}

/// In maintenance mode before Talos 1.13, which was a server of its own.
fn apply_in_old_maintenance(
    call: &Call,
    request: ApplyConfigurationRequest,
) -> Result<ApplyConfigurationResponse, Status> {
    let mode = match Mode::try_from(request.mode) {
        Ok(REBOOT | Mode::Auto | Mode::Try) => None,
        Ok(Mode::NoReboot) => Some("no-reboot".to_owned()),
        Ok(Mode::Staged) => Some("staged".to_owned()),
        Err(_) => Some(request.mode.to_string()),
    };
    if let Some(mode) = mode {
        return Err(Status::unimplemented(format!(
            "apply configuration --mode='{mode}' is not supported in maintenance mode"
        )));
    }
    let config = MachineConfig::read(request.data)
        .map_err(|error| Status::unknown(format!("failed to parse config: {error}")))?;
    let findings = validate(&config, call.node.platform.is_container());
    if !findings.is_empty() {
        let findings = multi_error(&findings);
        return Err(Status::invalid_argument(format!(
            "configuration validation failed: {findings}"
        )));
    }
    let mut reply = ApplyConfiguration::default();
    if request.dry_run {
        reply.mode_details =
            "Dry run summary:\nNode is running in maintenance mode and does not have a config yet."
                .to_owned();
    } else {
        reply.warnings = call.node.configuration.warnings();
        call.node.configure(Arc::new(config), Effect::Now);
    }
    Ok(ApplyConfigurationResponse {
        messages: vec![reply],
    })
}

/// What the mode comes to for this change.
fn plan(
    call: &Call,
    mode: Mode,
    reboots: bool,
    config: &MachineConfig,
    request: &ApplyConfigurationRequest,
) -> Result<Plan, Status> {
    if mode == Mode::Staged {
        return Ok(Plan::Apply(Effect::Staged));
    }
    if mode == REBOOT {
        return Ok(Plan::Reboot(None));
    }
    let active = call.node.configuration.active();
    let active = active.filter(|active| active.legacy().is_some());
    let reason = active.and_then(|active| reboot_reason(&active, config, reboots));
    match (mode, reason) {
        (Mode::Auto, Some(reason)) if reboots => Ok(Plan::Reboot(Some(reason))),
        (_, Some(reason)) => Err(Status::invalid_argument(format!(
            "this config change can't be applied in immediate mode: {reason}"
        ))),
        (Mode::Try, None) => {
            let asked = request.try_mode_timeout;
            let time = asked.and_then(|asked| Duration::try_from(asked).ok());
            Ok(Plan::Apply(Effect::Tried(
                time.filter(|time| !time.is_zero()).unwrap_or(TRY_TIMEOUT),
            )))
        }
        (_, None) => Ok(Plan::Apply(Effect::Now)),
    }
}

/// The mode that a reply names, and what it says about it.
fn outcome(mode: Mode, plan: &Plan) -> (Mode, String) {
    let at_once = "Applied configuration without a reboot";
    match plan {
        Plan::Reboot(reason) => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}"));
            let details = format!(
                "Applied configuration with a reboot{}",
                reason.unwrap_or_default()
            );
            (REBOOT, details)
        }
        Plan::Apply(Effect::Staged) => (
            mode,
            "Staged configuration to be applied after the next reboot".to_owned(),
        ),
        Plan::Apply(Effect::Tried(time)) => (
            mode,
            format!(
                "{at_once}\nThe config is applied in 'try' mode and will be automatically reverted back in {}",
                go_duration(*time)
            ),
        ),
        Plan::Apply(Effect::Now) => (Mode::NoReboot, at_once.to_owned()),
    }
}
