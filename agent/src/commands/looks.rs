//! The reports a table is made of: those of a running Tare, of a recorded host, or two looks of our own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::near::Near;
use crate::args::View;
use crate::config::Settings;
use crate::pipeline;
use crate::report::{Report, SCHEMA};

/// A report is asked for with this patience where the user named the Tare, and with little where one only might be running.
const ASKED: Duration = Duration::from_secs(5);
const TRIED: Duration = Duration::from_millis(300);
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
    Ok(pipeline::twice(settings, view.span).await)
}

async fn report(near: &Near, patience: Duration) -> Result<Report> {
    let body = near.ask("/report.json", Instant::now() + patience, LARGEST).await?;
    let report: Report = serde_json::from_slice(&body).map_err(|problem| anyhow!("its answer is no report: {problem}"))?;
    if *report.schema != *SCHEMA {
        bail!("its report is of the schema {:?}, this program reads {SCHEMA:?}", report.schema);
    }
    Ok(report)
}
