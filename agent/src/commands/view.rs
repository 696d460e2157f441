//! Reports on standard output: a table, one JSON document, or one line of JSON a look.

use std::io::{self, Write};
use std::sync::Arc;

use crate::args::Output;
use crate::report::Report;

/// Writes what was asked for. A table and a document show the last look; no look at all writes nothing.
/// Errors: the output is closed or full.
pub fn write(to: &mut impl Write, looks: &[Arc<Report>], output: Output, table: impl Fn(&Report) -> String) -> io::Result<()> {
    match output {
        Output::Table => looks.last().map_or(Ok(()), |report| to.write_all(table(report).as_bytes()))?,
        Output::Json => {
            if let Some(report) = looks.last() {
                serde_json::to_writer_pretty(&mut *to, &**report)?;
                to.write_all(b"\n")?;
            }
        }
        Output::Ndjson => {
            for report in looks {
                serde_json::to_writer(&mut *to, &**report)?;
                to.write_all(b"\n")?;
            }
        }
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_document_is_the_last_look_and_lines_are_every_look() {
        let looks = [sample::report(), Report { cluster: Some("later".into()), ..sample::report() }].map(Arc::new);
        let written = |output| {
            let mut out = Vec::new();
            write(&mut out, &looks, output, |report| format!("table of {:?}\n", report.cluster)).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(Output::Table), "table of Some(\"later\")\n");
        assert_eq!(serde_json::from_str::<Report>(&written(Output::Json)).unwrap(), *looks[1]);
        let lines: Vec<Arc<Report>> = written(Output::Ndjson).lines().map(|line| Arc::new(serde_json::from_str(line).unwrap())).collect();
        assert_eq!(lines, looks);
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
        for output in [Output::Table, Output::Json, Output::Ndjson] {
            let error = write(&mut Closed, &[Arc::new(sample::report())], output, |_| "x".into()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
