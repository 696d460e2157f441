//! `tare`: reads arguments and settings, starts what was asked for, and ends with an exit code that scripts can trust.

use std::env;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use collector::roots::Roots;
use tare::args::{Args, Command, Config, Exit, Form, Generate, Generated, Man, View};
use tare::commands;
use tare::commands::doctor::{self, Facts};
use tare::commands::looks::{Looks, looks};
use tare::commands::manual;
use tare::commands::table::Look;
use tare::commands::view::{Printer, What};
use tare::commands::watch::watch;
use tare::config::{self, LogFormat, Settings, Wrong};
use tare::metrics;

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
    // What needs no settings is not stopped by wrong ones.
    match &task {
        Command::Config(Config { check: Some(Some(file)), .. }) => return say(commands::config::check(file)?.as_bytes()),
        Command::Completions(wanted) => return say(&manual::completions(wanted.shell)),
        Command::Man(Man { folder: Some(folder) }) => return say(manual::pages(folder)?.as_bytes()),
        Command::Man(Man { folder: None }) => return say(&manual::page()?),
        _ => {}
    }
    let loaded = config::load(args.config.as_deref(), env::vars_os(), &args.flags())?;
    let settings = &loaded.settings;
    // A table's reader wants the table; only the agent tells how it goes.
    let quiet = !matches!(task, Command::Run(_)) && args.verbose == 0;
    log(settings, quiet);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let look = || Look::of_stdout(args.color, |name| env::var_os(name));
    let mut out = BufWriter::new(io::stdout().lock());
    match task {
        Command::Run(wanted) => {
            drop(out);
            block_on(commands::run::run(settings, wanted.replay.as_deref()))??;
            return Ok(Exit::Well.into());
        }
        Command::Ps(view) => {
            drop(out);
            return show(settings, &view, What::Use, look);
        }
        Command::Cost(cost) => match &cost.explain {
            Some(name) => {
                let looks = block_on(looks(settings, &cost.view))??;
                out.write_all(commands::cost::explain(looks.reports.last().context("there is no look")?, name)?.as_bytes())?;
            }
            None => {
                drop(out);
                return show(settings, &cost.view, What::Cost(cost.by), look);
            }
        },
        Command::Doctor(wanted) => {
            let Looks { reports, from } = block_on(looks(settings, &View { span: DOCTOR_LOOKS, ..View::default() }))??;
            let report = reports.last().context("nothing could be looked at")?;
            let findings = doctor::findings(report, settings, &Facts::ask(settings, &Roots::live()));
            match wanted.output {
                Form::Table => {
                    out.write_all(doctor::table(&findings, wanted.fail_on, look()).as_bytes())?;
                    if let Some(from) = from {
                        writeln!(out, "seen by {from}, by the settings it was started with")?;
                    }
                }
                Form::Json => writeln!(out, "{:#}", doctor::json(&findings))?,
            }
            out.flush()?;
            return Ok(if doctor::failed(&findings, wanted.fail_on) { Exit::Failed } else { Exit::Well }.into());
        }
        Command::Healthcheck(wanted) => block_on(commands::healthcheck::check(settings, wanted.url.as_deref()))??,
        Command::Config(wanted) => {
            let text = match &wanted.check {
                Some(_) => commands::config::in_force(&loaded.layers),
                None if wanted.diff => commands::config::diff(&loaded.layers),
                None => commands::config::print(&loaded.layers),
            };
            out.write_all(text.as_bytes())?;
        }
        Command::Generate(Generate { what: Generated::Iam }) => out.write_all(commands::generate::iam(settings)?.as_bytes())?,
        Command::Metrics => out.write_all(metrics::manual::manual().as_bytes())?,
        Command::Completions(_) | Command::Man(_) => {}
        Command::Record(wanted) => out.write_all(block_on(commands::record::record(settings, &wanted))??.as_bytes())?,
    }
    out.flush()?;
    Ok(Exit::Well.into())
}

fn say(text: &[u8]) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(Exit::Well.into())
}

/// A table, a document or lines of what runs here; once, or until it is enough.
fn show(settings: &Settings, view: &View, what: What, look: impl Fn() -> Look) -> anyhow::Result<ExitCode> {
    match view.watch {
        Some(pace) => block_on(watch(settings, Printer { view, what, from: None }, pace, look))??,
        None => {
            let Looks { reports, from } = block_on(looks(settings, view))??;
            let mut out = BufWriter::new(io::stdout().lock());
            Printer { view, what, from }.write(&mut out, &reports, Timestamp::now(), look(), true)?;
        }
    }
    Ok(Exit::Well.into())
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
