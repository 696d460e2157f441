//! What is known of an ECS cluster as a whole: its services, how many tasks run on what, and which of them are Tares. No machine sees this.

// Of the core, which opens no socket.
use core::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Launch, Seen};
use crate::identity::TaskArn;

/// An ECS cluster, by the ECS API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EcsCluster {
    /// Its short name.
    pub name: Arc<str>,
    /// Where it is.
    pub region: Arc<str>,
    /// Its services, sorted by name.
    pub services: Option<Seen<Arc<[Service]>>>,
    /// Its tasks that are meant to run.
    pub tasks: Option<Seen<Arc<ClusterTasks>>>,
}

/// One service. AWS: `Service` of the ECS API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its name.
    pub name: Arc<str>,
    /// `ACTIVE`, `DRAINING`.
    pub status: Option<Arc<str>>,
    /// `REPLICA`, `DAEMON`.
    pub scheduling: Option<Arc<str>>,
    /// The task definition's family.
    pub family: Option<Arc<str>>,
    /// The task definition's revision.
    pub revision: Option<Arc<str>>,
    /// Whose machines its tasks run on, where no capacity provider says so.
    pub launch: Option<Launch>,
    /// The capacity providers of its strategy, in AWS's order.
    pub providers: Vec<Arc<str>>,
    /// Tasks that it should have.
    pub desired: Option<u64>,
    /// Tasks that run.
    pub running: Option<u64>,
    /// Tasks on their way to run.
    pub pending: Option<u64>,
    /// `None` where ECS does not deploy it (CodeDeploy, another controller).
    pub deployments: Option<Deployments>,
}

/// The deployments of a service, by how far they are, and how the newest does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deployments {
    /// At a steady state.
    pub completed: u64,
    /// Under way.
    pub in_progress: u64,
    /// Given up by the circuit breaker.
    pub failed: u64,
    /// Of which AWS does not say it.
    pub unknown: u64,
    /// Tasks of the newest one that did not come to run.
    pub failed_tasks: Option<u64>,
}

/// Tasks of a cluster, counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterTasks {
    /// One row a kind, sorted.
    pub counts: Vec<TaskCount>,
    /// Those that are Tares and run, sorted by ARN.
    pub tares: Vec<Tare>,
}

/// Tasks of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCount {
    /// Which.
    pub kind: Arc<TaskKind>,
    /// How many.
    pub tasks: u64,
}

/// What tasks that are counted together have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskKind {
    /// The service that started them.
    pub service: Option<Arc<str>>,
    /// Whose machine they run on.
    pub launch: Option<Launch>,
    /// The capacity provider they were placed by.
    pub provider: Option<Arc<str>>,
    /// How far they are: `running`, `pending`, … in small letters.
    pub status: Arc<str>,
}

/// A task that is a Tare, and where it serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tare {
    /// Its ARN.
    pub task: TaskArn,
    /// The service that started it.
    pub service: Option<Arc<str>>,
    /// The task definition's family.
    pub family: Option<Arc<str>>,
    /// Whose machine it runs on.
    pub launch: Option<Launch>,
    /// `us-east-1b`.
    pub zone: Option<Arc<str>>,
    /// Where it serves. `None`: its task has no network interface of its own, so the API does not say.
    pub address: Option<SocketAddr>,
}
