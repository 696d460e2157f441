//! What is known of an ECS task beyond its cgroup: who it belongs to, where it runs, how far it has come.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Asked;
use crate::identity::TaskArn;
use crate::units::{Bytes, seconds};

/// Whose task it is and where it runs. Each may be unknown; what several sources say is joined field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// Its ARN.
    pub arn: Option<TaskArn>,
    /// The cluster's short name.
    pub cluster: Option<Arc<str>>,
    /// The task definition's family.
    pub family: Option<Arc<str>>,
    /// The task definition's revision: a number, but AWS gives it as a text.
    pub revision: Option<Arc<str>>,
    /// The service that started it.
    pub service: Option<Arc<str>>,
    /// What started it, where that is no service: `family:…`, `daemon:…`, or what the caller gave.
    pub group: Option<Arc<str>>,
    /// Whose machine it runs on.
    pub launch: Option<Launch>,
    /// The capacity provider it was placed by.
    pub provider: Option<Arc<str>>,
    /// Fargate Spot, or a Spot instance.
    pub spot: Option<bool>,
    /// Fargate's platform version: `1.4.0`.
    pub platform: Option<Arc<str>>,
    /// `x86_64`, `arm64`.
    pub arch: Option<Arc<str>>,
    /// `us-east-1b`.
    pub zone: Option<Arc<str>>,
    /// `use1-az4`: the same place for every account.
    pub zone_id: Option<Arc<str>>,
    /// Who asked for it to be started.
    pub started_by: Option<Arc<str>>,
    /// The container instance's id, the last part of its ARN.
    pub instance: Option<Arc<str>>,
    /// Its tags that the settings name, sorted by key.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
}

/// Whose machine a task runs on (ECS `launchType`, and Managed Instances, which the metadata endpoint calls one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Launch {
    /// The user's EC2 instance.
    Ec2,
    /// AWS's.
    Fargate,
    /// The user's own machine (ECS Anywhere).
    External,
    /// An EC2 instance that ECS keeps.
    ManagedInstances,
}

impl Launch {
    /// AWS's word: `EC2`, `FARGATE`, `EXTERNAL`, `MANAGED_INSTANCES`. `None` for another.
    pub fn parse(word: &str) -> Option<Launch> {
        Some(match word {
            "EC2" => Launch::Ec2,
            "FARGATE" => Launch::Fargate,
            "EXTERNAL" => Launch::External,
            "MANAGED_INSTANCES" => Launch::ManagedInstances,
            _ => return None,
        })
    }

    /// The word used in labels and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Launch::Ec2 => "ec2",
            Launch::Fargate => "fargate",
            Launch::External => "external",
            Launch::ManagedInstances => "managed-instances",
        }
    }
}

impl Task {
    /// What this knows, and for the rest what `other` does.
    #[must_use]
    pub fn or(self, other: &Task) -> Task {
        let or = |one: Option<Arc<str>>, other: &Option<Arc<str>>| one.or_else(|| other.clone());
        Task {
            arn: self.arn.or_else(|| other.arn.clone()),
            cluster: or(self.cluster, &other.cluster),
            family: or(self.family, &other.family),
            revision: or(self.revision, &other.revision),
            service: or(self.service, &other.service),
            group: or(self.group, &other.group),
            launch: self.launch.or(other.launch),
            provider: or(self.provider, &other.provider),
            spot: self.spot.or(other.spot),
            platform: or(self.platform, &other.platform),
            arch: or(self.arch, &other.arch),
            zone: or(self.zone, &other.zone),
            zone_id: or(self.zone_id, &other.zone_id),
            started_by: or(self.started_by, &other.started_by),
            instance: or(self.instance, &other.instance),
            tags: if self.tags.is_empty() { other.tags.clone() } else { self.tags },
        }
    }

    /// The name of its workload: the service, else the family.
    pub fn name(&self) -> Option<&Arc<str>> {
        self.service.as_ref().or(self.family.as_ref())
    }
}

