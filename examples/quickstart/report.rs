//! What is shown of one node.

use std::{env, io::IsTerminal};

use talos_client::{
    Node, Result,
    api::machine::{LoadAverage, Memory, ServiceHealth, ServiceInfo, Version},
    resource::{Object, runtime::MachineStatus},
};

const BAR_WIDTH: u64 = 24;
const LINE_WIDTH: usize = 100;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

pub(crate) struct Report {
    hostname: String,
    version: Version,
    status: Object<MachineStatus>,
    services: Vec<ServiceInfo>,
    memory: Memory,
    load: LoadAverage,
    log: Vec<String>,
}

impl Report {
    /// Asks the node for everything at once; the calls share one connection.
    pub(crate) async fn of(node: &Node, lines: u32) -> Result<Self> {
        let resources = node.resources();
        let (hostname, version, status, services, memory, load, log) = tokio::try_join!(
            node.hostname(),
            node.version(),
            resources.get(),
            node.services(),
            node.memory(),
            node.load_average(),
            last_lines(node, lines),
        )?;
        Ok(Self {
            hostname,
            version,
            status,
            services,
            memory,
            load,
            log,
        })
    }

    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    pub(crate) fn print(&self, node: &Node, paint: Paint) {
        let status = &self.status.spec;
        let (mark, ready) = if status.ready {
            (paint.green("●"), "ready")
        } else {
            (paint.yellow("●"), "not ready")
        };
        println!(
            "{mark} {}  {}  Talos {} on {}  {}, {ready}",
            paint.bold(node.name().as_str()),
            self.hostname,
            self.version.tag(),
            self.version.platform().unwrap_or("an unknown platform"),
            status.stage,
        );
        for condition in &status.unmet_conditions {
            println!(
                "    {}  {}: {}",
                paint.yellow("waits for"),
                condition.name,
                condition.reason
            );
        }
        println!("    memory    {}", self.memory_bar());
        println!(
            "    load      {:.2} {:.2} {:.2}",
            self.load.one, self.load.five, self.load.fifteen
        );
        let services: Vec<_> = self
            .services
            .iter()
            .map(|service| paint.service(service))
            .collect();
        for (number, row) in services.chunks(4).enumerate() {
            println!(
                "    {:<9} {}",
                if number == 0 { "services" } else { "" },
                row.join("  ")
            );
        }
        for line in &self.log {
            println!("    {} {}", paint.dim("machined  |"), shortened(line));
        }
        println!();
    }

    fn memory_bar(&self) -> String {
        let (used, total) = (self.memory.used(), self.memory.total());
        let filled = (used * BAR_WIDTH).checked_div(total).unwrap_or(0).min(BAR_WIDTH);
        let bar: String = (0..BAR_WIDTH)
            .map(|cell| if cell < filled { '#' } else { '.' })
            .collect();
        format!("[{bar}] {:.1} of {:.1} GiB", gib(used), gib(total))
    }
}

async fn last_lines(node: &Node, count: u32) -> Result<Vec<String>> {
    let mut stream = node.logs("machined").tail_lines(count).send().await?.lines();
    let mut lines = Vec::new();
    while let Some(line) = stream.next_line().await {
        lines.push(line?);
    }
    Ok(lines)
}

/// At most [`LINE_WIDTH`] characters.
fn shortened(line: &str) -> String {
    match line.char_indices().nth(LINE_WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}

/// Colours, if the terminal takes them.
#[derive(Clone, Copy)]
pub(crate) struct Paint {
    enabled: bool,
}

impl Paint {
    pub(crate) fn for_stdout() -> Self {
        Self {
            enabled: std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none(),
        }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.enabled {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    /// Name, state where it is not running, and health.
    fn service(self, service: &ServiceInfo) -> String {
        let text = format!("{:<10} {:<7} {:<4}", service.id, service.state, service.health);
        match (service.is_up(), service.health) {
            (true, ServiceHealth::Healthy) => self.green(&text),
            (true, _) => text,
            (false, _) => self.yellow(&text),
        }
    }
}
