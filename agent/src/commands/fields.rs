//! Rows as fields by name: the table of `-o wide`, `--columns` and `--sort`, and CSV (RFC 4180).

use std::borrow::Cow;
use std::io::{self, Write};

use collector::units::{Bytes, Cores, Ratio};

use crate::query::{Columns, Field, Query, Unit, Value, field, rows};
use crate::report::Report;
use crate::words::figures;

use super::table::{Cell, Column, Look, draw, say};

/// What `-o wide` shows.
const WIDE: &str = "workload,container,state,health,cpu,cpu_of_limit,cpu_limit,throttled,memory,memory_of_limit,memory_limit,received,sent,read,written,pids,restarts,exit,uptime,now,fargate,image";
/// What a sorted or filtered `ps` and `cost` show.
const PS: &str = "workload,container,state,cpu,cpu_of_limit,throttled,memory,memory_of_limit,received,sent,restarts";
const COST: &str = "workload,cpu_asked,cpu,memory_asked,memory,now,total,fargate,says";

/// Which table is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// `tare ps`
    Ps,
    /// `tare cost`: workloads alone, for a bill is written to them.
    Cost,
}

impl Of {
    /// The columns where none are named.
    fn columns(self, wide: bool) -> Columns {
        let names = match (self, wide) {
            (_, true) => WIDE,
            (Of::Ps, false) => PS,
            (Of::Cost, false) => COST,
        };
        Columns::read(names).expect("a test reads all three")
    }
}

/// The table of a report whose rows were chosen by `query`.
pub fn table(report: &Report, of: Of, query: &Query, columns: Option<&Columns>, wide: bool, heads: bool, look: Look) -> String {
    let chosen = columns.cloned().unwrap_or_else(|| of.columns(wide));
    let columns: Vec<Column> = chosen.0.iter().map(|field| column(field)).collect();
    let rows = rows(report).filter(|row| of == Of::Ps || row.inner.is_none()).filter(|row| query.wants(row));
    let cells: Vec<Vec<Cell>> = rows.map(|row| chosen.0.iter().map(|field| cell(field, field.of(&row))).collect()).collect();
    let drawn = draw(&columns, &cells, look);
    let mut out = String::new();
    drawn.lines.iter().skip(usize::from(!heads)).for_each(|line| say(&mut out, line));
    if cells.is_empty() && heads {
        say(&mut out, "nothing meets the filter");
    }
    out
}

fn column(field: &Field) -> Column {
    let first = field.name == "workload";
    Column { head: field.head, least: (field.unit == Unit::Text).then_some(12), leaves: u8::from(!first) }
}

fn cell(field: &Field, value: Value<'_>) -> Cell {
    match value {
        Value::Unknown => Cell::unknown(),
        Value::Text(text) if text.is_empty() => Cell::unknown(),
        Value::Text(text) => Cell::new(text),
        Value::Number(number) if number.is_infinite() => Cell::new("none"),
        Value::Number(number) => Cell::new(match field.unit {
            Unit::Cores => figures::cores(Cores(number)),
            Unit::Bytes => Bytes(number as u64).to_string(),
            Unit::BytesPerSecond => format!("{}/s", Bytes(number as u64)),
            Unit::Share => figures::percent(Ratio(number)),
            Unit::UsdPerHour => format!("{number:.5}"),
            Unit::Seconds => span(number),
            Unit::Count | Unit::Text => format!("{number:.0}"),
        }),
    }
}

/// `5 s`, `12 min`, `3 h`, `8 d`.
fn span(seconds: f64) -> String {
    let (by, unit) = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")].into_iter().find(|(by, _)| seconds >= 2.0 * by).unwrap_or((1.0, "s"));
    format!("{:.0} {unit}", (seconds / by).floor())
}

/// One line a row, figures in their units by the heads' names, what is not known empty, no limit `inf`. Errors: the output is closed or full.
pub fn csv(to: &mut impl Write, report: &Report, query: &Query, columns: Option<&Columns>, heads: bool) -> io::Result<()> {
    let all: Vec<&Field> = columns.map_or_else(|| field::FIELDS.iter().collect(), |columns| columns.0.clone());
    let mut line = |cells: Vec<Cow<'_, str>>| to.write_all((cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\r\n").as_bytes());
    if heads {
        line([Cow::Borrowed("at")].into_iter().chain(all.iter().map(|field| field.full_name().into())).collect())?;
    }
    let at = report.at.wall.map(|at| at.to_string()).unwrap_or_default();
    for row in rows(report).filter(|row| query.wants(row)) {
        let cells = all.iter().map(|field| match field.of(&row) {
            Value::Unknown => Cow::Borrowed(""),
            Value::Text(text) => text,
            Value::Number(number) => number.to_string().into(),
        });
        line([Cow::Borrowed(&*at)].into_iter().chain(cells).collect())?;
    }
    Ok(())
}

