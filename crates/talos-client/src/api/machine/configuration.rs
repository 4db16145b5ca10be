//! Giving a node its machine configuration.

use std::{fmt, time::Duration};

use bytes::Bytes;
use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use crate::{
    Node,
    api::wire::wire_enum,
    call::{Target, request},
    error::Result,
};

/// When a machine configuration takes effect, and for how long.
///
/// The value 0 of the wire, which reboots nodes up to Talos 1.13 and is refused by later ones, cannot be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApplyMode {
    /// As the node thinks best. Since Talos 1.14 that is at once and without a reboot; older nodes **reboot** if
    /// the changes demand it.
    #[default]
    Auto,
    /// At once and without a reboot. Nodes up to Talos 1.13 refuse changes that demand one.
    NoReboot,
    /// With the next reboot.
    Staged,
    /// At once, and **back again** after this time unless another configuration was applied by then. Whole
    /// seconds or fractions; zero is refused. See [`ApplyMode::TRY_TIMEOUT`].
    Try {
        /// How long the node keeps it.
        timeout: Duration,
    },
}

impl ApplyMode {
    /// How long nodes keep a tried configuration where nothing is said: one minute.
    pub const TRY_TIMEOUT: Duration = Duration::from_secs(60);
}

wire_enum! {
    /// What a node did with a machine configuration.
    pub enum AppliedMode {
        /// It reboots to apply it. Nodes since Talos 1.14 never do.
        Reboot = 0 as "reboot",
        /// Sent by no node, since each says what it decided on.
        Auto = 1 as "auto",
        /// It applied the configuration without a reboot.
        NoReboot = 2 as "no-reboot",
        /// It keeps the configuration for the next reboot.
        Staged = 3 as "staged",
        /// It applied the configuration for a limited time.
        Try = 4 as "try",
    }
}

/// What a node did with a machine configuration.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppliedConfiguration {
    /// How it was applied; after a dry run, how it would have been.
    pub mode: AppliedMode,
    /// The node's own words. After a dry run, they hold the difference between the configurations, **secrets
    /// included**; not shown by `Debug`.
    pub details: String,
    /// What the node finds questionable in the configuration. Always empty after a dry run.
    pub warnings: Vec<String>,
}

impl fmt::Debug for AppliedConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppliedConfiguration")
            .field("mode", &self.mode)
            .field("details", &format_args!("<{} bytes>", self.details.len()))
            .field("warnings", &self.warnings)
            .finish()
    }
}

/// A machine configuration and what to do with it.
#[derive(Clone)]
pub(crate) struct Configuration {
    data: Bytes,
    mode: ApplyMode,
    dry_run: bool,
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration")
            .field("data", &format_args!("<{} bytes>", self.data.len()))
            .field("mode", &self.mode)
            .field("dry_run", &self.dry_run)
            .finish()
    }
}

request! {
    /// How to apply a machine configuration; made by [`Node::apply_configuration`].
    pub struct ApplyConfigurationRequest(Configuration) {
        /// When it takes effect. Default: [`ApplyMode::Auto`].
        fn mode(message, mode: ApplyMode) {
            message.mode = mode;
        }

        /// Only checks the configuration and says what would change. Default: false.
        ///
        /// It has one effect nevertheless: a configuration that is being tried on the node becomes permanent
        /// unless this is for [`ApplyMode::Try`], too.
        fn dry_run(message, dry_run: bool) {
            message.dry_run = dry_run;
        }
    }

    /// Sends the configuration.
    ///
    /// Every call but one for [`ApplyMode::Try`] ends the trial of an earlier configuration, which then stays;
    /// even a call that fails.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty configuration and a trial of no time; nothing is sent then.
    /// `InvalidArgument` with all that the node finds wrong in the configuration, `FailedPrecondition` while
    /// another one is being applied, `PermissionDenied` for less than an administrator outside maintenance
    /// mode, `Unimplemented` in agent mode, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the node may apply it although nobody waits for its answer.
    send(target, message) -> AppliedConfiguration {
        target.apply_configuration(message).await
    }
}

impl ApplyConfigurationRequest {
    pub(crate) fn of(target: &Target, configuration: impl Into<Bytes>) -> Self {
        let message = Configuration {
            data: configuration.into(),
            mode: ApplyMode::Auto,
            dry_run: false,
        };
        Self::new(target, message)
    }
}

impl Target {
    async fn apply_configuration(&self, message: Configuration) -> Result<AppliedConfiguration> {
        use proto::apply_configuration_request::Mode;

        let method = &methods::APPLY_CONFIGURATION;
        if message.data.iter().all(u8::is_ascii_whitespace) {
            return Err(self.invalid_input(method, "the machine configuration is empty"));
        }
        let (mode, timeout) = match message.mode {
            ApplyMode::Auto => (Mode::Auto, None),
            ApplyMode::NoReboot => (Mode::NoReboot, None),
            ApplyMode::Staged => (Mode::Staged, None),
            ApplyMode::Try { timeout } => (Mode::Try, Some(timeout)),
        };
        let try_mode_timeout = timeout
            .map(|timeout| self.positive(method, "the time of a trial", timeout))
            .transpose()?;
        let request = proto::ApplyConfigurationRequest {
            data: message.data,
            mode: mode.into(),
            dry_run: message.dry_run,
            try_mode_timeout,
        };
        let message = self
            .single(method, request, |request| async {
                self.machine().apply_configuration(request).await
            })
            .await?;
        Ok(AppliedConfiguration {
            mode: AppliedMode::from_wire(message.mode),
            details: message.mode_details,
            warnings: message.warnings,
        })
    }
}

impl Node {
    /// Gives the node a machine configuration: the YAML text, all documents of it.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use talos_client::api::machine::ApplyMode;
    ///
    /// # async fn example(node: talos_client::Node, yaml: String) -> talos_client::Result<()> {
    /// // The node takes it back in two minutes, in case it cuts us off.
    /// let trial = ApplyMode::Try { timeout: Duration::from_secs(120) };
    /// let applied = node.apply_configuration(yaml).mode(trial).send().await?;
    /// for warning in applied.warnings {
    ///     eprintln!("{warning}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `machine.MachineService/ApplyConfiguration` · talosctl apply-config · since Talos 1.7 or older ·
    /// role os:admin · unsafe
    pub fn apply_configuration(&self, configuration: impl Into<Bytes>) -> ApplyConfigurationRequest {
        ApplyConfigurationRequest::of(self.target(), configuration)
    }
}