/// How far a task has come, and what it was given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskState {
    /// The task definition's own size: what a Fargate task is billed for, and the ceiling of one on EC2.
    pub size: Asked,
    /// What ECS wants it to be: `RUNNING`, `STOPPED`.
    pub desired: Option<Arc<str>>,
    /// How far it is: `PROVISIONING`, `PENDING`, `ACTIVATING`, `RUNNING`, `DEACTIVATING`, `STOPPING`, `DEPROVISIONING`, `STOPPED`.
    pub known: Option<Arc<str>>,
    /// When the first image began to be pulled: from here on Fargate bills.
    pub pull_started: Option<Timestamp>,
    /// When the last image had been pulled.
    pub pull_stopped: Option<Timestamp>,
    /// When its containers had ended.
    pub stopped: Option<Timestamp>,
    /// Why it stopped, in ECS's word: `TaskFailedToStart`, `EssentialContainerExited`, `UserInitiated`, `SpotInterruption`, …
    pub stop_code: Option<Arc<str>>,
    /// Its ephemeral disk (Fargate).
    pub storage: Option<Storage>,
    /// How right its clock is (Fargate).
    pub clock: Option<ClockDrift>,
}

impl TaskState {
    /// What this knows, and for the rest what `other` does.
    #[must_use]
    pub fn or(self, other: &TaskState) -> TaskState {
        let or = |one: Option<Arc<str>>, other: &Option<Arc<str>>| one.or_else(|| other.clone());
        TaskState {
            size: self.size.or(other.size),
            desired: or(self.desired, &other.desired),
            known: or(self.known, &other.known),
            pull_started: self.pull_started.or(other.pull_started),
            pull_stopped: self.pull_stopped.or(other.pull_stopped),
            stopped: self.stopped.or(other.stopped),
            stop_code: or(self.stop_code, &other.stop_code),
            storage: self.storage.or(other.storage),
            clock: self.clock.or(other.clock),
        }
    }
}

/// A machine, as ECS knows it. Each may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerInstance {
    /// The last part of its ARN.
    pub id: Option<Arc<str>>,
    /// The capacity provider it belongs to.
    pub provider: Option<Arc<str>>,
    /// The version of its ECS agent: `1.105.1`.
    pub agent: Option<Arc<str>>,
}

/// A task's ephemeral disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// What is written of it.
    pub used: Option<Bytes>,
    /// All of it. What is above 20 GiB is billed.
    pub reserved: Option<Bytes>,
}

/// What Fargate says of a task's clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockDrift {
    /// How wrong it may be. JSON: seconds.
    #[serde(with = "seconds::option")]
    pub error_bound: Option<Duration>,
    /// Whether it follows a reference.
    pub synchronized: Option<bool>,
}

/// What a container is in its task or pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nobody named it yet.
    #[default]
    Unknown,
    /// The user's.
    App,
    /// Holds the name spaces of the others.
    Pause,
    /// The platform's: a helper that the agent starts beside the user's own, or the agent itself.
    Internal,
}

impl Role {
    /// The word used in labels; empty where it is not known.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Unknown => "",
            Role::App => "app",
            Role::Pause => "pause",
            Role::Internal => "internal",
        }
    }

    /// By the name that ECS gives a container of a task (amazon-ecs-agent: `agent/api/container/containertype.go`, `agent/engine/docker_task_engine.go`).
    pub fn of_ecs_name(name: &str) -> Role {
        match name.strip_prefix("~internal~") {
            Some(rest) if rest.starts_with("ecs~pause") => Role::Pause,
            Some(_) => Role::Internal,
            None => Role::App,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_source_does_not_know_another_tells() {
        let task = |family: Option<&str>, launch| Task { family: family.map(Into::into), launch, ..Task::default() };
        let labels = task(Some("checkout"), None);
        let api = Task { spot: Some(true), ..task(Some("other"), Some(Launch::Fargate)) };
        let both = labels.or(&api);
        assert_eq!((both.family.as_deref(), both.launch, both.spot), (Some("checkout"), Some(Launch::Fargate), Some(true)));
        assert_eq!(both.name().map(|name| &**name), Some("checkout"));
        assert_eq!(both.clone().or(&api), both, "to hear it twice changes nothing");
    }

    #[test]
    fn a_name_says_the_role() {
        for (name, role) in [
            ("app", Role::App),
            ("~internal~ecs~pause", Role::Pause),
            ("~internal~ecs~pause-web", Role::Pause),
            ("~internal~ecs-emptyvolume-source", Role::Internal),
            ("ecs-service-connect-a1b2", Role::App),
        ] {
            assert_eq!(Role::of_ecs_name(name), role, "{name}");
        }
    }
}
