//! The machine, as far as anyone could say: what it is, how it is bought, what its agent and its disks are.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ContainerInstance, Machine, Seen, Usage, Volume};
use crate::units::{Bytes, seconds};

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Host name.
    pub name: Option<Arc<str>>,
    /// `x86_64`, `aarch64`.
    pub arch: Option<Arc<str>>,
    /// `linux`.
    pub os: Option<Arc<str>>,
    /// Kernel release.
    pub kernel: Option<Arc<str>>,
    /// Changes at every boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: Option<Arc<str>>,
    /// When the kernel started (`btime` of `/proc/stat`).
    pub booted: Option<Timestamp>,
    /// Online logical CPUs.
    pub cores: Option<u32>,
    /// `MemTotal`.
    pub memory: Option<Bytes>,
    /// Mean run-queue length over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// What the whole machine uses: CPU time, memory (used = total - free; working set = that - inactive file pages), pressure, block devices, network
    /// (bridges and interfaces that end in a container left out: their traffic is the containers') and its sockets.
    pub usage: Usage,
    /// What else the kernel counts of the whole machine.
    pub machine: Option<Arc<Machine>>,
    /// File systems Tare depends on.
    pub disks: Vec<Disk>,
    /// Which cgroup trees are here.
    pub cgroups: Option<CgroupVersion>,
    /// The container runtime's own words.
    pub docker: Option<Arc<Docker>>,
    /// Docker's volumes, sorted by name, where they are measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Seen<Arc<[Volume]>>>,
    /// The EC2 instance, by the settings, the metadata service, or what AWS says of it.
    pub instance: Instance,
    /// What ECS knows of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecs: Option<ContainerInstance>,
    /// The short name of the ECS cluster that the machine, or the one task that is seen, belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Arc<str>>,
    /// What Tare itself uses.
    pub own: Option<Own>,
    /// CPU time that workloads were seen to use, those that have ended among them: what the system row leaves out of the root's. JSON: seconds.
    #[serde(default, with = "seconds::option")]
    pub attributed: Option<Duration>,
}

/// EC2 facts; each may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// `i-0123456789abcdef0`; of a machine of ECS Anywhere `mi-0123456789abcdef0`.
    pub id: Option<Arc<str>>,
    /// `m7i.large`.
    pub kind: Option<Arc<str>>,
    /// `us-east-1`.
    pub region: Option<Arc<str>>,
    /// `us-east-1b`.
    pub zone: Option<Arc<str>>,
    /// 12 digits.
    pub account: Option<Arc<str>>,
    /// How it is bought.
    pub market: Option<Market>,
    /// When EC2 will take it back; said about two minutes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interruption: Option<Notice>,
    /// Since when it is more likely than others to be taken back (EC2 rebalance recommendation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<Timestamp>,
}

impl Instance {
    /// What this knows, and for the rest what `other` does.
    #[must_use]
    pub fn or(self, other: &Instance) -> Instance {
        let or = |one: Option<Arc<str>>, other: &Option<Arc<str>>| one.or_else(|| other.clone());
        Instance {
            id: or(self.id, &other.id),
            kind: or(self.kind, &other.kind),
            region: or(self.region, &other.region),
            zone: or(self.zone, &other.zone),
            account: or(self.account, &other.account),
            market: self.market.or(other.market),
            interruption: self.interruption.or(other.interruption),
            rebalance: self.rebalance.or(other.rebalance),
        }
    }
}

/// What EC2 will do with a Spot instance (IMDS `spot/instance-action`). AWS: "Spot Instance interruption notices".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What will be done; `None` for a word we do not know.
    pub what: Option<Interruption>,
    /// When, about.
    pub at: Timestamp,
}

/// How a Spot instance is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "AWS's own words")]
pub enum Interruption {
    Terminate,
    Stop,
    Hibernate,
}

/// How an instance is bought (IMDS `instance-life-cycle`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// At list price.
    OnDemand,
    /// Interruptible.
    Spot,
    /// Reserved block for ML.
    CapacityBlock,
}

/// Which hierarchy carries the controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupVersion {
    /// One tree a controller.
    V1,
    /// One tree.
    V2,
    /// v1 controllers beside a v2 tree that has none of the ones we need.
    Hybrid,
}

/// The Docker daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Docker {
    /// `26.1.5`.
    pub version: Arc<str>,
    /// The newest API it speaks: `1.45`.
    pub api: Arc<str>,
    /// Where its data lies.
    pub root: Option<Arc<str>>,
}

/// One file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// `state` or `docker`.
    pub what: Arc<str>,
    /// The path asked about.
    pub path: Arc<str>,
    /// All of it.
    pub size: Bytes,
    /// What an unprivileged process may still write.
    pub available: Bytes,
}

/// Tare's own use.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// CPU time since Tare started.
    #[serde(with = "seconds")]
    pub cpu: Duration,
    /// Resident memory.
    pub memory: Bytes,
}
