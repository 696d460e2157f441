//! Reports on standard output: a table, one document, or lines a look.

use std::io::{self, Write};

use crate::args::{Output, View};
use crate::report::Report;

use super::fields::{self, Of};
use super::table::Look;

/// Writes one look in the form that was asked for; `first` has the heads. `plain` draws the table of a view without filter, order or columns.
/// Errors: the output is closed or full.
pub fn write(to: &mut impl Write, report: &Report, view: &View, of: Of, look: Look, first: bool, plain: impl Fn(&Report) -> String) -> io::Result<()> {
    let query = view.query();
    let found = query.of(report);
    let heads = first && !view.no_headers;
    match view.output {
        Output::Table if view.is_plain() => to.write_all(plain(&found).as_bytes())?,
        Output::Table | Output::Wide => {
            let wide = view.output == Output::Wide;
            to.write_all(fields::table(&found, of, &query, view.columns.as_ref(), wide, !view.no_headers, look).as_bytes())?;
        }
        Output::Json => {
            serde_json::to_writer_pretty(&mut *to, &*found)?;
            to.write_all(b"\n")?;
        }
        Output::Ndjson => {
            serde_json::to_writer(&mut *to, &*found)?;
            to.write_all(b"\n")?;
        }
        Output::Yaml => {
            let text = serde_saphyr::to_string(&*found).map_err(io::Error::other)?;
            to.write_all(b"---\n")?;
            to.write_all(text.as_bytes())?;
        }
        Output::Csv => fields::csv(to, &found, &query, view.columns.as_ref(), heads)?,
    }
    to.flush()
}

/// Whether a form has all looks in it, or the last one only.
pub fn has_all_looks(output: Output) -> bool {
    matches!(output, Output::Ndjson | Output::Csv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn written(view: &View) -> String {
        let mut out = Vec::new();
        write(&mut out, &sample::report(), view, Of::Ps, Look::PLAIN, true, |report| format!("table of {}\n", report.workloads.len())).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_form_is_the_same_report() {
        let of = |output| View { output, ..View::default() };
        assert_eq!(written(&of(Output::Table)), "table of 4\n");
        for output in [Output::Json, Output::Ndjson] {
            assert_eq!(serde_json::from_str::<Report>(&written(&of(output))).unwrap(), sample::report());
        }
        let yaml: serde_json::Value = serde_saphyr::from_str(&written(&of(Output::Yaml))).unwrap();
        assert_eq!(yaml, serde_json::to_value(sample::report()).unwrap());
        assert!(written(&of(Output::Csv)).starts_with("at,workload,container,"));
        assert!(written(&of(Output::Wide)).starts_with("WORKLOAD"));
    }

    #[test]
    fn a_filter_counts_in_every_form() {
        let filter = crate::query::Filter::read("workload=web").ok();
        for output in [Output::Json, Output::Ndjson] {
            let report: Report = serde_json::from_str(&written(&View { output, filter: filter.clone(), ..View::default() })).unwrap();
            assert_eq!(report.workloads.len(), 1);
        }
        for output in [Output::Table, Output::Wide, Output::Csv, Output::Yaml] {
            let said = written(&View { output, filter: filter.clone(), ..View::default() });
            assert!(said.contains("web") && !said.contains("ecs-agent"), "{said}");
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
        for output in [Output::Table, Output::Wide, Output::Json, Output::Ndjson, Output::Yaml, Output::Csv] {
            let view = View { output, ..View::default() };
            let error = write(&mut Closed, &sample::report(), &view, Of::Ps, Look::PLAIN, true, |_| "x".into()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
