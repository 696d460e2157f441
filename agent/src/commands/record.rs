//! `tare record DIR`: writes what Tare reads here, without secrets, for `--replay`.

use anyhow::{Context, Result};

use collector::record::Recorder;

use super::progress;
use crate::args::Record;
use crate::config::Settings;
use crate::pipeline;

/// Writes the looks, one interval apart. Gives a sentence about what was written.
/// Errors: the folder is not empty or cannot be written.
pub async fn record(settings: &Settings, wanted: &Record) -> Result<String> {
    let total = settings.interval * wanted.looks.saturating_sub(1);
    progress::waiting(&format!("writing {} looks", wanted.looks), total, write(settings, wanted)).await
}

async fn write(settings: &Settings, wanted: &Record) -> Result<String> {
    let folder = &wanted.folder;
    let looks = wanted.looks as usize;
    let mut recorder = Recorder::new(pipeline::live(settings), folder, looks).context("cannot record")?;
    let mut written = Default::default();
    for look in 0..looks {
        if look > 0 {
            tokio::time::sleep(settings.interval).await;
        }
        written = recorder.look(look).await.with_context(|| format!("cannot record look {}", look + 1))?;
    }
    let cut = if written.cut { "; more cgroups than can be written were left out" } else { "" };
    let (groups, containers, files) = (written.groups, written.containers, written.files);
    Ok(format!(
        "{looks} looks in {}: {groups} cgroup folders, {containers} containers named by Docker, {files} files in the last{cut}\n\
         no environment, command line or health output is in it, and no label but those of Compose and ECS; names, images, addresses and ARNs of this host are\n\
         see it: tare ps --replay {}\n",
        folder.display(),
        folder.display()
    ))
}
