//! What is pushed: packs reports, as often as the sink wants one, and lays them in the backlog, from which the sink sends them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::config::{Settings, Wrong};
use crate::metrics::agent::{Agent, SinkFigures};
use crate::metrics::frame::Frame;
use crate::metrics::packed::Packed;
use crate::metrics::packed::pack::Packer;
use crate::report::Report;
use crate::sinks::backlog::{Backlog, Place};
use crate::sinks::remote_write::send::{Pace, Sender};
use crate::sinks::remote_write::{self, Auth, SINK, Sign};

/// How long the end of the program waits for what is still to be sent; the rest waits on disk, where there is one.
const FLUSH: Duration = Duration::from_secs(3);
/// And how often it looks.
const GLANCE: Duration = Duration::from_millis(20);

/// The sink that pushes, and what it is given.
pub(super) struct Push {
    frame: Frame,
    packer: Packer,
    turn: Turn,
    backlog: Arc<Backlog>,
    sink: Sink,
    task: JoinHandle<()>,
}

/// Which looks are pushed, and what the others leave to them.
struct Turn {
    every: Duration,
    last: Option<Timestamp>,
    /// The newest look since then.
    pending: Option<Packed>,
}

/// What it takes to start the sink, and to start it again.
struct Sink {
    settings: remote_write::Settings,
    signer: Option<Arc<dyn Sign>>,
    figures: SinkFigures,
}

impl Sink {
    fn start(&self, backlog: &Arc<Backlog>) -> Result<JoinHandle<()>, String> {
        let sender = Sender::new(self.settings.clone(), self.signer.clone(), self.figures.clone(), Pace::default())?;
        let backlog = Arc::clone(backlog);
        Ok(tokio::spawn(async move { match sender.run(&backlog).await {} }))
    }
}

impl Turn {
    fn new(every: Duration) -> Turn {
        Turn { every, last: None, pending: None }
    }

    /// A look comes; what comes back is to be pushed. A clock that was set back makes none wait.
    fn take(&mut self, mut frame: Packed) -> Option<Packed> {
        if let Some(earlier) = self.pending.take() {
            frame.keep_peaks(&earlier);
        }
        let since = self.last.map(|last| Duration::try_from(frame.at.duration_since(last)).unwrap_or(Duration::MAX));
        if since.is_some_and(|since| since < self.every.mul_f64(0.9)) {
            self.pending = Some(frame);
            return None;
        }
        self.last = Some(frame.at);
        Some(frame)
    }
}

impl Push {
    /// Starts what the settings ask for. Errors: a file they name is wrong; no thread can be started.
    pub(super) fn start(settings: &Settings, agent: &Agent) -> Result<Option<Push>> {
        let Some(wanted) = &settings.remote_write else { return Ok(None) };
        let signer = match &wanted.auth {
            Auth::Signed { region } => signer(region),
            Auth::None | Auth::Basic { .. } | Auth::Bearer(_) => None,
        };
        let sink = Sink { settings: wanted.clone(), signer, figures: agent.sink(SINK) };
        let backlog = Backlog::open(&settings.backlog, &[SINK], agent.backlog.clone()).context("the backlog cannot be started")?;
        let backlog = Arc::new(backlog);
        let task = sink.start(&backlog).map_err(|problem| Wrong(vec![problem]))?;
        let turn = Turn::new(wanted.every);
        Ok(Some(Push { frame: Frame::of(&settings.metrics), packer: Packer::default(), turn, backlog, sink, task }))
    }

    /// A report to be sent. One without a date cannot be.
    pub(super) fn give(&mut self, report: &Report) {
        if self.task.is_finished() {
            tracing::error!("{SINK} broke and is started again; the look that it was at is left out");
            self.backlog.done(SINK);
            match self.sink.start(&self.backlog) {
                Ok(task) => self.task = task,
                Err(problem) => tracing::error!("{problem}"),
            }
        }
        if let Some(at) = report.at.wall {
            self.frame.fill(report);
            if let Some(frame) = self.turn.take(self.packer.pack(&self.frame, at)) {
                self.backlog.push(frame);
            }
        }
    }

    /// Gives the last look, waits a while for what is still to be sent, lays up the rest and ends.
    pub(super) async fn finish(mut self) {
        if let Some(last) = self.turn.pending.take() {
            self.backlog.push(last);
        }
        let drained = async {
            while self.backlog.behind(SINK).frames > 0 {
                tokio::time::sleep(GLANCE).await;
            }
        };
        if tokio::time::timeout(FLUSH, drained).await.is_err() {
            let fate = match self.backlog.place() {
                place @ Place::Disk(_) => format!("they wait {place}"),
                Place::Memory | Place::Refused(_) => "they are lost".into(),
            };
            tracing::warn!("{SINK}: {} looks were not sent; {fate}", self.backlog.behind(SINK).frames);
        }
        let backlog = Arc::clone(&self.backlog);
        if let Err(problem) = tokio::task::spawn_blocking(move || backlog.close()).await {
            tracing::error!("{problem}");
        }
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(feature = "aws")]
fn signer(region: &str) -> Option<Arc<dyn Sign>> {
    use crate::aws::sign::{PROMETHEUS, Signer};
    Some(Arc::new(Signer::new(region.to_owned(), PROMETHEUS)))
}

#[cfg(not(feature = "aws"))]
fn signer(_region: &str) -> Option<Arc<dyn Sign>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_pushed_as_often_as_is_wanted_give_or_take_a_tenth() {
        let mut turn = Turn::new(Duration::from_secs(30));
        let frame = |at| Packed { at: Timestamp::from_second(at).unwrap(), rows: Vec::new(), families: Vec::new() };
        let pushed = |turn: &mut Turn, at| turn.take(frame(at)).is_some();
        let at: Vec<i64> = [100, 110, 120, 128, 140, 90, 100, 117].into_iter().filter(|at| pushed(&mut turn, *at)).collect();
        assert_eq!(at, [100, 128, 90, 117]);
        assert_eq!(turn.pending, None);
        assert!(!pushed(&mut turn, 130) && turn.pending.is_some(), "the newest one waits for its turn, or for the end");
    }
}
