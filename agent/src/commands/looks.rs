//! The reports a table is made of: those of a running Tare, of a recorded host, or two looks of our own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::near::Near;
use super::progress;
use crate::args::View;
use crate::config::Settings;
use crate::pipeline::{self, Engine, ONCE};
use crate::report::{Report, SCHEMA};

/// A report is asked for with this patience where the user named the Tare, and with little where one only might be running.
const ASKED: Duration = Duration::from_secs(5);
const TRIED: Duration = Duration::from_millis(300);
/// Bytes of one report: 10,000 containers are about 30 MB.
const LARGEST: usize = 256 << 20;

/// Reports, and who made them where it was another program.
pub struct Looks {
    /// Oldest first; at least one.
    pub reports: Vec<Arc<Report>>,
    /// `the Tare that runs here`
    pub from: Option<String>,
}

/// The looks. Errors: the recorded host cannot be read; the Tare that was named does not answer.
pub async fn looks(settings: &Settings, view: &View) -> Result<Looks> {
    if let Some(dir) = &view.replay {
        return Ok(Looks { reports: pipeline::replay(settings, dir).await?, from: None });
    }
    let (mut eyes, report) = open(settings, view).await?;
    let reports = match report {
        Some(report) => vec![report],
        None => {
            let first = eyes.look().await?;
            let pause = tokio::time::sleep(view.span);
            progress::waiting("looking at this host", view.span, pause).await;
            vec![first, eyes.look().await?]
        }
    };
    Ok(Looks { reports, from: eyes.from() })
}

/// What looks again and again: a Tare that runs, or this program itself.
pub enum Eyes {
    /// Another program, and what it is called.
    Tare(Near, String),
    /// This one.
    Own(Box<Engine>),
}

impl Eyes {
    /// The next report. Errors: the Tare that runs does not answer.
    pub async fn look(&mut self) -> Result<Arc<Report>> {
        match self {
            Eyes::Tare(near, name) => {
                let answer = progress::waiting(&format!("waiting for {name}"), ASKED, report(near, ASKED)).await;
                Ok(Arc::new(answer.with_context(|| format!("no report from {name}"))?))
            }
            Eyes::Own(engine) => Ok(engine.look(Instant::now() + ONCE).await),
        }
    }

    /// Who makes the reports, where it is another program.
    pub fn from(&self) -> Option<String> {
        match self {
            Eyes::Tare(_, name) => Some(name.clone()),
            Eyes::Own(_) => None,
        }
    }
}

/// The eyes that a view speaks of, and a report where one came with the finding. Errors: the Tare that was named does not answer.
pub async fn open(settings: &Settings, view: &View) -> Result<(Eyes, Option<Arc<Report>>)> {
    if let Some(url) = &view.url {
        let near = Near::at(url).with_context(|| format!("no report from the Tare at {url}"))?;
        let mut eyes = Eyes::Tare(near, format!("the Tare at {url}"));
        let report = eyes.look().await?;
        return Ok((eyes, Some(report)));
    }
    if let Ok(near) = Near::here(settings)
        && let Ok(report) = report(&near, TRIED).await
    {
        tracing::debug!("the report is made by the Tare on {}, by the settings it was started with", settings.listen);
        return Ok((Eyes::Tare(near, "the Tare that runs here".into()), Some(Arc::new(report))));
    }
    Ok((Eyes::Own(Box::new(Engine::new(&pipeline::live(settings), settings))), None))
}

async fn report(near: &Near, patience: Duration) -> Result<Report> {
    let body = near.ask("/report.json", Instant::now() + patience, LARGEST).await?;
    let report: Report = serde_json::from_slice(&body).map_err(|problem| anyhow!("its answer is no report: {problem}"))?;
    if *report.schema != *SCHEMA {
        bail!("its report is of the schema {:?}, this program reads {SCHEMA:?}", report.schema);
    }
    Ok(report)
}
