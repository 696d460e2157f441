//! What things cost now and what they would cost elsewhere. Pure: prices, figures and time come in as arguments.

pub mod money;
pub mod fargate;
pub mod book;
pub mod pod;
pub mod ec2;
pub mod split;
pub mod equivalent;
pub mod task;
pub mod reckoning;

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use collector::snapshot::{About, Asked, Limits, TaskState};
use collector::units::{Bytes, Cores, Ratio, seconds};

pub use money::{Usd, UsdPerHour};
pub use reckoning::{Reckoning, Settings};
pub use split::Weights;

/// One price, with all that is needed to doubt it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// What is sold: `m7i.large`, `fargate x86_64 vCPU`.
    pub sku: Arc<str>,
    /// Where.
    pub region: Arc<str>,
    /// Dollars a unit.
    pub usd: UsdPerHour,
    /// The unit.
    pub per: Per,
    /// The date the price was read.
    pub since: Date,
    /// Who says so.
    pub from: Origin,
    /// The list it stands in, in words.
    pub source: Arc<str>,
    /// Read from a list, or worked out.
    pub basis: PriceBasis,
}

impl Price {
    /// From this age on, in days, a price is old.
    pub const OLD: i32 = 180;

    /// Old enough to be marked wherever it is shown.
    pub fn is_old(&self, today: Date) -> bool {
        self.days(today) > Self::OLD
    }

    /// How long ago it was read.
    pub fn days(&self, today: Date) -> i32 {
        (today - self.since).get_days()
    }
}

/// What one price buys for an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// One vCPU.
    CoreHour,
    /// One GiB of memory.
    GibHour,
    /// One GiB of ephemeral disk.
    DiskGibHour,
    /// One instance.
    InstanceHour,
}

/// Where a price comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The price book in the binary.
    BuiltIn,
    /// The settings.
    Settings,
}

/// How a price was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriceBasis {
    /// Stands in a price list.
    Listed,
    /// Worked out from listed prices (a share of the node; a region's usual ratio).
    Derived,
}

/// What the machine costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeCost {
    /// Its list price.
    pub price: Option<Arc<Price>>,
    /// What is sold for it: the price list's vCPU and memory, of which the kernel shows a little less.
    pub capacity: Option<Size>,
    /// How the price is split between vCPU and GiB.
    pub weights: Option<Weights>,
    /// Why there is no price.
    pub why_no_price: Option<Arc<str>>,
    /// The region prices are taken from.
    pub region: Option<Region>,
    /// The part of the price that no workload asked for or used.
    pub idle: Option<UsdPerHour>,
    /// More is asked for or used than the machine has: `CPU: 6.0 of 4 cores`.
    pub oversubscribed: Option<Arc<str>>,
    /// Node price over the Fargate price of the whole machine: the fill from which the machine is worth its price.
    pub break_even: Option<Ratio>,
    /// Sum of the Fargate equivalents of its workloads over the node's price; not known while one that runs could not be sized.
    pub fargate_cover: Option<Ratio>,
}

/// Where prices are taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// `us-east-1`.
    pub name: Arc<str>,
    /// Nobody said; it is a guess and marked `~`.
    pub assumed: bool,
}

/// One workload to be charged.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Who it is.
    pub about: &'a About,
    /// It holds its part of the machine. What has ended takes nothing and is charged nothing, though its row lingers.
    pub runs: bool,
    /// What it asked for.
    pub asked: Asked,
    /// Its own limits (inherited ones are no basis).
    pub own: Limits,
    /// Cores in use since the last look.
    pub cores: Option<Cores>,
    /// Working set, or all memory in use where that is not known.
    pub memory: Option<Bytes>,
    /// Why Fargate could not run it, where the runtime says so.
    pub unfit: Option<&'static str>,
    /// What an ECS task was given.
    pub state: Option<&'a TaskState>,
}

/// Everything that one look costs: `costs` runs beside the items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bill {
    /// The machine.
    pub node: NodeCost,
    /// The workloads, in the order of the items.
    pub costs: Vec<Cost>,
}

/// What one workload costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Its split of the node: the larger of asked and used, at the node's own prices. Of a task on Fargate the price of its size.
    pub now: Option<UsdPerHour>,
    /// Its share of what nobody asked for or used.
    pub idle_share: Option<UsdPerHour>,
    /// Both; on Fargate nothing is shared.
    pub total: Option<UsdPerHour>,
    /// Why there is no price, or what it leaves out: words for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// How much of the running UTC hour the means in `parts` cover; zero where they are the figures of one look.
    #[serde(with = "seconds")]
    pub over: Duration,
    /// What `now` is made of; they add up to it.
    pub parts: Vec<Part>,
    /// What the same would cost elsewhere.
    pub otherwise: Vec<Otherwise>,
}

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Of what.
    pub what: What,
    /// Asked for, in the price's unit, as the mean of the hour so far. `None`: nothing asked.
    pub asked: Option<f64>,
    /// Used, likewise. `None`: not known.
    pub used: Option<f64>,
    /// How much is charged, in the price's unit.
    pub amount: f64,
    /// The price of one unit.
    pub price: Arc<Price>,
    /// The line's rate.
    pub rate: UsdPerHour,
}

/// What a line of a bill is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// vCPU.
    Cpu,
    /// Memory.
    Memory,
    /// Ephemeral disk.
    Disk,
    /// Operating system licence.
    Licence,
}

/// The same work somewhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Otherwise {
    /// Where.
    pub on: Elsewhere,
    /// Where the amounts come from.
    pub basis: Option<Basis>,
    /// Seen for less than an hour: the size may still grow.
    pub early: bool,
    /// What it would cost; `None` where `why_not` says why.
    pub rate: Option<UsdPerHour>,
    /// What the rate is made of.
    pub parts: Vec<Part>,
    /// Why there is no such equivalent.
    pub why_not: Option<Arc<str>>,
    /// The compose project that is sized as one task; the rate stands at its first workload.
    pub project: Option<Arc<str>>,
}

/// A place to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Elsewhere {
    /// A Fargate task of this size; no size where it has no equivalent.
    Fargate {
        /// `x86_64` or `arm64`.
        arch: Arc<str>,
        /// The size.
        size: Option<Size>,
    },
}

/// A size that is sold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// vCPU.
    pub cores: Cores,
    /// Memory.
    pub memory: Bytes,
}

/// What an equivalent is sized by, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// What was asked for.
    Asked,
    /// Its own limit.
    Limit,
    /// What was seen.
    Seen,
}