/// RFC 4180: what has a comma, a quote or a line's end in it stands in quotes, and a quote in it twice. A name that a spreadsheet would take for a formula is
/// left as it is: this is data for programs, and changing it would be a lie.
fn quoted(cell: &str) -> Cow<'_, str> {
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")).into() } else { cell.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Filter, Sort};
    use crate::sample;

    fn query(filter: Option<&str>, sort: Option<&str>) -> Query {
        Query { filter: filter.map(|text| Filter::read(text).unwrap()), sort: sort.map(|text| Sort::read(text).unwrap()) }
    }

    #[test]
    fn a_sorted_and_filtered_table_shows_what_was_asked() {
        let query = query(Some("cpu>0.1"), Some("workload"));
        let report = sample::report();
        let found = query.of(&report);
        let columns = Columns::read("workload,container,cpu,memory_of_limit").unwrap();
        let said = table(&found, Of::Ps, &query, Some(&columns), false, true, Look::PLAIN);
        assert_eq!(
            said,
            "WORKLOAD  CONTAINER   CPU  MEM/LIMIT\napi       api        0.40       70 %\nweb       –          0.21       62 %\nweb       app        0.20          –\n"
        );
        let bare = table(&found, Of::Cost, &query, None, true, false, Look::PLAIN);
        assert_eq!(bare.lines().count(), 2, "{bare}");
        let none = super::tests::query(Some("workload=nobody"), None);
        assert!(table(&none.of(&report), Of::Ps, &none, None, false, true, Look::PLAIN).ends_with("nothing meets the filter\n"));
        assert!([PS, COST, WIDE].into_iter().all(|names| Columns::read(names).is_ok()));
    }

    #[test]
    fn a_span_is_told_in_one_unit() {
        for (seconds, text) in [(0.4, "0 s"), (119.0, "119 s"), (125.0, "2 min"), (7_300.0, "2 h"), (1e6, "11 d")] {
            assert_eq!(span(seconds), text);
        }
    }

    /// A strict reader of RFC 4180.
    fn read(text: &str) -> Vec<Vec<String>> {
        let (mut lines, mut line, mut cell, mut inside) = (Vec::new(), Vec::new(), String::new(), false);
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match (c, inside) {
                ('"', true) if rest.peek() == Some(&'"') => cell.push(rest.next().unwrap()),
                ('"', _) => inside = !inside,
                (',', false) => line.push(std::mem::take(&mut cell)),
                ('\r', false) => {
                    assert_eq!(rest.next(), Some('\n'));
                    line.push(std::mem::take(&mut cell));
                    lines.push(std::mem::take(&mut line));
                }
                (c, _) => cell.push(c),
            }
        }
        assert!(!inside && cell.is_empty() && line.is_empty());
        lines
    }

    #[test]
    fn csv_reads_back_as_the_report() {
        let mut report = sample::report();
        let evil = "a,\"b\"\r\nc";
        report.workloads[0].seen.about = std::sync::Arc::new(collector::snapshot::About { name: evil.into(), ..(*report.workloads[0].seen.about).clone() });
        let mut out = Vec::new();
        csv(&mut out, &report, &Query::default(), None, true).unwrap();
        let lines = read(&String::from_utf8(out).unwrap());
        let all: Vec<_> = rows(&report).collect();
        assert_eq!(lines.len(), all.len() + 1);
        assert_eq!((lines[1][1].as_str(), lines[0][1].as_str(), lines[0][0].as_str()), (evil, "workload", "at"));
        for (row, line) in all.iter().zip(&lines[1..]) {
            assert_eq!(line.len(), field::FIELDS.len() + 1);
            for (field, cell) in field::FIELDS.iter().zip(&line[1..]) {
                match field.of(row) {
                    Value::Unknown => assert_eq!(cell, ""),
                    Value::Text(text) => assert_eq!(*cell, text),
                    Value::Number(number) => assert_eq!(cell.parse::<f64>().unwrap(), number),
                }
            }
        }
    }
}
