//! A table for a terminal: no lines, numbers to the right, columns that give way when it is narrow, colour only where it means something.

use std::fmt::Write;

use comfy_table::{Attribute, Cell as Drawn, CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Table as Grid, TableStyle, Width};

pub use crate::words::Tone;
use crate::words::clean;

/// What the output can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns of the terminal. `None`: a pipe or a file, nothing is cut.
    pub width: Option<u16>,
    /// Colours may be used.
    pub colour: bool,
}

impl Look {
    /// A pipe.
    pub const PLAIN: Look = Look { width: None, colour: false };

    /// Standard output as it is. `colour`: whether it is coloured; `None`: where it is a terminal.
    pub fn of_stdout(colour: Option<bool>) -> Look {
        match Grid::new().width() {
            Some(width) => Look { width: Some(width.max(40)), colour: colour.unwrap_or(true) },
            None => Look { colour: colour.unwrap_or(false), ..Look::PLAIN },
        }
    }

    /// A piece of text in a tone.
    pub fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Plain => "",
            Tone::Quiet => "2",
            Tone::Notice => "33",
            Tone::Alarm => "31",
            Tone::Head => "1",
        };
        if self.colour && !code.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.into() }
    }

    /// A line of plain text, cut at the width.
    pub fn line(self, text: &str) -> String {
        match self.width {
            Some(width) => cut(text, width.into()),
            None => text.into(),
        }
    }

    /// Plain text in as many lines as it takes, all but the first set in by `hang`; what came from outside is made harmless.
    pub fn paragraph(self, text: &str, hang: usize) -> Vec<String> {
        let width = usize::from(self.width.unwrap_or(u16::MAX));
        // A number stays with its sign.
        let text = clean(text).replace(" %", "\u{a0}%");
        let words = text.trim_start_matches(' ');
        let indent = &text[..text.len() - words.len()];
        let hang = " ".repeat(hang);
        let mut lines: Vec<String> = Vec::new();
        for word in words.split(' ').map(|word| word.replace('\u{a0}', " ")) {
            match lines.last_mut() {
                Some(line) if columns(line) + 1 + columns(&word) <= width => {
                    line.push(' ');
                    line.push_str(&word);
                }
                Some(_) => lines.push(cut(&format!("{hang}{word}"), width)),
                None => lines.push(cut(&format!("{indent}{word}"), width)),
            }
        }
        lines
    }

    /// Two texts at the ends of a line of `wide` columns, at least a gap apart; the left one is cut where the terminal ends.
    pub fn ends(self, left: &str, right: &str, wide: usize) -> String {
        const LEAST: usize = 3;
        let most = usize::from(self.width.unwrap_or(u16::MAX));
        if right.is_empty() {
            return self.line(left);
        }
        let left = cut(left, most.saturating_sub(columns(right) + LEAST));
        let gap = wide.min(most).saturating_sub(columns(&left) + columns(right)).max(LEAST);
        format!("{left}{:gap$}{right}", "")
    }
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    /// A text stands left and may be cut to this many columns ([`WHOLE`]: never); `None` is a number: right, never cut.
    pub(super) least: Option<u16>,
    /// Which goes first when there is no room; 0 stays.
    pub(super) leaves: u8,
}

/// A text that says less than nothing when it is cut.
pub(super) const WHOLE: Option<u16> = Some(u16::MAX);

/// One cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text from outside, made harmless.
    pub(super) fn new(text: impl AsRef<str>) -> Cell {
        Cell { text: clean(text.as_ref()), tone: Tone::Plain }
    }

    /// Not known.
    pub(super) fn unknown() -> Cell {
        Cell::new("–").tone(Tone::Quiet)
    }

    /// A figure, or that it is not known.
    pub(super) fn of(text: Option<String>) -> Cell {
        text.map_or_else(Cell::unknown, Cell::new)
    }

    pub(super) fn tone(self, tone: Tone) -> Cell {
        Cell { tone, ..self }
    }

    pub(super) fn tone_if(self, so: bool, tone: Tone) -> Cell {
        if so { self.tone(tone) } else { self }
    }
}

