//! What is pushed: packs each report and hands it to who sends it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;

use crate::config::{Settings, Wrong};
use crate::metrics::agent::{Agent, SinkFigures};
use crate::metrics::frame::Frame;
use crate::metrics::pack::Packer;
use crate::report::Report;
use crate::sinks::remote_write::queue::{Queue, Recent};
use crate::sinks::remote_write::send::{Pace, Sender};
use crate::sinks::remote_write::{self, Auth, SINK, Sign};

/// Frames that wait while the far end is away: of 1,000 containers each takes about a megabyte.
const FRAMES: usize = 60;
/// How long the end of the program waits for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(3);

/// The sink that pushes, and what it is given.
pub(super) struct Push {
    frame: Frame,
    packer: Packer,
    queue: Arc<Recent>,
    sink: Sink,
    task: JoinHandle<()>,
}

/// What it takes to start the sink, and to start it again.
struct Sink {
    settings: remote_write::Settings,
    signer: Option<Arc<dyn Sign>>,
    figures: SinkFigures,
}

impl Sink {
    fn start(&self, queue: &Arc<Recent>) -> Result<JoinHandle<()>, String> {
        let sender = Sender::new(self.settings.clone(), self.signer.clone(), self.figures.clone(), Pace::default())?;
        let queue = Arc::clone(queue);
        Ok(tokio::spawn(async move { match sender.run(&*queue).await {} }))
    }
}

impl Push {
    /// Starts what the settings ask for. Errors: a file they name is wrong.
    pub(super) fn start(settings: &Settings, agent: &Agent) -> Result<Option<Push>> {
        let Some(wanted) = &settings.remote_write else { return Ok(None) };
        let signer = match &wanted.auth {
            Auth::Signed { region } => signer(region),
            Auth::None | Auth::Basic { .. } | Auth::Bearer(_) => None,
        };
        let sink = Sink { settings: wanted.clone(), signer, figures: agent.sink(SINK) };
        let queue = Arc::new(Recent::new(FRAMES));
        let task = sink.start(&queue).map_err(|problem| Wrong(vec![problem]))?;
        Ok(Some(Push { frame: Frame::of(&settings.metrics), packer: Packer::default(), queue, sink, task }))
    }

    /// A report to be sent. One without a date cannot be.
    pub(super) fn give(&mut self, report: &Report) {
        if self.task.is_finished() {
            tracing::error!("{SINK} broke and is started again; the look that it was at is left out");
            self.queue.done(SINK);
            match self.sink.start(&self.queue) {
                Ok(task) => self.task = task,
                Err(problem) => tracing::error!("{problem}"),
            }
        }
        if let Some(at) = report.at.wall {
            self.frame.fill(report);
            self.queue.push(self.packer.pack(&self.frame, at));
        }
    }

    /// Waits a while for what is still to be sent, then ends.
    pub(super) async fn finish(self) {
        if tokio::time::timeout(FLUSH, self.queue.drained()).await.is_err() {
            tracing::warn!("{SINK}: {} looks were not sent", self.queue.waiting());
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
