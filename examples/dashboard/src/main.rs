//! A dashboard of a cluster in the terminal: stage, services, CPU, memory and the last log lines of every node.
//!
//! ```text
//! cargo run -p dashboard
//! cargo run -p dashboard -- --talosconfig ~/.talos/config --log apid
//! cargo run -p dashboard -- --frames 3
//! cargo run -p dashboard -- --frames 6 --picture dashboard.svg
//! ```
//!
//! `q` ends it, the arrow keys go to nodes below. Where the output is no terminal, or with `--frames`, it prints what it
//! would show so many times, and ends. `os:reader` is enough.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

mod data;
mod picture;
mod view;

use std::{
    error::Error,
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use examples::ClusterArguments;
use ratatui::{
    DefaultTerminal, Terminal,
    backend::TestBackend,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use talos_testkit::{MemoryInfo, SimCluster};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use data::{Machine, Observer};

/// How often a key is looked for.
const KEYS: Duration = Duration::from_millis(100);
/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How wide printed frames are, in characters.
const PRINTED_WIDTH: u16 = 120;
/// How many frames are printed where nobody says; the use of the CPUs takes two looks.
const PRINTED_FRAMES: u32 = 2;
/// Runs on all nodes.
const SERVICE: &str = "kubelet";
/// How many control plane nodes the simulated cluster has; there is a worker as well.
const SIMULATED_CONTROL_PLANES: usize = 3;

/// Shows the nodes of a Talos cluster in the terminal.
#[derive(Debug, Parser)]
#[command(name = "dashboard")]
struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The service whose log is shown; machined and apid write a line for each call, so also for those of this program
    #[arg(long, value_name = "SERVICE", default_value = SERVICE)]
    log: String,
    /// Print this many frames as text, and end
    #[arg(long, value_name = "COUNT")]
    frames: Option<u32>,
    /// Draw the last printed frame as an SVG file, too
    #[arg(long, value_name = "FILE", requires = "frames")]
    picture: Option<PathBuf>,
    /// The time between two looks at the nodes, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000)]
    interval: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let simulated = SimCluster::builder()
        .control_planes(SIMULATED_CONTROL_PLANES)
        .workers(1);
    let cluster = arguments
        .cluster
        .open(simulated, |client| client.timeout(PATIENCE))
        .await?;
    let observer = Observer::of(cluster.nodes, arguments.log);
    let interval = Duration::from_millis(arguments.interval);
    let frames = arguments.frames;
    let frames = frames.or_else(|| (!io::stdout().is_terminal()).then_some(PRINTED_FRAMES));
    match frames {
        Some(count) => {
            let terminal = print_frames(count, observer, interval, cluster.simulated).await?;
            if let Some(path) = &arguments.picture {
                draw(path, &terminal)?;
            }
            Ok(())
        }
        None => watch_until_key(observer, interval, cluster.simulated).await,
    }
}

/// Prints what the terminal would show; returns it as it is in the end.
async fn print_frames(
    count: u32,
    mut observer: Observer,
    interval: Duration,
    simulated: Option<SimCluster>,
) -> Result<Terminal<TestBackend>, Box<dyn Error>> {
    let height = view::height(observer.machines().len());
    let mut terminal = Terminal::new(TestBackend::new(PRINTED_WIDTH, height))?;
    for step in 0..count {
        if step > 0 {
            sleep(interval).await;
        }
        play(simulated.as_ref(), step);
        observer.look().await;
        terminal.draw(|frame| view::draw(frame, observer.machines(), 0))?;
        println!("{}", text_of(terminal.backend()));
    }
    Ok(terminal)
}

fn draw(path: &Path, terminal: &Terminal<TestBackend>) -> Result<(), String> {
    fs::write(path, picture::svg(terminal.backend())).map_err(|error| format!("{}: {error}", path.display()))
}

/// What is on the screen, line by line, without colours.
fn text_of(screen: &TestBackend) -> String {
    let buffer = screen.buffer();
    let area = buffer.area;
    let line = |y| {
        let cells = (area.left()..area.right()).map(|x| buffer[(x, y)].symbol());
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    (area.top()..area.bottom()).map(line).collect()
}

/// Shows the nodes until somebody wants to leave.
async fn watch_until_key(
    mut observer: Observer,
    interval: Duration,
    simulated: Option<SimCluster>,
) -> Result<(), Box<dyn Error>> {
    let (sender, receiver) = watch::channel(observer.machines().to_vec());
    let looks = tokio::spawn(async move {
        for step in 0.. {
            play(simulated.as_ref(), step);
            observer.look().await;
            if sender.send(observer.machines().to_vec()).is_err() {
                break;
            }
            sleep(interval).await;
        }
    });
    // The terminal is waited for in a thread of its own, and put in order whatever happens.
    let shown = spawn_blocking(move || ratatui::run(|terminal| show(terminal, &receiver))).await;
    looks.abort();
    Ok(shown??)
}

fn show(terminal: &mut DefaultTerminal, machines: &watch::Receiver<Vec<Machine>>) -> io::Result<()> {
    let mut first = 0;
    loop {
        let machines = machines.borrow().clone();
        terminal.draw(|frame| view::draw(frame, &machines, first))?;
        if !event::poll(KEYS)? {
            continue;
        }
        // Anything else, such as another size of the terminal, leads to another frame.
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match key.code {
            KeyCode::Char('q') => return Ok(()),
            // It does not come as a signal while the terminal is in raw mode.
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
            KeyCode::Down => first = (first + 1).min(machines.len().saturating_sub(1)),
            KeyCode::Up => first = first.saturating_sub(1),
            _ => {}
        }
    }
}

/// Lets something happen in a simulated cluster.
fn play(simulated: Option<&SimCluster>, step: u32) {
    let Some(cluster) = simulated else { return };
    for index in 0..cluster.nodes().len() {
        let mut memory = MemoryInfo::default();
        let share = u64::from(step) * 7 + index as u64 * 13;
        memory.available_kib = memory.total_kib * (20 + share % 60) / 100;
        cluster.node(index).set_memory(memory);
    }
    // Sick and well by turns; the last node is a worker.
    cluster
        .node(SIMULATED_CONTROL_PLANES)
        .set_service_health(SERVICE, step % 4 != 1, "no answer");
    // As many as are shown, so that these are all that is.
    for (index, line) in (0..cluster.nodes().len()).flat_map(|index| [1, 2, 3].map(|line| (index, line))) {
        let text = format!("simulated line {line} of step {}", step + 1);
        cluster.node(index).append_log(SERVICE, &text);
    }
}