/// A table, drawn.
pub(super) struct Lines {
    /// The head, then one for each row.
    pub(super) lines: Vec<String>,
    /// Columns that the widest line takes.
    pub(super) wide: usize,
    /// Heads there was no room for.
    pub(super) left_out: Vec<&'static str>,
}

const GAP: u16 = 2;

/// Draws rows of as many cells as there are columns.
pub(super) fn draw(columns: &[Column], rows: &[Vec<Cell>], look: Look) -> Lines {
    let natural: Vec<u16> = (0..columns.len())
        .map(|at| {
            let widest = rows.iter().filter_map(|row| row.get(at)).map(|cell| self::columns(&cell.text)).max().unwrap_or(0);
            u16::try_from(widest.max(self::columns(columns[at].head))).unwrap_or(u16::MAX)
        })
        .collect();
    // A column in which nothing is known goes before all others.
    let known = |at: usize| rows.iter().filter_map(|row| row.get(at)).any(|cell| !matches!(cell.text.trim_end(), "" | "–"));
    let leaves: Vec<u8> =
        columns.iter().enumerate().map(|(at, column)| if column.leaves > 0 && known(at) { column.leaves + 100 } else { column.leaves }).collect();
    let widths = fit(columns, &natural, &leaves, look.width);
    let mut grid = Grid::new();
    grid.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
    grid.set_truncation_indicator("…");
    if look.colour {
        grid.enforce_styling();
    } else {
        grid.force_no_tty();
    }
    let shown = || widths.iter().enumerate().filter_map(|(at, width)| Some((at, (*width)?)));
    grid.set_header(shown().map(|(at, _)| Drawn::new(columns[at].head).add_attribute(Attribute::Dim)).collect::<Vec<_>>());
    for row in rows {
        let cells = shown().map(|(at, width)| drawn(row.get(at), width)).collect::<Vec<_>>();
        grid.add_row(Row::from(cells));
    }
    for (place, (at, width)) in shown().enumerate() {
        let last = place + 1 == shown().count();
        if let Some(column) = grid.column_mut(place) {
            let gap = if last { 0 } else { GAP };
            column.set_padding((0, gap));
            column.set_delimiter('\u{1}');
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + gap)));
            column.set_cell_alignment(if columns[at].least.is_some() { CellAlignment::Left } else { CellAlignment::Right });
        }
    }
    let left_out = widths.iter().zip(columns).filter(|(width, _)| width.is_none()).map(|(_, column)| column.head).collect();
    let shown: Vec<u16> = widths.iter().copied().flatten().collect();
    let wide = shown.iter().map(|width| usize::from(*width)).sum::<usize>() + usize::from(GAP) * shown.len().saturating_sub(1);
    Lines { wide, left_out, lines: grid.lines().map(|line| line.trim_end().to_owned()).collect() }
}

fn drawn(cell: Option<&Cell>, width: u16) -> Drawn {
    let Some(cell) = cell else { return Drawn::new("") };
    let drawn = Drawn::new(cut(&cell.text, width.into()));
    match cell.tone {
        Tone::Plain => drawn,
        Tone::Quiet => drawn.add_attribute(Attribute::Dim),
        Tone::Notice => drawn.fg(Color::DarkYellow),
        Tone::Alarm => drawn.fg(Color::DarkRed),
        Tone::Head => drawn.add_attribute(Attribute::Bold),
    }
}

