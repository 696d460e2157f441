//! Any field as a cell of a table, for the columns a user asks for.

use collector::units::{Bytes, Cores, Ratio};

use crate::cost::UsdPerHour;
use crate::query::{Field, Row, Unit, Value};
use crate::words::figures;

use super::table::{Cell, Column, Lines, Look, Tone, WHOLE, say};

/// The columns of these fields. Where there is no room the rightmost leave first; the first one stays.
pub(super) fn columns(fields: &[&Field]) -> Vec<Column> {
    let of = |(at, field): (usize, &&Field)| {
        let least = match (field.unit, field.name) {
            (Unit::Text, "workload") => Some(12),
            // Half a sentence says less than none.
            (Unit::Text, "says" | "warnings") => WHOLE,
            (Unit::Text, _) => Some(16),
            _ => None,
        };
        Column { head: field.head, least, leaves: u8::try_from(if at == 0 { 0 } else { fields.len() - at }).unwrap_or(u8::MAX) }
    };
    fields.iter().enumerate().map(of).collect()
}

/// What one field says of one row.
pub(super) fn cell(field: &Field, row: &Row<'_>) -> Cell {
    // A container stands below its workload, so its name alone is told.
    if let ("workload", Some(inner)) = (field.name, row.inner) {
        return Cell::new(format!("  {}", inner.seen.about.label()));
    }
    match field.of(row) {
        Value::Unknown => Cell::unknown(),
        Value::Text(text) if field.name == "id" && text.len() == 64 => Cell::new(text.chars().take(12).collect::<String>()),
        Value::Text(text) => Cell::new(text),
        Value::Number(figure) => Cell::new(shown(figure, field.unit)),
    }
}

/// A figure with its unit.
fn shown(figure: f64, unit: Unit) -> String {
    if figure.is_infinite() {
        return "unlimited".into();
    }
    match unit {
        Unit::Cores => figures::cores(Cores(figure)),
        Unit::Bytes => Bytes(figure as u64).to_string(),
        Unit::BytesPerSecond => format!("{}/s", Bytes(figure.round() as u64)),
        Unit::Share => figures::percent(Ratio(figure)),
        Unit::UsdPerHour => UsdPerHour((figure * 1e9).round() as i64).to_string(),
        Unit::Seconds => span(figure as u64),
        Unit::Count | Unit::Text => format!("{figure}"),
    }
}

/// The two largest units: `3 d 4 h`, `12 min 5 s`.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Columns that were asked for and not shown are not passed over in silence.
pub(super) fn say_left_out(out: &mut String, drawn: &Lines, fields: Option<&[&Field]>, look: Look) {
    if fields.is_some() && !drawn.left_out.is_empty() {
        let words = format!("no room for {}; -o csv has all, and so has a pipe", drawn.left_out.join(", "));
        look.paragraph(&words, 4).iter().for_each(|line| say(out, look.paint(line, Tone::Quiet)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_carry_their_unit() {
        for (figure, unit, text) in [
            (0.25, Unit::Cores, "0.25"),
            (f64::INFINITY, Unit::Cores, "unlimited"),
            (1536.0, Unit::Bytes, "1.50 KiB"),
            (1536.2, Unit::BytesPerSecond, "1.50 KiB/s"),
            (0.42, Unit::Share, "42 %"),
            (0.021323077, Unit::UsdPerHour, "0.02132"),
            (3.0, Unit::Count, "3"),
            (59.0, Unit::Seconds, "59 s"),
            (725.0, Unit::Seconds, "12 min 5 s"),
            (7380.0, Unit::Seconds, "2 h 3 min"),
            (273_600.0, Unit::Seconds, "3 d 4 h"),
        ] {
            assert_eq!(shown(figure, unit), text);
        }
    }
}
