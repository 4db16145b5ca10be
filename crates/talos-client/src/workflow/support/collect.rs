//! What is taken from one node.

use std::io;

use super::{SupportFailure, Wanted, archive::Archive, text};
use crate::{
    Node,
    api::containers::ContainerScope,
    error::{Error, Result},
    resource::Definition,
    stream::ByteStream,
};

/// Logs of Talos that belong to no service.
const SYSTEM_LOGS: [&str; 2] = ["controller-runtime", "dns-resolve-cache"];

/// What one node has.
pub(super) struct Collection<'a> {
    node: &'a Node,
    folder: String,
    wanted: Wanted,
    archive: &'a mut Archive,
    failures: Vec<SupportFailure>,
}

impl<'a> Collection<'a> {
    pub(super) fn new(node: &'a Node, wanted: Wanted, archive: &'a mut Archive) -> Self {
        Self {
            node,
            folder: text::file_name(node.name().as_str()),
            wanted,
            archive,
            failures: Vec::new(),
        }
    }

    /// Takes everything. Only what is wrong with the archive is an error.
    pub(super) async fn run(mut self, progress: impl Fn(&str)) -> io::Result<Vec<SupportFailure>> {
        let node = self.node;
        progress("summary");
        match node.version().await {
            Ok(version) => {
                let hostname = node.hostname().await.ok();
                self.text("summary", Ok(text::summary(&version, hostname.as_deref())))
                    .await?;
            }
            Err(error) => {
                let gone = error.is_unreachable() || error.is_timeout();
                self.fail("summary", &error);
                if gone {
                    // Everything else would fail in the same way, and take long.
                    return Ok(self.failures);
                }
            }
        }
        progress("dmesg.log");
        let dmesg = node.dmesg().send().await;
        self.stream("dmesg.log", dmesg).await?;
        progress("system logs");
        for id in SYSTEM_LOGS {
            self.log(&format!("{id}.log"), id).await?;
        }
        progress("service-logs");
        self.services().await?;
        progress("kubernetes-logs");
        self.containers().await?;
        progress("state");
        self.state().await?;
        if self.wanted.resources {
            progress("resources");
            self.resources(&progress).await?;
        }
        Ok(self.failures)
    }

    async fn services(&mut self) -> io::Result<()> {
        let services = match self.node.services().await {
            Ok(services) => services,
            Err(error) => return self.failed("service-logs", &error),
        };
        for service in services {
            let name = text::file_name(&service.id);
            self.text(&format!("service-logs/{name}.state"), Ok(text::service(&service)))
                .await?;
            self.log(&format!("service-logs/{name}.log"), &service.id).await?;
        }
        Ok(())
    }

    async fn log(&mut self, file: &str, id: &str) -> io::Result<()> {
        let mut request = self.node.logs(id);
        if let Some(lines) = self.wanted.tail_lines {
            request = request.tail_lines(lines);
        }
        let stream = request.send().await;
        self.stream(file, stream).await
    }

    async fn containers(&mut self) -> io::Result<()> {
        let containers = match self.node.containers(ContainerScope::Kubernetes).await {
            Ok(containers) => containers,
            Err(error) => return self.failed("kubernetes-logs", &error),
        };
        let system = containers
            .into_iter()
            .filter(|container| !container.is_sandbox() && container.pod_id().starts_with("kube-system/"));
        for container in system {
            let exited = if container.pid().is_none() { "-exited" } else { "" };
            let name = text::file_name(container.id().trim_start_matches("kube-system/"));
            let file = format!("kubernetes-logs/kube-system/{name}{exited}.log");
            let mut request = self.node.container_logs(container.id());
            if let Some(lines) = self.wanted.tail_lines {
                request = request.tail_lines(lines);
            }
            let stream = request.send().await;
            self.stream(&file, stream).await?;
        }
        Ok(())
    }

    async fn state(&mut self) -> io::Result<()> {
        let node = self.node;
        let dependencies = node.controller_dependencies().await;
        self.text(
            "dependencies.dot",
            dependencies.map(|edges| text::dependencies(&edges)),
        )
        .await?;
        let mounts = node.mounts().await;
        self.text("mounts", mounts.map(|mounts| text::mounts(&mounts)))
            .await?;
        let devices = node.read("/proc/bus/pci/devices").await;
        self.stream("devices", devices).await?;
        let disks = node.disk_stats().await;
        self.text("io", disks.map(|stats| text::disks(&stats))).await?;
        let processes = node.processes().await;
        self.text(
            "processes",
            processes.map(|processes| text::processes(&processes)),
        )
        .await
    }

    async fn resources(&mut self, progress: &impl Fn(&str)) -> io::Result<()> {
        let definitions = match self.node.resources().definitions().await {
            Ok(definitions) => definitions,
            Err(error) => return self.failed("resources", &error),
        };
        for definition in definitions.all() {
            let name = text::file_name(&definition.definition().resource_type.to_lowercase());
            let file = format!("resources/{name}.yaml");
            progress(&file);
            if let Err(error) = self.resources_of(definition, &file).await? {
                self.fail(&file, &error);
            }
        }
        Ok(())
    }

    /// One resource at a time.
    async fn resources_of(&mut self, definition: &Definition, file: &str) -> io::Result<Result<()>> {
        let sensitive = definition.definition().sensitive;
        let list = self.node.resources().of(definition).list().stream().await;
        let mut list = match list {
            Ok(list) => list,
            Err(error) => return Ok(Err(error)),
        };
        let mut begun = false;
        let mut redactor = super::redact::Redactor::default();
        while let Some(object) = list.next_item().await {
            let object = match object {
                Ok(object) => object,
                Err(error) => return Ok(Err(error)),
            };
            // Types without resources make no files.
            if !begun {
                begun = true;
                self.archive.begin(&self.path(file)).await?;
            }
            let text = text::resource(&object, sensitive);
            self.archive.data(redactor.push(text.as_bytes())).await?;
        }
        self.archive.data(redactor.finish()).await?;
        Ok(Ok(()))
    }

    async fn text(&mut self, file: &str, text: Result<String>) -> io::Result<()> {
        match text {
            Ok(text) => self.archive.text(&self.path(file), &text).await,
            Err(error) => self.failed(file, &error),
        }
    }

    async fn stream(&mut self, file: &str, stream: Result<ByteStream>) -> io::Result<()> {
        let outcome = match stream {
            Ok(stream) => self.archive.stream(&self.path(file), stream).await?,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => self.failed(file, &error),
        }
    }

    fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.folder)
    }

    fn fail(&mut self, part: &str, error: &Error) {
        self.failures.push(SupportFailure {
            node: Some(self.node.name().clone()),
            part: part.to_owned(),
            reason: format!("{error:#}"),
        });
    }

    fn failed(&mut self, part: &str, error: &Error) -> io::Result<()> {
        self.fail(part, error);
        Ok(())
    }
}
