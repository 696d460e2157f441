//! `tare run`: opens the port, greets, looks and serves until told to end.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Settings, Wrong};
use crate::metrics::agent::Agent;
use crate::pipeline::{self, Door};
use crate::report::Report;
use crate::web::Guard;

use super::greeting::greeting;

/// Runs until SIGTERM or SIGINT. Errors: a wrong web config file; the port cannot be opened; the recorded host cannot be read.
pub async fn run(settings: &Settings, replay: Option<&Path>) -> Result<()> {
    let guard = Guard::new(settings.web.config_file.as_deref()).map_err(|problem| Wrong(vec![problem]))?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("{} cannot be served on; set listen to another address, or port 0 for any free one", settings.listen))?;
    let address = listener.local_addr().context("the listening socket has no address")?;
    let tls = guard.tls().is_some();
    let pushes = settings.remote_write.as_ref().map(|wanted| &wanted.target).filter(|_| replay.is_none());
    let greet = |report: &Report| {
        // Nobody need read it: a closed output does not end an agent.
        let _ = io::stdout().write_all(greeting(report, address, tls, pushes).as_bytes()).and_then(|()| io::stdout().flush());
    };
    let agent = Arc::new(Agent::new());
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    let door = Door { listener, guard };
    match replay {
        Some(dir) => pipeline::run_replay(settings, dir, door, agent, greet, stop).await,
        None => pipeline::run(settings, door, agent, greet, stop).await,
    }
}