/// How wide each column is; `None` is left out. Texts shrink first, then columns leave.
fn fit(columns: &[Column], natural: &[u16], leaves: &[u8], width: Option<u16>) -> Vec<Option<u16>> {
    let Some(width) = width.map(u32::from) else { return natural.iter().copied().map(Some).collect() };
    let mut leaving: Vec<u8> = leaves.iter().copied().filter(|leaves| *leaves > 0).collect();
    leaving.sort_unstable();
    // Round by round one rank more is left out, until the rest fits with its texts at their shortest.
    let mut rounds = std::iter::once(0).chain(leaving).peekable();
    while let Some(gone) = rounds.next() {
        let stays = |at: &usize| leaves[*at] == 0 || leaves[*at] > gone;
        let shown: Vec<usize> = (0..columns.len()).filter(stays).collect();
        let gaps = u32::from(GAP) * (shown.len().saturating_sub(1) as u32);
        let least = |at: usize| columns[at].least.map_or(natural[at], |least| least.min(natural[at]));
        let needed: u32 = gaps + shown.iter().map(|at| u32::from(least(*at))).sum::<u32>();
        if needed > width && rounds.peek().is_some() {
            continue;
        }
        let mut spare = width.saturating_sub(needed);
        let mut widths = vec![None; columns.len()];
        for at in shown {
            let more = u32::from(natural[at] - least(at)).min(spare);
            spare -= more;
            widths[at] = Some(least(at) + u16::try_from(more).unwrap_or(0));
        }
        return widths;
    }
    natural.iter().copied().map(Some).collect()
}

/// Columns a text takes on a terminal.
pub(super) fn columns(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// A text in at most `width` columns; what is cut ends in `…`.
fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.into();
    }
    let mut cut = String::new();
    // Marks take no column: a letter may carry a few, not a thousand.
    for c in text.chars().take(8 * width) {
        cut.push(c);
        // A letter and the marks upon it are measured together.
        if columns(&cut) + 1 > width {
            cut.pop();
            break;
        }
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// Adds a line.
pub(super) fn say(out: &mut String, line: impl AsRef<str>) {
    writeln!(out, "{}", line.as_ref()).expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { head: "NAME", least: Some(6), leaves: 0 },
        Column { head: "CPU", least: None, leaves: 0 },
        Column { head: "RESTARTS", least: None, leaves: 1 },
    ];

    fn table(name: &str, width: u16) -> String {
        let rows = vec![vec![Cell::new(name), Cell::new("0.25"), Cell::unknown()]];
        draw(&COLUMNS, &rows, Look { width: Some(width), colour: false }).lines.join("\n")
    }

    #[test]
    fn texts_shrink_before_columns_leave() {
        assert_eq!(table("long-name", 40), "NAME        CPU  RESTARTS\nlong-name  0.25         –");
        assert_eq!(table("long-name", 23), "NAME      CPU  RESTARTS\nlong-n…  0.25         –");
        assert_eq!(table("long-name", 16), "NAME        CPU\nlong-name  0.25");
        assert_eq!(table("long-name", 5), "NAME     CPU\nlong-…  0.25");
    }

    #[test]
    fn a_paragraph_keeps_its_words() {
        let look = Look { width: Some(20), colour: false };
        assert_eq!(look.paragraph("one two three four five six", 4), ["one two three four", "    five six"]);
        assert_eq!(look.paragraph("  a-word-that-is-longer-than-the-line", 0), ["  a-word-that-is-lo…"]);
        assert_eq!(Look::PLAIN.paragraph("one two", 4), ["one two"]);
    }

    #[test]
    fn hostile_names_are_harmless_and_wide_ones_are_measured() {
        assert_eq!(table("\u{1b}[2J\nx\u{202e}", 40).lines().count(), 2);
        assert_eq!(clean("a\u{1b}[31m\r\n\u{202e}b"), "a\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(table("数据库数据库", 12), "NAME     CPU\n数据…   0.25");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(name in "\\PC{0,60}", width in 20u16..200) {
            for line in table(&name, width).lines() {
                prop_assert!(columns(line) <= usize::from(width), "{:?}", line);
            }
        }
    }
}
