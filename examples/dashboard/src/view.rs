//! How the nodes are shown.

use std::collections::VecDeque;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize},
    text::Line,
    widgets::{Block, Paragraph, Sparkline},
};

use crate::data::Machine;

/// How many lines a node takes: three, and a border.
const NODE: u16 = 5;
/// How many lines there are beside nodes.
const AROUND: u16 = 2;

/// How many lines show so many nodes.
pub(crate) fn height(nodes: usize) -> u16 {
    let nodes = u16::try_from(nodes).unwrap_or(u16::MAX);
    nodes.saturating_mul(NODE).saturating_add(AROUND)
}

/// Draws as many nodes as there is room for, from the one with this number on.
pub(crate) fn draw(frame: &mut Frame<'_>, machines: &[Machine], first: usize) {
    let [header, middle, footer] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    let ready = machines.iter().filter(|machine| is_fine(machine)).count();
    let title = format!(" {ready} of {} nodes ready", machines.len());
    frame.render_widget(Line::from(title).bold(), header);

    let room = usize::from(middle.height / NODE);
    let shown = machines.iter().skip(first).take(room);
    let mut keys = " q ends".to_owned();
    if shown.len() < machines.len() {
        keys += &format!(
            ", arrow keys scroll: {} of {} nodes shown",
            shown.len(),
            machines.len()
        );
    }
    frame.render_widget(Line::from(keys).dim(), footer);

    let mut top = middle.y;
    for machine in shown {
        let area = Rect {
            y: top,
            height: NODE,
            ..middle
        };
        draw_node(frame, area, machine);
        top += NODE;
    }
}

fn is_fine(machine: &Machine) -> bool {
    machine.problem.is_none() && machine.seen.as_ref().is_some_and(|seen| seen.ready)
}

fn draw_node(frame: &mut Frame<'_>, area: Rect, machine: &Machine) {
    let colour = match (&machine.problem, is_fine(machine)) {
        (Some(_), _) => Color::Red,
        (None, true) => Color::Green,
        (None, false) => Color::Yellow,
    };
    let title = match &machine.seen {
        Some(seen) => format!(" {} {} {} ", machine.name, seen.hostname, seen.version),
        None => format!(" {} ", machine.name),
    };
    let block = Block::bordered()
        .title(title)
        .border_style(Style::new().fg(colour));
    let inner = block.inner(area);
    frame.render_widget(block, area);

    let [facts, cpu, memory, log] = Layout::horizontal([
        Constraint::Length(28),
        Constraint::Length(20),
        Constraint::Length(20),
        Constraint::Fill(1),
    ])
    .spacing(1)
    .areas(inner);
    frame.render_widget(Paragraph::new(facts_of(machine)), facts);
    draw_history(frame, cpu, "cpu", &machine.cpu, Color::Cyan);
    draw_history(frame, memory, "memory", &machine.memory, Color::Magenta);
    let lines = machine.seen.iter().flat_map(|seen| &seen.log);
    let lines: Vec<Line<'_>> = lines.map(|line| Line::from(line.as_str()).dim()).collect();
    frame.render_widget(Paragraph::new(lines), log);
}

fn facts_of(machine: &Machine) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    if let Some(seen) = &machine.seen {
        let ready = if seen.ready { "ready" } else { "not ready" };
        lines.push(Line::from(format!("{}, {ready}", seen.stage)));
        let up = seen.services - seen.down.len();
        lines.push(Line::from(format!("{up} of {} services fine", seen.services)));
        if !seen.down.is_empty() {
            lines.push(Line::from(format!("not {}", seen.down.join(", "))).yellow());
        }
    } else if machine.problem.is_none() {
        lines.push(Line::from("not seen yet"));
    }
    if let Some(problem) = &machine.problem {
        // What was seen before is old news.
        lines.truncate(1);
        lines.push(Line::from(problem.as_str()).red());
    }
    lines
}

/// The last value as a number, and those before as a curve.
fn draw_history(frame: &mut Frame<'_>, area: Rect, name: &str, history: &VecDeque<u64>, colour: Color) {
    let [head, curve] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let last = history.back();
    let head_text = last.map_or_else(|| format!("{name} -"), |last| format!("{name} {last} %"));
    frame.render_widget(Line::from(head_text), head);
    let hidden = history.len().saturating_sub(usize::from(curve.width));
    let values = history.iter().skip(hidden).copied();
    let sparkline = Sparkline::default()
        .data(values)
        .max(100)
        .style(Style::new().fg(colour));
    frame.render_widget(sparkline, curve);
}
