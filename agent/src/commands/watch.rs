//! `--watch`: the same table again and again, drawn in place on a terminal, one after the other into a pipe, until Ctrl-C.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;

use super::looks::Watched;
use crate::args::View;
use crate::config::Settings;
use crate::report::Report;

/// Another screen, and no cursor; and back. (ctlseqs of xterm, DECSET 1049 and 25.)
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

/// Draws each look by `draw`, whose second argument says whether it is the first, until SIGINT or SIGTERM. Errors: the Tare that was named does not answer, the
/// output is closed.
pub async fn watch(settings: &Settings, view: &View, every: Duration, draw: impl Fn(&Report, bool) -> io::Result<Vec<u8>>) -> Result<()> {
    let mut watched = Watched::new(settings, view).await?;
    let screen = io::stdout().is_terminal() && !super::view::has_all_looks(view.output);
    let _restored = screen.then(Screen::enter);
    let mut stop = std::pin::pin!(stopped());
    let mut first = true;
    loop {
        let look = async {
            let report = watched.look(settings).await?;
            anyhow::Ok(report)
        };
        let report = tokio::select! {
            report = look => report?,
            () = &mut stop => return Ok(()),
        };
        // What moves is the difference of two looks: the first of our own says too little to be shown.
        if let Some(report) = report {
            let drawn = draw(&report, first)?;
            let out = if screen { framed(&drawn, rows()) } else { drawn };
            io::stdout().write_all(&out)?;
            io::stdout().flush()?;
            first = false;
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = &mut stop => return Ok(()),
        }
    }
}

async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupted), Ok(mut terminated)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
}

/// The other screen, left however the watch ends.
struct Screen;

impl Screen {
    fn enter() -> Screen {
        let _ = io::stdout().write_all(ENTER.as_bytes());
        Screen
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = io::stdout().write_all(LEAVE.as_bytes()).and_then(|()| io::stdout().flush());
    }
}

/// Lines of the terminal now; it may have been resized since the last look.
fn rows() -> usize {
    rustix::termios::tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row).max(2))
}

/// One write that replaces what stands there, line by line, so that nothing flickers; what does not fit below is left out rather than scrolled.
fn framed(text: &[u8], rows: usize) -> Vec<u8> {
    let mut out = b"\x1b[H".to_vec();
    for (at, line) in text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').take(rows).enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\x1b[K");
    }
    out.extend_from_slice(b"\x1b[J");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_replaces_the_one_before_and_never_scrolls() {
        assert_eq!(framed(b"one\ntwo\nthree\n", 2), b"\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J");
        assert_eq!(framed(b"one\n", 24), b"\x1b[Hone\x1b[K\x1b[J");
    }
}
