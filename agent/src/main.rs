//! `tare`: reads arguments and settings, starts what was asked for, and ends with an exit code that scripts can trust.

use std::env;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use collector::roots::Roots;
use tare::args::{Args, Colour, Command, Exit, Form, View};
use tare::commands::doctor::{self, Facts};
use tare::commands::fields::Of;
use tare::commands::looks::looks;
use tare::commands::table::Look;
use tare::commands::{self, view};
use tare::config::{self, LogFormat, Settings, Wrong};
use tare::metrics;
use tare::report::{Report, WorkloadRow};
use tare::verdict;

/// Doctor asks what can be seen, not how much it is: its two looks need no time between them.
const DOCTOR_LOOKS: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let args = match Args::read(env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            // Help that nobody reads is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    match run(&args) {
        Ok(code) => code,
        // `tare ps | head` closed the pipe: it has what it wanted.
        Err(error) if closed(&error) => Exit::Well.into(),
        Err(error) => match error.downcast_ref::<Wrong>() {
            Some(wrong) => {
                wrong.0.iter().for_each(|line| complain(line));
                Exit::Settings.into()
            }
            None => {
                complain(&chain(&error));
                Exit::Failed.into()
            }
        },
    }
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let task = args.task();
    let loaded = config::load(args.config.as_deref(), env::vars_os(), &args.flags())?;
    let settings = &loaded.settings;
    // A table's reader wants the table; only the agent tells how it goes.
    let quiet = !matches!(task, Command::Run(_)) && args.verbose == 0;
    log(settings, quiet);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // Asked anew for each table: a terminal changes its size.
    let look = || Look::of_stdout(coloured(args.color));
    let mut out = BufWriter::new(io::stdout().lock());
    match task {
        Command::Run(wanted) => {
            drop(out);
            block_on(commands::run::run(settings, wanted.replay.as_deref()))??;
            return Ok(Exit::Well.into());
        }
        Command::Ps(wanted) => {
            let table = |report: &Report| commands::ps::table(report, Timestamp::now(), look(), wanted.all);
            show(&mut out, settings, &wanted, Of::Ps, &look, table)?;
        }
        Command::Cost(cost) if cost.explain.is_some() => {
            let reports = block_on(looks(settings, &cost.view))??;
            let name = cost.explain.as_deref().unwrap_or_default();
            out.write_all(commands::cost::explain(reports.last().context("there is no look")?, name)?.as_bytes())?;
        }
        Command::Cost(cost) => {
            let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
            let table = |report: &Report| {
                let says = |row: &WorkloadRow| Some(verdict::verdict(row, &report.host, Some(today)));
                commands::cost::table(report, Timestamp::now(), look(), cost.view.all, &says)
            };
            show(&mut out, settings, &cost.view, Of::Cost, &look, table)?;
        }
        Command::Doctor(wanted) => {
            let reports = block_on(looks(settings, &View { span: DOCTOR_LOOKS, ..View::default() }))??;
            let report = reports.last().context("nothing could be looked at")?;
            let findings = doctor::findings(report, settings, &Facts::ask(settings, &Roots::live()));
            match wanted.output {
                Form::Table => out.write_all(doctor::table(&findings, wanted.fail_on, look()).as_bytes())?,
                Form::Json => writeln!(out, "{:#}", doctor::json(&findings))?,
            }
            out.flush()?;
            return Ok(if doctor::failed(&findings, wanted.fail_on) { Exit::Failed.into() } else { Exit::Well.into() });
        }
        Command::Healthcheck(wanted) => block_on(commands::healthcheck::check(settings, wanted.url.as_deref()))??,
        Command::Completions(wanted) => commands::shell::completions(&mut out, wanted.shell)?,
        Command::Man(wanted) => commands::shell::man(&mut out, wanted.folder.as_deref())?,
        Command::Config => out.write_all(commands::config::print(&loaded.layers).as_bytes())?,
        Command::Metrics => out.write_all(metrics::manual::manual().as_bytes())?,
        Command::Record(wanted) => out.write_all(block_on(commands::record::record(settings, &wanted))??.as_bytes())?,
    }
    out.flush()?;
    Ok(Exit::Well.into())
}

/// One table, document or list of lines; with `--watch` again and again.
fn show(out: &mut impl Write, settings: &Settings, wanted: &View, of: Of, look: &impl Fn() -> Look, table: impl Fn(&Report) -> String) -> anyhow::Result<()> {
    let draw = |report: &Report, first: bool| {
        let mut drawn = Vec::new();
        view::write(&mut drawn, report, wanted, of, look(), first, &table)?;
        io::Result::Ok(drawn)
    };
    if let Some(every) = wanted.watch {
        return block_on(commands::watch::watch(settings, wanted, every, draw))?;
    }
    let reports = block_on(looks(settings, wanted))??;
    let shown = if view::has_all_looks(wanted.output) { &reports[..] } else { &reports[reports.len().saturating_sub(1)..] };
    for (at, report) in shown.iter().enumerate() {
        out.write_all(&draw(report, at == 0)?)?;
    }
    Ok(())
}

/// Whether colours are wanted, where the output has some: a flag beats NO_COLOR (no-color.org), that beats CLICOLOR_FORCE (bixense.com/clicolors).
fn coloured(flag: Colour) -> Option<bool> {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    match flag {
        Colour::Always => Some(true),
        Colour::Never => Some(false),
        Colour::Auto if env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) => Some(false),
        Colour::Auto => set("CLICOLOR_FORCE").then_some(true),
    }
}

/// Runs to the end on this thread: there is little to do at a time, and handing it from thread to thread would cost more than doing it. Errors: the kernel gives
/// no event queue.
fn block_on<F: Future>(task: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let done = runtime.block_on(task);
    // A look that hangs in a dead file system must not keep the program.
    runtime.shutdown_background();
    Ok(done)
}

/// The log goes to standard error: ours from the level in the settings on, other crates' warnings.
fn log(settings: &Settings, quiet: bool) {
    let level = LevelFilter::from_level(settings.log.level);
    let ours = if quiet { level.min(LevelFilter::WARN) } else { level };
    let filter = Targets::new().with_default(ours.min(LevelFilter::WARN)).with_targets([("tare", ours), ("collector", ours)]);
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colour);
    let registry = tracing_subscriber::registry().with(filter);
    match settings.log.format {
        LogFormat::Text => registry.with(lines).init(),
        LogFormat::Json => registry.with(lines.json()).init(),
    }
}

/// The whole chain in one line. Some errors tell their cause themselves; it is not told twice.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        before if before.ends_with(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

fn complain(line: &str) {
    // Where standard error is closed, too, there is nobody to tell.
    let _ = writeln!(io::stderr(), "tare: {line}");
}

/// Somebody downstream has read enough.
fn closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause
            .downcast_ref::<io::Error>()
            .map(io::Error::kind)
            .or_else(|| cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind));
        kind == Some(io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use collector::error::Error;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let missing = Error::file("/gone", io::ErrorKind::NotFound);
        assert_eq!(chain(&anyhow::Error::new(missing).context("cannot replay /gone")), "cannot replay /gone: /gone: entity not found");
        assert_eq!(chain(&anyhow::anyhow!("one").context("two")), "two: one");
    }
}
