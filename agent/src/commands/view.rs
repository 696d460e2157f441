//! Reports on standard output, in the form that is asked for: tables for people, documents and lines for programs.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{By, Output, View};
use crate::report::{Report, WorkloadRow};
use crate::verdict;

use super::shown::Shown;
use super::table::Look;
use super::{cost, csv, ps};

/// What is shown of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `tare ps`
    Use,
    /// `tare cost`
    Cost(By),
}

/// One command's way of showing reports.
pub struct Printer<'a> {
    /// What was asked for.
    pub view: &'a View,
    /// Of what.
    pub what: What,
    /// Who made the reports, where it was another program.
    pub from: Option<String>,
}

impl Printer<'_> {
    /// Writes what was asked for. Tables and documents show the last look; no look at all writes nothing. `first`: nothing was written before.
    /// Errors: the output is closed or full.
    pub fn write(&self, to: &mut impl Write, looks: &[Arc<Report>], now: Timestamp, look: Look, first: bool) -> Result<()> {
        let view = self.view;
        let shown = Shown {
            all: view.all,
            from: self.from.as_deref(),
            query: view.query(),
            columns: view.columns.as_ref(),
            wide: view.output == Output::Wide,
            headers: !view.no_headers,
            ..Shown::new(now, look)
        };
        let Some(last) = looks.last() else { return Ok(()) };
        match view.output {
            Output::Table | Output::Wide => to.write_all(self.table(last, &shown).as_bytes())?,
            Output::Json => {
                serde_json::to_writer_pretty(&mut *to, &self.document(last, &shown))?;
                to.write_all(b"\n")?;
            }
            Output::Ndjson => {
                for report in looks {
                    serde_json::to_writer(&mut *to, &self.document(report, &shown))?;
                    to.write_all(b"\n")?;
                }
            }
            Output::Yaml => {
                // Through JSON, whose words for what is not known and not limited it shares.
                let value = serde_json::to_value(self.document(last, &shown))?;
                if !first {
                    to.write_all(b"---\n")?;
                }
                // A block would hold what moves a cursor as it is.
                let quoted = serde_saphyr::ser_options! { prefer_block_scalars: false };
                to.write_all(serde_saphyr::to_string_with_options(&value, quoted).context("the report cannot be written as YAML")?.as_bytes())?;
            }
            Output::Csv => {
                let fields = csv::fields(view.columns.as_ref());
                let grouped = self.by();
                if first && shown.headers {
                    to.write_all(if grouped.is_some() { cost::by::csv_head() } else { csv::head(&fields) }.as_bytes())?;
                }
                let lines = match grouped {
                    Some(by) => cost::by::csv_lines(&cost::by::groups(last, by, &shown)),
                    None => csv::lines(last, &shown.query, &fields),
                };
                to.write_all(lines.as_bytes())?;
            }
        }
        Ok(to.flush()?)
    }

    fn table(&self, report: &Report, shown: &Shown<'_>) -> String {
        match (self.what, self.by()) {
            (What::Use, _) => ps::table(report, shown),
            (What::Cost(_), Some(by)) => cost::by::table(report, &cost::by::groups(report, by, shown), shown),
            (What::Cost(_), None) => {
                let today = shown.now.to_zoned(jiff::tz::TimeZone::UTC).date();
                let says = |row: &WorkloadRow| Some(verdict::verdict(row, &report.host, Some(today)));
                cost::table(report, shown, &says)
            }
        }
    }

    fn by(&self) -> Option<By> {
        match self.what {
            What::Cost(by) if by != By::Workload => Some(by),
            _ => None,
        }
    }

    /// What stands in a document: the rows that are wanted, or their groups.
    fn document<'r>(&self, report: &'r Report, shown: &Shown<'_>) -> Document<'r> {
        match self.by() {
            Some(by) => Document::Groups(cost::by::groups(report, by, shown)),
            None => Document::Report(Box::new(shown.query.of(report))),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Document<'a> {
    Report(Box<Cow<'a, Report>>),
    Groups(cost::by::Groups),
}

#[cfg(test)]
mod tests {
    use std::io;

    use collector::units::Limit;
    use proptest::prelude::*;

    use super::*;
    use crate::query::{Filter, Sort};
    use crate::sample;

    fn written(view: &View, looks: &[Arc<Report>]) -> String {
        let mut out = Vec::new();
        let printer = Printer { view, what: What::Use, from: None };
        printer.write(&mut out, looks, sample::now(), Look::PLAIN, true).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn looks() -> [Arc<Report>; 2] {
        [sample::report(), Report { cluster: Some("later".into()), ..sample::report() }].map(Arc::new)
    }

    #[test]
    fn a_document_is_the_last_look_and_lines_are_every_look() {
        let looks = looks();
        let of = |output| written(&View { output, ..View::default() }, &looks);
        assert!(of(Output::Table).starts_with("later · ") && of(Output::Wide).contains("MEM LIMIT"));
        assert_eq!(serde_json::from_str::<Report>(&of(Output::Json)).unwrap(), *looks[1]);
        let lines: Vec<Arc<Report>> = of(Output::Ndjson).lines().map(|line| Arc::new(serde_json::from_str(line).unwrap())).collect();
        assert_eq!(lines, looks);
        assert_eq!(of(Output::Csv).lines().count(), 1 + 6);
    }

    #[test]
    fn rows_are_chosen_and_ordered_in_every_form() {
        let view = |output| View { output, filter: Some(Filter::read("kind=task").unwrap()), sort: Some(Sort::read("name:desc").unwrap()), ..View::default() };
        for output in [Output::Table, Output::Wide, Output::Json, Output::Ndjson, Output::Yaml, Output::Csv] {
            let text = written(&view(output), &looks()[..1]);
            let (web, api) = (text.find("web"), text.rfind("api"));
            assert!(web.is_some() && web < api && !text.contains("ecs-agent"), "{output:?}: {text}");
        }
        let report: Report = serde_json::from_str(&written(&view(Output::Json), &looks())).unwrap();
        assert_eq!(*report.schema, *crate::report::SCHEMA);
    }

    #[test]
    fn without_heads_there_are_rows_alone() {
        let of = |output| written(&View { output, no_headers: true, ..View::default() }, &looks()[..1]);
        assert_eq!(of(Output::Table).lines().count(), 6);
        assert!(of(Output::Table).starts_with("api "));
        assert_eq!(of(Output::Csv).lines().count(), 6);
    }

    #[test]
    fn yaml_escapes_a_tab_behind_a_line_end() {
        let mut report = sample::report();
        report.cluster = Some("\n\t".into());
        let text = written(&View { output: Output::Yaml, ..View::default() }, &[Arc::new(report)]);
        assert!(text.contains(r#"cluster: "\n\t""#) && !text.contains('\t'), "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn yaml_says_what_json_says(name in "(\\PC|[\\x00-\\x1f:#'\"&*!|>%@`-]|yes|null|~|0x1f|1e3|\u{85}|\u{2028}){0,12}") {
            let mut report = sample::report();
            report.cluster = Some(name.as_str().into());
            report.workloads[0].seen.limits.memory = Limit::Unlimited;
            let text = written(&View { output: Output::Yaml, ..View::default() }, &[Arc::new(report.clone())]);
            let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            prop_assert_eq!(read, serde_json::to_value(&report).unwrap(), "{}", text);
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "what moves a cursor is escaped");
        }
    }

    #[test]
    fn a_closed_pipe_is_told_as_one() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for output in [Output::Table, Output::Json, Output::Ndjson, Output::Yaml, Output::Csv] {
            let view = View { output, ..View::default() };
            let printer = Printer { view: &view, what: What::Use, from: None };
            let error = printer.write(&mut Closed, &looks(), sample::now(), Look::PLAIN, true).unwrap_err();
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind).or_else(|| error.downcast_ref::<serde_json::Error>()?.io_error_kind());
            assert_eq!(kind, Some(io::ErrorKind::BrokenPipe));
        }
    }
}
