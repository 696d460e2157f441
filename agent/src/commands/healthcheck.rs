//! `tare healthcheck`: whether the Tare in this place looks and serves; for the HEALTHCHECK of an image that holds no shell and no other program.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::near::Near;
use crate::config::Settings;

/// A Tare that takes longer is not well; container runtimes wait 30 s.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of its answer.
const LARGEST: usize = 1 << 10;

/// Asks whether its newest report is fresh. Errors: why it is not well, or cannot be asked.
pub async fn check(settings: &Settings, url: Option<&str>) -> Result<()> {
    let near = match url {
        Some(url) => Near::at(url)?,
        None => Near::here(settings)?,
    };
    near.ask("/readyz", Instant::now() + PATIENCE, LARGEST).await.context("not healthy")?;
    Ok(())
}
