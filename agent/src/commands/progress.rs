//! What takes longer than a second says on the terminal what it waits for and how long still. Nothing of it is left when it is done.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// What is done sooner needs no word.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two drawings.
const REDRAW: Duration = Duration::from_millis(250);
const BAR: usize = 24;

/// Waits for a task that takes about `total`, and shows it on standard error where that is a terminal.
pub async fn waiting<T>(what: &str, total: Duration, task: impl Future<Output = T>) -> T {
    if io::stderr().is_terminal() { shown(what, total, task, |text| drop(io::stderr().write_all(text.as_bytes()))).await } else { task.await }
}

async fn shown<T>(what: &str, total: Duration, task: impl Future<Output = T>, mut write: impl FnMut(&str)) -> T {
    let start = Instant::now();
    let mut task = std::pin::pin!(task);
    // What should end within the patience gets a little more of it: a bar that is gone at once only flickers.
    let first = if total > PATIENCE { PATIENCE } else { PATIENCE + PATIENCE / 2 };
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + first, REDRAW);
    let mut drawn = false;
    let done = loop {
        tokio::select! {
            done = &mut task => break done,
            _ = ticks.tick() => {
                write(&format!("\r{}\u{1b}[K", line(what, start.elapsed(), total)));
                drawn = true;
            }
        }
    };
    if drawn {
        write("\r\u{1b}[K");
    }
    done
}

/// `looking at this host [=======>        ] 3 s left`
fn line(what: &str, passed: Duration, total: Duration) -> String {
    let share = if total.is_zero() { 1.0 } else { (passed.as_secs_f64() / total.as_secs_f64()).min(1.0) };
    let full = (share * BAR as f64) as usize;
    let bar: String = (0..BAR)
        .map(|at| {
            if at < full {
                '='
            } else if at == full {
                '>'
            } else {
                ' '
            }
        })
        .collect();
    let left = match total.saturating_sub(passed).as_secs_f64().ceil() as u64 {
        0 => "any moment now".into(),
        seconds @ 1..=90 => format!("{seconds} s left"),
        seconds => format!("{} min left", seconds.div_ceil(60)),
    };
    format!("{what} [{bar}] {left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_long_still() {
        let second = Duration::from_secs;
        assert_eq!(line("looking", second(2), second(8)), "looking [======>                 ] 6 s left");
        assert_eq!(line("looking", second(9), second(8)), "looking [========================] any moment now");
        assert_eq!(line("looking", second(0), second(600)), "looking [>                       ] 10 min left");
        assert_eq!(line("looking", second(0), second(0)), "looking [========================] any moment now");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_quick_draws_nothing_and_what_is_slow_leaves_nothing() {
        let mut written = String::new();
        let nap = |span| tokio::time::sleep(span);
        shown("x", PATIENCE, nap(PATIENCE / 2), |text| written.push_str(text)).await;
        shown("x", PATIENCE, nap(PATIENCE + PATIENCE / 10), |text| written.push_str(text)).await;
        assert_eq!(written, "");
        shown("x", PATIENCE, nap(PATIENCE * 2), |text| written.push_str(text)).await;
        assert!(written.starts_with("\rx [") && written.ends_with("\r\u{1b}[K"), "{written:?}");
        assert!(written.matches('[').count() > 4, "{written:?}");
    }
}
