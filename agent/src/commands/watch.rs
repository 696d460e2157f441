//! `--watch`: the same again and again. On a terminal each frame takes the place of the last; a pipe gets one look after the other.
//!
//! Ctrl-C is how a watch ends, so it ends well: exit code 0.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::args::Output;
use crate::config::Settings;
use crate::report::Report;

use super::looks::open;
use super::table::Look;
use super::view::Printer;

/// The other screen, without its cursor; and back.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

/// Looks every `pace` and shows each until Ctrl-C, SIGTERM, or the reader has enough. `look`: the output as it is now; it may change its size.
/// Errors: the output is closed or full; into a pipe, the Tare that was asked has gone. On a terminal that is said below the last frame, and asked again.
pub async fn watch(settings: &Settings, mut printer: Printer<'_>, pace: Duration, look: impl Fn() -> Look) -> Result<()> {
    let (mut interrupted, mut terminated, mut hung_up) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let (mut resized, mut continued) = (signal(SignalKind::window_change())?, signal(SignalKind::from_raw(SIGCONT))?);
    let (mut eyes, mut report) = tokio::select! {
        opened = open(settings, printer.view) => opened?,
        _ = interrupted.recv() => return Ok(()),
    };
    printer.from = eyes.from();
    let mut screen = Screen::new(matches!(printer.view.output, Output::Table | Output::Wide) && look().width.is_some());
    if report.is_none() {
        // The first of two has no rates; the second comes as soon as it says something.
        eyes.look().await?;
    }
    let start = tokio::time::Instant::now();
    let mut ticks = tokio::time::interval_at(if report.is_some() { start } else { start + printer.view.span.min(pace) }, pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut problem = None;
    let mut asked = report.is_some();
    loop {
        let again = tokio::select! {
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            _ = hung_up.recv() => break,
            _ = resized.recv() => false,
            _ = continued.recv() => { screen.enter(); false }
            _ = ticks.tick() => true,
        };
        if again && !std::mem::take(&mut asked) {
            let next = tokio::select! {
                next = eyes.look() => next,
                _ = interrupted.recv() => break,
                _ = terminated.recv() => break,
            };
            match next {
                Ok(next) => (report, problem) = (Some(next), None),
                Err(error) if screen.is_on() => problem = Some(format!("asking again: {error:#}")),
                Err(error) => return Err(error),
            }
        }
        let Some(report) = &report else { continue };
        screen.show(&printer, report, problem.as_deref(), look())?;
    }
    Ok(())
}

/// Linux's number on every machine Tare is built for (signal(7)).
const SIGCONT: i32 = 18;

/// Where frames go.
struct Screen {
    /// A terminal whose frames replace each other; it is left as it was found.
    on: bool,
    shown: Option<Arc<Report>>,
}

impl Screen {
    fn new(on: bool) -> Screen {
        let screen = Screen { on, shown: None };
        screen.enter();
        screen
    }

    fn is_on(&self) -> bool {
        self.on
    }

    fn enter(&self) {
        if self.on {
            put(ENTER);
        }
    }

    /// One frame in one write, so that nobody sees half of it. A pipe gets no report twice.
    fn show(&mut self, printer: &Printer<'_>, report: &Arc<Report>, problem: Option<&str>, look: Look) -> Result<()> {
        let first = self.shown.is_none();
        if !self.on && self.shown.as_ref().is_some_and(|shown| shown.at == report.at) {
            return Ok(());
        }
        let mut frame = Vec::new();
        if !self.on && !first && matches!(printer.view.output, Output::Table | Output::Wide) {
            frame.push(b'\n');
        }
        printer.write(&mut frame, std::slice::from_ref(report), Timestamp::now(), look, first)?;
        if self.on {
            frame = over(&String::from_utf8_lossy(&frame), problem, look, height());
        }
        let mut out = io::stdout().lock();
        out.write_all(&frame)?;
        out.flush()?;
        self.shown = Some(Arc::clone(report));
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.on {
            put(LEAVE);
        }
    }
}

fn put(code: &str) {
    // A terminal that is gone needs no putting right.
    let mut out = io::stdout().lock();
    let _ = out.write_all(code.as_bytes()).and_then(|()| out.flush());
}

fn height() -> usize {
    rustix::termios::tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row).max(2))
}

/// A frame that covers the last one, line by line: nothing is blank in between. What does not fit is counted.
fn over(table: &str, problem: Option<&str>, look: Look, height: usize) -> Vec<u8> {
    let lines: Vec<&str> = table.lines().collect();
    let room = height.saturating_sub(usize::from(problem.is_some()));
    let (kept, more) = if lines.len() > room { (room.saturating_sub(1), lines.len() + 1 - room) } else { (lines.len(), 0) };
    let mut shown: Vec<String> = lines[..kept].iter().map(|line| (*line).to_owned()).collect();
    if more > 0 {
        shown.push(look.paint(&look.line(&format!("{more} more lines; a larger window, --filter or --sort brings them up")), super::table::Tone::Quiet));
    }
    if let Some(problem) = problem {
        shown.push(look.paint(&look.line(&crate::words::clean(problem)), super::table::Tone::Alarm));
    }
    format!("\u{1b}[H{}\u{1b}[K\u{1b}[J", shown.join("\u{1b}[K\n")).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_covers_the_last_and_fits_the_window() {
        let look = Look { width: Some(60), colour: false };
        let frame = |height, problem| String::from_utf8(over("a\nb\nc\nd\n", problem, look, height)).unwrap();
        assert_eq!(frame(4, None), "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\nc\u{1b}[K\nd\u{1b}[K\u{1b}[J");
        for height in 2..6 {
            for problem in [None, Some("gone\u{1b}[2J")] {
                let frame = frame(height, problem);
                assert!(frame.matches("\n").count() < height, "{height}: {frame:?}");
                assert!(!frame.contains("\u{1b}[2J"), "{frame:?}");
            }
        }
        assert!(frame(3, None).contains("2 more lines"));
        assert!(frame(5, Some("gone")).ends_with("gone\u{1b}[K\u{1b}[J"));
    }
}
