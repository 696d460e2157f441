//! What an ECS task costs where that is no share of the machine: on Fargate its size is sold, on one's own machine nothing is. Pure.
//!
//! AWS Fargate pricing: the size asked for, by the second from the start of the image pull, at least a minute.

use std::sync::Arc;

use collector::identity::TaskArn;
use collector::snapshot::{Launch, Task, TaskState};
use collector::units::Bytes;

use super::book::Book;
use super::fargate::{self, Platform};
use super::{Cost, Item, Size, UsdPerHour};

/// A Spot task costs at least this share of the on-demand price: AWS says "up to 70 % off".
pub const SPOT_AT_LEAST: f64 = 0.3;

/// The bill of a task that takes no part of this machine; `None` where it does.
pub(super) fn cost(item: &Item<'_>, book: &Book, host_arch: Option<&str>, region: &Arc<str>) -> Option<Cost> {
    let task = item.about.task.as_deref()?;
    let cost = match task.launch? {
        Launch::Ec2 | Launch::ManagedInstances => return None,
        _ if !item.runs => Cost::default(),
        Launch::External => {
            noted("its own machine's price is not known, on purpose: ECS Anywhere runs on what you have; AWS takes 0.01025 $/h for the machine")
        }
        Launch::Fargate => match on_fargate(task, item.state, book, host_arch, region) {
            Ok(cost) => cost,
            Err(why) => noted(&why),
        },
    };
    Some(cost)
}

/// What a share of the machine leaves out.
pub(super) fn left_out(task: Option<&Task>) -> Option<&'static str> {
    let managed = task?.launch == Some(Launch::ManagedInstances);
    managed.then_some("AWS's fee for Managed Instances, 12 % of the on-demand price, comes on top")
}

fn on_fargate(task: &Task, state: Option<&TaskState>, book: &Book, host_arch: Option<&str>, region: &Arc<str>) -> Result<Cost, String> {
    let size = state.map(|state| state.size).unwrap_or_default();
    let (Some(cores), Some(memory)) = (size.cores, size.memory) else { return Err("the size of this Fargate task is not known".into()) };
    let arch = task.arch.as_deref().or(host_arch).ok_or("the architecture of this Fargate task is not known")?;
    let platform = Platform::named(arch).ok_or_else(|| format!("Fargate has no {arch}"))?;
    let region = task.arn.as_ref().map_or(&**region, TaskArn::region);
    let prices = book.fargate(region, platform).map_err(|why| why.to_string())?;
    let mut parts = fargate::parts(Size { cores, memory }, &prices);
    if let Some(disk) = state.and_then(|state| state.storage?.reserved) {
        // It says 16 MiB more than what was asked for.
        parts.extend(fargate::disk(disk.0 / Bytes::GIB.0, &prices)?);
    }
    let listed = fargate::rate(&parts);
    let least = UsdPerHour((listed.0 as f64 * SPOT_AT_LEAST).round() as i64);
    Ok(match task.spot {
        Some(false) => Cost { now: Some(listed), total: Some(listed), parts, ..Cost::default() },
        Some(true) => noted(&format!("Fargate Spot, whose price floats: {least} to {listed} $/h")),
        None => noted(&format!("{listed} $/h, or from {least} $/h if it is on Fargate Spot, which only the ECS API can tell")),
    })
}

fn noted(why: &str) -> Cost {
    Cost { note: Some(why.into()), ..Cost::default() }
}
