//! The one answer: what was seen, how fast it moves, what it costs. Every sink, page and command reads this and nothing else.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use collector::snapshot::{Container, Device, Gap, Host, Workload};
use collector::units::{Cores, Ratio, Stamp, seconds};

use crate::cost::{Cost, NodeCost};

/// The `schema` member of every report.
pub const SCHEMA: &str = "tare.report/1";

/// One look, named and reckoned. JSON: RFC 3339 times, seconds, bytes, cores, dollars an hour; null is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `tare.report/1`.
    pub schema: Arc<str>,
    /// When the look ended.
    pub at: Stamp,
    /// The cluster's name, from the settings.
    pub cluster: Option<Arc<str>>,
    /// The machine.
    pub host: HostRow,
    /// Sorted by key; those that ended in the last minutes among them.
    pub workloads: Vec<WorkloadRow>,
    /// What could not be seen, and why.
    pub gaps: Vec<Gap>,
    /// How each source does.
    pub sources: Vec<SourceRow>,
}

/// The machine, its rates and its price.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostRow {
    /// What was seen.
    pub seen: Host,
    /// How fast it moves.
    pub rates: Rates,
    /// What the machine costs.
    pub cost: NodeCost,
}

/// One workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadRow {
    /// What was seen; its `containers` are empty, they stand below with their rates.
    #[serde(flatten)]
    pub seen: Workload,
    /// How fast it moves.
    pub rates: Rates,
    /// What it costs.
    pub cost: Cost,
    /// It is near a limit, throttled or looping: words for a person. Empty is well.
    pub warnings: SmallVec<[Arc<str>; 1]>,
    /// Its containers.
    pub containers: Vec<ContainerRow>,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerRow {
    /// What was seen.
    #[serde(flatten)]
    pub seen: Container,
    /// How fast it moves.
    pub rates: Rates,
    /// As for a workload.
    pub warnings: SmallVec<[Arc<str>; 1]>,
}

/// Change between two looks at the same thing, over the readings' own clock. `None`: no two readings to compare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Time since it started.
    #[serde(with = "seconds::option")]
    pub uptime: Option<Duration>,
    /// CPU in use.
    pub cpu: Option<Cores>,
    /// CPU in use over the limit; never cut at 1.
    pub cpu_of_limit: Option<Ratio>,
    /// Throttled periods over all periods of the interval.
    pub throttled: Option<Ratio>,
    /// Working set over the limit.
    pub memory_of_limit: Option<Ratio>,
    /// Processes over the limit.
    pub pids_of_limit: Option<Ratio>,
    /// Each device that both looks saw.
    pub io: SmallVec<[IoRate; 2]>,
    /// All interfaces that both looks saw, bytes a second.
    pub received: Option<f64>,
    /// The same, outward.
    pub sent: Option<f64>,
    /// Share of the interval in which some task waited, for CPU, memory and block devices.
    pub waited: Waited,
}

/// Bytes a second to and from one device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IoRate {
    /// Which.
    pub device: Device,
    /// Bytes a second.
    pub read: f64,
    /// Bytes a second.
    pub written: f64,
}

/// Pressure as a share of the interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waited {
    /// For a CPU.
    pub cpu: Option<Ratio>,
    /// For memory.
    pub memory: Option<Ratio>,
    /// For a block device.
    pub io: Option<Ratio>,
}

/// How one source does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRow {
    /// Which.
    pub source: collector::snapshot::SourceName,
    /// When it last answered.
    pub answered: Option<Timestamp>,
    /// How old its newest reading is.
    #[serde(with = "seconds::option")]
    pub age: Option<Duration>,
    /// How long its last read took.
    #[serde(with = "seconds::option")]
    pub took: Option<Duration>,
    /// Reads that failed since Tare started.
    pub failures: u64,
}
