//! A frame as a picture, for pages that show what the terminal would.

use ratatui::{
    backend::TestBackend,
    buffer::Cell,
    style::{Color, Modifier},
};

/// Width and height of a character, in pixels.
const CELL: (f64, f64) = (8.4, 18.0);
/// Where in that height letters stand.
const BASELINE: f64 = 13.5;
const BACKGROUND: &str = "#11151c";
const FOREGROUND: &str = "#d7dce5";

/// What is on the screen, as SVG.
pub(crate) fn svg(screen: &TestBackend) -> String {
    let buffer = screen.buffer();
    let area = buffer.area;
    let (width, height) = (f64::from(area.width) * CELL.0, f64::from(area.height) * CELL.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"monospace\" \
         font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
    );
    for y in area.top()..area.bottom() {
        // Neighbours that look the same are one piece of text.
        let mut x = area.left();
        while x < area.right() {
            let first = &buffer[(x, y)];
            let length = (x..area.right()).take_while(|x| looks_like(&buffer[(*x, y)], first));
            let end = x + u16::try_from(length.count()).unwrap_or(1);
            let text: String = (x..end).map(|x| buffer[(x, y)].symbol()).collect();
            if !text.trim().is_empty() {
                svg += &piece(&text, x, y, end - x, first);
            }
            x = end;
        }
    }
    svg + "</svg>\n"
}

fn looks_like(cell: &Cell, other: &Cell) -> bool {
    (cell.fg, cell.modifier) == (other.fg, other.modifier)
}

fn piece(text: &str, x: u16, y: u16, cells: u16, cell: &Cell) -> String {
    let mut style = format!("fill=\"{}\"", colour(cell.fg));
    if cell.modifier.contains(Modifier::BOLD) {
        style += " font-weight=\"bold\"";
    }
    if cell.modifier.contains(Modifier::DIM) {
        style += " opacity=\"0.6\"";
    }
    // The length keeps columns in line whatever font there is.
    format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" {style} xml:space=\"preserve\">{}</text>\n",
        f64::from(x) * CELL.0,
        f64::from(y) * CELL.1 + BASELINE,
        f64::from(cells) * CELL.0,
        escaped(text)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The colours of the view; others are those of plain text.
fn colour(colour: Color) -> &'static str {
    match colour {
        Color::Red => "#ff6b6b",
        Color::Green => "#7bd88f",
        Color::Yellow => "#ffd866",
        Color::Cyan => "#5ad4e6",
        Color::Magenta => "#d28bff",
        _ => FOREGROUND,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, style::Stylize, text::Line};

    use super::*;

    #[test]
    fn pieces_have_places_colours_and_no_markup_of_their_own() {
        let mut terminal = Terminal::new(TestBackend::new(8, 2)).expect("a terminal");
        let draw = terminal.draw(|frame| {
            frame.render_widget(Line::from(vec!["<a>".red(), " b".bold()]), frame.area());
        });
        draw.expect("drawn");
        let svg = svg(terminal.backend());
        let lines: Vec<_> = svg.lines().collect();
        assert!(lines[0].contains("viewBox=\"0 0 67 36\""), "{svg}");
        assert_eq!(
            lines[2],
            "<text x=\"0.0\" y=\"13.5\" textLength=\"25.2\" fill=\"#ff6b6b\" xml:space=\"preserve\">&lt;a&gt;</text>"
        );
        assert!(
            lines[3].contains("x=\"25.2\"") && lines[3].contains("font-weight=\"bold\""),
            "{svg}"
        );
        assert_eq!(lines[4], "</svg>");
    }
}
