//! A report as CSV (RFC 4180): a line a workload or container, figures bare, their units in the names of the columns.
//!
//! Not known is an empty field, no limit the word `unlimited`, as in JSON. A field that a spreadsheet would take for a formula is left as it is: names are data,
//! and neither Docker nor systemd lets one begin with `=`, `+` or `@`.

use crate::query::field::FIELDS;
use crate::query::{Columns, Field, Query, Unit, Value, rows};
use crate::report::Report;

/// The fields that are columns.
pub(super) fn fields(columns: Option<&Columns>) -> Vec<&'static Field> {
    columns.map_or_else(|| FIELDS.iter().collect(), |columns| columns.0.clone())
}

/// The line of names; the time of the look comes first.
pub(super) fn head(fields: &[&Field]) -> String {
    line(std::iter::once("at".to_owned()).chain(fields.iter().map(|field| field.full_name())))
}

/// A line for each row that is wanted.
pub(super) fn lines(report: &Report, query: &Query, fields: &[&Field]) -> String {
    let found = query.of(report);
    let at = report.at.wall.map(|at| at.to_string()).unwrap_or_default();
    let wanted = rows(&found).filter(|row| query.wants(row));
    wanted.map(|row| line(std::iter::once(at.clone()).chain(fields.iter().map(|field| text(field.of(&row), field.unit))))).collect()
}

fn text(value: Value<'_>, unit: Unit) -> String {
    match value {
        Value::Unknown => String::new(),
        Value::Text(text) => text.into_owned(),
        Value::Number(figure) if figure.is_infinite() => "unlimited".into(),
        // Money has nine decimals; more are the binary figure's.
        Value::Number(figure) if unit == Unit::UsdPerHour => format!("{}", (figure * 1e9).round() / 1e9),
        Value::Number(figure) => format!("{figure}"),
    }
}

/// One line, ended as the RFC has it. What moves a cursor stands in no name, so a line is a row for every reader.
pub(super) fn line(fields: impl Iterator<Item = String>) -> String {
    let field = |text: String| {
        let text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        if text.contains(['"', ',']) || text.starts_with(' ') || text.ends_with(' ') { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    fields.map(field).collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use collector::snapshot::About;
    use collector::units::Limit;
    use proptest::prelude::*;

    use super::*;
    use crate::query::Filter;
    use crate::sample;

    /// RFC 4180, to the letter: every line ends in CRLF, a quote stands only around a whole field or doubled inside one.
    fn parse(text: &str) -> Vec<Vec<String>> {
        let (mut records, mut record) = (Vec::new(), Vec::new());
        let mut rest = text;
        while !rest.is_empty() {
            let mut field = String::new();
            if let Some(mut inside) = rest.strip_prefix('"') {
                loop {
                    let quote = inside.find('"').expect("a quote is closed");
                    field.push_str(&inside[..quote]);
                    inside = &inside[quote + 1..];
                    match inside.strip_prefix('"') {
                        Some(more) => {
                            field.push('"');
                            inside = more;
                        }
                        None => break,
                    }
                }
                rest = inside;
            } else {
                let ends = rest.find([',', '\r', '\n', '"']).expect("a field ends");
                field.push_str(&rest[..ends]);
                rest = &rest[ends..];
            }
            record.push(field);
            if let Some(more) = rest.strip_prefix(',') {
                rest = more;
            } else {
                rest = rest.strip_prefix("\r\n").unwrap_or_else(|| panic!("{rest:?} ends no field"));
                records.push(std::mem::take(&mut record));
            }
        }
        records
    }

    #[test]
    fn lines_read_as_on_paper() {
        let fields = Columns::read("name,container,kind,cpu,memory,memory_limit,restarts,now,net").unwrap().0;
        let mut report = sample::report();
        report.workloads[0].seen.limits.memory = Limit::Unlimited;
        let query = Query { filter: Some(Filter::read("workload!=api").unwrap()), sort: None };
        let written = head(&fields) + &lines(&report, &query, &fields);
        let expected = [
            "at,workload,container,kind,cpu_cores,memory_bytes,memory_limit_bytes,restarts,now_usd_per_hour,net_bytes_per_second",
            "2026-09-14T14:37:00Z,web,,task,0.21,665845760,unlimited,0,0.021323077,9600000",
            "2026-09-14T14:37:00Z,web,app,container,0.2,616562688,,0,,",
            "2026-09-14T14:37:00Z,web,envoy,container,0.01,49283072,,0,,",
            "2026-09-14T14:37:00Z,ecs-agent,ecs-agent,container,0.01,53477376,,0,0.000542012,",
            "2026-09-14T14:37:00Z,system,,system,0.03,429916160,,,0.002599053,",
            "",
        ];
        assert_eq!(written, expected.join("\r\n"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_strict_reader_finds_the_report_again(name in "[a-z,\" =+@\\-\u{1b}\r\n\u{e9}]{0,20}") {
            let mut report = sample::report();
            for row in &mut report.workloads {
                row.seen.about = Arc::new(About { name: name.as_str().into(), ..(*row.seen.about).clone() });
            }
            let all = fields(None);
            let records = parse(&(head(&all) + &lines(&report, &Query::default(), &all)));
            prop_assert_eq!(records.len(), 1 + rows(&report).count());
            for (record, row) in records[1..].iter().zip(rows(&report)) {
                prop_assert_eq!(record.len(), all.len() + 1);
                for (text, field) in record[1..].iter().zip(&all) {
                    let same = match field.of(&row) {
                        Value::Unknown => text.is_empty(),
                        Value::Text(said) => text.chars().eq(said.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c })),
                        Value::Number(figure) => text.parse::<f64>().is_ok_and(|read| (read - figure).abs() < 1e-9),
                    };
                    prop_assert!(same, "{} is {:?}", field.name, text);
                }
            }
        }
    }
}
