//! The reports a table is made of: those of a running Tare, of a recorded host, or two looks of our own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::near::Near;
use super::progress::waiting;
use crate::args::View;
use crate::config::Settings;
use crate::pipeline::{self, Engine};
use crate::report::{Report, SCHEMA};

/// A report is asked for with this patience where the user named the Tare, and with little where one only might be running.
const ASKED: Duration = Duration::from_secs(5);
const TRIED: Duration = Duration::from_millis(300);
/// The time that one look of our own gets.
const LOOK: Duration = Duration::from_secs(10);
/// Bytes of one report: 10,000 containers are about 30 MB.
const LARGEST: usize = 256 << 20;

/// The looks, oldest first; at least one. Errors: the recorded host cannot be read; the Tare that was named does not answer.
pub async fn looks(settings: &Settings, view: &View) -> Result<Vec<Arc<Report>>> {
    if let Some(dir) = &view.replay {
        return pipeline::replay(settings, dir).await;
    }
    if let Some(url) = &view.url {
        let report = async { report(&Near::at(url)?, ASKED).await };
        return Ok(vec![Arc::new(report.await.with_context(|| format!("no report from the Tare at {url}"))?)]);
    }
    if let Ok(near) = Near::here(settings)
        && let Ok(report) = report(&near, TRIED).await
    {
        return Ok(vec![Arc::new(report)]);
    }
    Ok(waiting("looking at this host", view.span, pipeline::twice(settings, view.span)).await)
}

/// Where the looks of a watch come from.
pub struct Watched {
    near: Option<(Near, String)>,
    engine: Option<Engine>,
    looked: bool,
}

impl Watched {
    /// A Tare that answers, the named one or the one that runs here; else looks of our own. Errors: the named one does not answer.
    pub async fn new(settings: &Settings, view: &View) -> Result<Watched> {
        let near = match &view.url {
            Some(url) => Some((Near::at(url)?, url.clone())),
            None => match Near::here(settings) {
                Ok(near) if report(&near, TRIED).await.is_ok() => Some((near, "this address".into())),
                _ => None,
            },
        };
        let engine = near.is_none().then(|| Engine::new(&pipeline::live(settings), settings));
        Ok(Watched { near, engine, looked: false })
    }

    /// One look; `None`: the first of our own, which has no rates yet. Errors: the Tare that was asked is gone.
    pub async fn look(&mut self, settings: &Settings) -> Result<Option<Arc<Report>>> {
        if let Some((near, name)) = &self.near {
            return Ok(Some(Arc::new(report(near, ASKED).await.with_context(|| format!("no report from the Tare at {name}"))?)));
        }
        let engine = self.engine.get_or_insert_with(|| Engine::new(&pipeline::live(settings), settings));
        let report = engine.look(Instant::now() + LOOK).await;
        Ok(std::mem::replace(&mut self.looked, true).then_some(report))
    }
}

async fn report(near: &Near, patience: Duration) -> Result<Report> {
    let body = near.ask("/report.json", Instant::now() + patience, LARGEST).await?;
    let report: Report = serde_json::from_slice(&body).map_err(|problem| anyhow!("its answer is no report: {problem}"))?;
    if *report.schema != *SCHEMA {
        bail!("its report is of the schema {:?}, this program reads {SCHEMA:?}", report.schema);
    }
    Ok(report)
}
