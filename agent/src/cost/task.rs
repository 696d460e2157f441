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
            noted("its own machine's price is not known, on purpose: ECS Anywhere runs on what you have; AWS's fee for the machine comes on top")
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
    managed.then_some("AWS's fee for Managed Instances comes on top")
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use collector::identity::Key;
    use collector::snapshot::{About, Asked, Host, Instance, Limits, Scope, Storage};
    use collector::units::{Bytes, Cores, Stamp};

    use super::*;
    use crate::cost::{Bill, Reckoning, Settings, Weights, What};

    const ARN: &str = "arn:aws:ecs:us-east-1:111122223333:task/shop/0f9de17a6465404e8b1b2356dc13c2f8";

    fn task(launch: Launch, spot: Option<bool>) -> Task {
        Task { arn: TaskArn::parse(ARN), launch: Some(launch), spot, ..Task::default() }
    }

    fn state(cores: f64, gib: f64, disk_gib: u64) -> TaskState {
        let size = Asked { cores: Some(Cores(cores)), memory: Some(Bytes((gib * 1024.0) as u64 * (1 << 20))) };
        let storage = Storage { used: None, reserved: Some(Bytes((disk_gib * 1024 + 16) << 20)) };
        TaskState { size, storage: Some(storage), ..TaskState::default() }
    }

    /// The bill of one task that uses a tenth of a core.
    fn bill(task: Task, state: &TaskState, host: &Host, scope: Scope) -> Bill {
        let about = About { key: Key::Task("0f".into()), name: "web".into(), project: None, task: Some(Arc::new(task)) };
        let (cores, memory) = (Some(Cores(0.1)), Some(Bytes(64 << 20)));
        let item = Item { about: &about, runs: true, asked: state.size, own: Limits::default(), cores, memory, unfit: None, state: Some(state) };
        let mut reckoning = Reckoning::new(Book::built_in(), Settings { weights: Weights::SCAD }, None);
        reckoning.reckon(&Stamp::default(), None, host, scope, &[item]);
        reckoning.reckon(&Stamp::default(), Some(Duration::from_secs(10)), host, scope, &[item])
    }

    fn host(arch: &str, kind: Option<&str>) -> Host {
        let instance = Instance { kind: kind.map(Into::into), region: Some("us-east-1".into()), ..Instance::default() };
        Host { arch: Some(arch.into()), instance, ..Host::default() }
    }

    #[test]
    fn on_fargate_the_size_is_paid_whatever_is_used() {
        // AWS Fargate price list of us-east-1: x86 0.04048 and 0.004445, ARM 0.03238 and 0.00356, disk above 20 GiB 0.000111.
        for (arch, cores, gib, disk, usd) in [
            ("x86_64", 0.25, 0.5, 20, "0.0123425"),
            ("x86_64", 4.0, 8.0, 20, "0.1974800"),
            ("aarch64", 4.0, 8.0, 20, "0.1580000"),
            ("x86_64", 1.0, 2.0, 50, "0.0527000"),
            // A size that is not offered as an equivalent is priced where it runs.
            ("x86_64", 32.0, 60.0, 20, "1.5620600"),
        ] {
            let bill = bill(task(Launch::Fargate, Some(false)), &state(cores, gib, disk), &host(arch, None), Scope::Task);
            let cost = &bill.costs[0];
            assert_eq!(format!("{:.7}", cost.now.unwrap()), usd, "{cores} vCPU {gib} GB {disk} GiB {arch}");
            assert_eq!((cost.total, cost.idle_share, cost.now), (cost.now, None, Some(fargate::rate(&cost.parts))));
            assert_eq!(cost.parts.iter().any(|part| part.what == What::Disk), disk > 20);
            assert!(bill.node.price.is_none() && bill.node.idle.is_none() && bill.node.why_no_price.unwrap().contains("sells the task"));
        }
    }

    #[test]
    fn what_nobody_can_say_is_not_guessed() {
        let one = state(0.5, 1.0, 20);
        let note = |task, state: &TaskState, host: &Host| {
            let cost = bill(task, state, host, Scope::Task).costs.remove(0);
            assert_eq!((cost.now, cost.total, cost.parts.len()), (None, None, 0));
            cost.note.unwrap().to_string()
        };
        let x86 = host("x86_64", None);
        assert_eq!(note(task(Launch::Fargate, None), &one, &x86), "0.02469 $/h, or from 0.00741 $/h if it is on Fargate Spot, which only the ECS API can tell");
        assert_eq!(note(task(Launch::Fargate, Some(true)), &one, &x86), "Fargate Spot, whose price floats: 0.00741 to 0.02469 $/h");
        assert!(note(task(Launch::Fargate, Some(false)), &TaskState::default(), &x86).contains("size"));
        assert!(note(task(Launch::Fargate, Some(false)), &one, &Host::default()).contains("architecture"));
        assert!(note(task(Launch::Fargate, Some(false)), &one, &host("riscv64", None)).contains("no riscv64"));
        let far = Task { arn: TaskArn::parse(&ARN.replace("us-east-1", "xx-nowhere-1")), ..task(Launch::Fargate, Some(false)) };
        assert!(note(far, &one, &x86).contains("xx-nowhere-1"));
        assert!(note(task(Launch::External, None), &one, &x86).contains("ECS Anywhere"));
    }

    #[test]
    fn on_ec2_it_is_a_share_and_alone_no_share_of_idle() {
        let one = state(0.5, 1.0, 20);
        let m7i = host("x86_64", Some("m7i.large"));
        let whole = bill(task(Launch::Ec2, None), &one, &m7i, Scope::Node).costs.remove(0);
        // (9 x 0.5 + 1) x 0.1008 / (9 x 2 + 8)
        assert_eq!((format!("{:.6}", whole.now.unwrap()), whole.note.is_none()), ("0.021323".into(), true));
        let alone = bill(task(Launch::Ec2, None), &one, &m7i, Scope::Task);
        assert_eq!((alone.costs[0].now, alone.costs[0].total, alone.costs[0].idle_share, alone.node.idle), (whole.now, None, None, None));
        assert!(alone.costs[0].note.as_ref().unwrap().contains("only this task"));
        let managed = bill(task(Launch::ManagedInstances, None), &one, &m7i, Scope::Node).costs.remove(0);
        assert_eq!((managed.now, managed.note.unwrap().contains("fee")), (whole.now, true));
        // One that pays for itself takes nothing of the machine.
        let fargate = bill(task(Launch::Fargate, Some(false)), &one, &m7i, Scope::Node);
        assert_eq!(fargate.node.idle, fargate.node.price.map(|price| price.usd));
    }
}
