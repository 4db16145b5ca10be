//! `ApplyConfiguration`: checks in Talos's order, then one of several ways to take a configuration over.

use std::time::Duration;

use talos_proto::machine::{
    ApplyConfiguration, ApplyConfigurationRequest, ApplyConfigurationResponse,
    apply_configuration_request::Mode,
};
use talos_proto::methods::Release;
use tonic::Status;

use super::Call;
use super::power::reboot_job;
use crate::clock::go_duration;
use crate::machined::policy::not_authorized;
use crate::node::config::Application;
use crate::node::config::document::{ConfigError, MachineConfig};
use crate::node::events::payload::Payload;

/// How long a configuration is tried unless the caller says so.
const TRIAL: Duration = Duration::from_secs(60);
const WITHOUT_REBOOT: &str = "Applied configuration without a reboot";

pub(in crate::machined) async fn apply_configuration(
    call: Call,
    request: ApplyConfigurationRequest,
) -> Result<ApplyConfigurationResponse, Status> {
    let maintenance = call.node.in_maintenance();
    call.not_in_agent()?;
    if call.node.config.lock().busy {
        return Err(Status::failed_precondition(
            "another apply configuration is already in progress",
        ));
    }
    if !maintenance && !call.caller.roles.is_admin() {
        return Err(not_authorized());
    }
    if maintenance && call.node.release() < Release::new(1, 13) {
        return before_1_13(&call, &request);
    }
    // Even if the call fails later on.
    if request.mode != i32::from(Mode::Try) {
        call.node.end_trial();
    }
    let config = parse(&request).map_err(|error| {
        call.node
            .events
            .publish("", Payload::config_load_error(&error.to_string()));
        Status::invalid_argument(error.to_string())
    })?;
    if !maintenance && !config.is_complete() {
        return Err(Status::invalid_argument(
            "the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine \
             config instead?",
        ));
    }
    #[expect(deprecated, reason = "its number is what a request without a mode has")]
    let reboot = Mode::Reboot;
    let restarts = call.node.release() < Release::new(1, 14);
    if request.mode == i32::from(reboot) && !maintenance && !restarts {
        return Err(Status::unimplemented(
            "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead",
        ));
    }
    let active = call.node.config();
    config.validate(active.as_deref()).map_err(|error| {
        call.node
            .events
            .publish("", Payload::config_validation_error(&error.to_string()));
        Status::invalid_argument(error.to_string())
    })?;
    let mode = Mode::try_from(request.mode).map_err(|_| {
        Status::invalid_argument(format!(
            "incorrect mode '{}' specified for the apply config call",
            request.mode
        ))
    })?;
    let timeout = request
        .try_mode_timeout
        .and_then(|timeout| Duration::try_from(timeout).ok());
    let timeout = timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(TRIAL);
    let (mode, how, details) = match mode {
        Mode::Staged => (
            mode,
            Application::Staged,
            "Staged configuration to be applied after the next reboot".to_owned(),
        ),
        Mode::Try => (
            mode,
            Application::Trial(timeout),
            format!(
                "{WITHOUT_REBOOT}\nThe config is applied in 'try' mode and will be automatically reverted back in {}",
                go_duration(timeout)
            ),
        ),
        Mode::Auto | Mode::NoReboot => (Mode::NoReboot, Application::Permanent, WITHOUT_REBOOT.to_owned()),
        _ if maintenance => (Mode::NoReboot, Application::Permanent, WITHOUT_REBOOT.to_owned()),
        mode => (
            mode,
            Application::Staged,
            "Applied configuration with a reboot".to_owned(),
        ),
    };
    if request.dry_run {
        let diff = call.node.config_diff(&config);
        let diff = diff.as_deref().unwrap_or("No changes.");
        let details = format!("Dry run summary:\n{details} (skipped in dry-run).\nConfig diff:\n\n{diff}");
        return Ok(reply(mode, details));
    }
    call.node.apply_config(config, how);
    if mode == reboot {
        call.node.start_sequence(reboot_job(&call.node));
    }
    Ok(reply(mode, details))
}

fn parse(request: &ApplyConfigurationRequest) -> Result<MachineConfig, ConfigError> {
    MachineConfig::parse(&request.data)
}

/// What the separate maintenance server of older releases did.
fn before_1_13(
    call: &Call,
    request: &ApplyConfigurationRequest,
) -> Result<ApplyConfigurationResponse, Status> {
    #[expect(deprecated, reason = "older releases answer with it")]
    let reboot = Mode::Reboot;
    let mode = Mode::try_from(request.mode);
    match mode {
        Ok(Mode::Auto | Mode::Try) => {}
        Ok(mode) if mode == reboot => {}
        _ => {
            let name = match mode {
                Ok(Mode::NoReboot) => "no-reboot".to_owned(),
                Ok(Mode::Staged) => "staged".to_owned(),
                _ => request.mode.to_string(),
            };
            return Err(Status::unimplemented(format!(
                "apply configuration --mode='{name}' is not supported in maintenance mode"
            )));
        }
    }
    let config =
        parse(request).map_err(|error| Status::unknown(format!("failed to parse config: {error}")))?;
    config
        .validate(None)
        .map_err(|error| Status::invalid_argument(format!("configuration validation failed: {error}")))?;
    if request.dry_run {
        let details = "Dry run summary:\nNode is running in maintenance mode and does not have a config yet.";
        return Ok(reply(reboot, details.to_owned()));
    }
    call.node.apply_config(config, Application::Permanent);
    Ok(reply(reboot, String::new()))
}

fn reply(mode: Mode, mode_details: String) -> ApplyConfigurationResponse {
    ApplyConfigurationResponse {
        messages: vec![ApplyConfiguration {
            metadata: None,
            warnings: Vec::new(),
            mode: mode.into(),
            mode_details,
        }],
    }
}
