//! What the task metadata endpoint's answers say of a task and its containers: our own small structs, and what they mean. Pure.
//!
//! Shapes: amazon-ecs-agent, `ecs-agent/tmds/handlers/v4/state/response.go` and `v2/response.go`. Labels, ports, addresses, volumes, log options and the output of health
//! checks are never kept.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::identity::{ContainerId, TaskArn, is_name, short_name};
use crate::snapshot::{Asked, ClockDrift, ContainerAbout, Health, Launch, Limits, Role, State, Storage, Task, TaskState};
use crate::sources::docker::answers::{is_id, time};
use crate::sources::lenient::{Number, Object, Objects, Real, Rows, Text};
use crate::sources::{Network, RuntimeContainer, ToldTask};
use crate::units::{Bytes, Cores, Limit};

/// The task of `GET /task` or `/taskWithTags`, and what the agent could not find out for it, in its words. `tags` names those that are kept.
/// Errors: no JSON object, or no task's ARN in it, in words.
pub(super) fn task(body: &[u8], tags: &[Arc<str>]) -> Result<(ToldTask, Option<String>), String> {
    let answer = serde_json::from_slice::<Object<Answer>>(body).map_err(|e| e.to_string())?;
    let answer = answer.0.ok_or("no object")?;
    let trouble = answer.trouble();
    Ok((answer.told(tags).ok_or("there is no task's ARN in it")?, trouble))
}

/// All tasks of a Managed Instance (`GET /tasks`), of which the asker's own is one. Errors: no JSON array, or none of a task, in words.
pub(super) fn tasks(body: &[u8], tags: &[Arc<str>]) -> Result<Vec<ToldTask>, String> {
    let answers = serde_json::from_slice::<Objects<Answer>>(body).map_err(|e| e.to_string())?;
    let mut told: Vec<ToldTask> = answers.held.iter().filter_map(|answer| answer.told(tags)).collect();
    told.sort_by(|a, b| a.id.cmp(&b.id));
    told.dedup_by(|later, first| later.id == first.id);
    if told.is_empty() { Err("there is no task's ARN in it".into()) } else { Ok(told) }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Answer {
    cluster: Text,
    #[serde(rename = "TaskARN")]
    task_arn: Text,
    family: Text,
    revision: Text,
    service_name: Text,
    group: Text,
    desired_status: Text,
    known_status: Text,
    limits: Object<TaskLimits>,
    pull_started_at: Text,
    pull_stopped_at: Text,
    execution_stopped_at: Text,
    availability_zone: Text,
    #[serde(rename = "AvailabilityZoneID")]
    availability_zone_id: Text,
    launch_type: Text,
    containers: Rows<ContainerAnswer>,
    task_tags: Object<serde_json::Map<String, serde_json::Value>>,
    errors: Rows<Trouble>,
    ephemeral_storage_metrics: Object<Ephemeral>,
    clock_drift: Object<Drift>,
}

/// Of a task the CPU is in vCPU; memory is in MiB.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TaskLimits {
    #[serde(rename = "CPU")]
    cpu: Real,
    #[serde(rename = "Memory")]
    memory: Number,
}

/// MiB.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Ephemeral {
    utilized: Number,
    reserved: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Drift {
    /// Milliseconds.
    clock_error_bound: Real,
    clock_synchronization_status: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Trouble {
    error_field: Text,
    error_code: Text,
    error_message: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ContainerAnswer {
    docker_id: Text,
    name: Text,
    image: Text,
    #[serde(rename = "ImageID")]
    image_id: Text,
    known_status: Text,
    exit_code: Number,
    limits: Object<ContainerLimits>,
    created_at: Text,
    started_at: Text,
    finished_at: Text,
    #[serde(rename = "Type")]
    kind: Text,
    health: Object<HealthAnswer>,
    networks: Rows<NetworkAnswer>,
    restart_count: Number,
}

/// Of a container the CPU is in units, 1024 a vCPU; memory is in MiB.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerLimits {
    #[serde(rename = "CPU")]
    cpu: Real,
    #[serde(rename = "Memory")]
    memory: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HealthAnswer {
    status: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkAnswer {
    network_mode: Text,
}

impl Answer {
    /// `None`: who it is cannot be said.
    fn told(&self, tags: &[Arc<str>]) -> Option<ToldTask> {
        let arn = TaskArn::parse(self.task_arn.as_str())?;
        let kept = |text: &Text| text.0.clone();
        let cluster = short_name(self.cluster.as_str()).or(arn.cluster()).map(Arc::from);
        let of_group = self.group.as_str().strip_prefix("service:");
        let service = kept(&self.service_name).filter(|name| is_name(name)).or_else(|| of_group.filter(|name| is_name(name)).map(Arc::from));
        let about = Task {
            cluster,
            family: kept(&self.family).filter(|family| is_name(family)),
            revision: kept(&self.revision),
            group: kept(&self.group).filter(|_| of_group.is_none()),
            launch: Launch::parse(self.launch_type.as_str()),
            zone: kept(&self.availability_zone),
            zone_id: kept(&self.availability_zone_id),
            tags: self.tags(tags),
            service,
            arn: Some(arn.clone()),
            ..Task::default()
        };
        let mut containers: Vec<(RuntimeContainer, bool)> =
            self.containers.0.iter().flatten().filter_map(|one| Some((one.container()?, one.mode() == "awsvpc"))).collect();
        containers.sort_by(|(a, _), (b, _)| a.about.id.cmp(&b.about.id));
        containers.dedup_by(|(later, _), (first, _)| later.about.id == first.about.id);
        Some(ToldTask { id: arn.id(), about: Arc::new(about), state: Arc::new(self.state()), containers: join(containers) })
    }

    fn state(&self) -> TaskState {
        let size = self.limits.as_ref().map_or_else(Asked::default, |limits| Asked {
            cores: limits.cpu.0.filter(|cores| *cores > 0.0).map(Cores),
            memory: mib(limits.memory).filter(|bytes| bytes.0 > 0),
        });
        let storage = self.ephemeral_storage_metrics.as_ref().map(|disk| Storage { used: mib(disk.utilized), reserved: mib(disk.reserved) });
        let clock = self.clock_drift.as_ref().map(|drift| ClockDrift {
            error_bound: drift.clock_error_bound.0.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok()),
            synchronized: match drift.clock_synchronization_status.as_str() {
                "SYNCHRONIZED" => Some(true),
                "NOT_SYNCHRONIZED" => Some(false),
                _ => None,
            },
        });
        TaskState {
            size,
            desired: self.desired_status.0.clone(),
            known: self.known_status.0.clone(),
            pull_started: time(&self.pull_started_at),
            pull_stopped: time(&self.pull_stopped_at),
            stopped: time(&self.execution_stopped_at),
            stop_code: None,
            storage,
            clock,
        }
    }

    fn tags(&self, wanted: &[Arc<str>]) -> Vec<(Arc<str>, Arc<str>)> {
        let Some(tags) = self.task_tags.as_ref() else { return Vec::new() };
        let mut kept: Vec<(Arc<str>, Arc<str>)> = wanted.iter().filter_map(|key| Some((key.clone(), Arc::from(tags.get(&**key)?.as_str()?)))).collect();
        kept.sort();
        kept
    }

    fn trouble(&self) -> Option<String> {
        let first = self.errors.0.as_ref()?.first()?;
        Some(format!("{}: {} ({})", first.error_field.as_str(), first.error_message.as_str(), first.error_code.as_str()))
    }
}

impl ContainerAnswer {
    fn mode(&self) -> &str {
        self.networks.0.as_ref().and_then(|networks| networks.first()).map_or("", |network| network.network_mode.as_str())
    }

    /// `None`: it was not made yet, so nobody can know it again.
    fn container(&self) -> Option<RuntimeContainer> {
        let id = self.docker_id.0.as_deref().filter(|id| is_id(id)).map(ContainerId::from)?;
        let name = self.name.0.clone();
        // Of all kinds only one is the user's; Service Connect's is told as that one.
        let role = match (self.kind.as_str(), name.as_deref().map_or(Role::Unknown, Role::of_ecs_name)) {
            ("CNI_PAUSE" | "NAMESPACE_PAUSE", _) => Role::Pause,
            ("NORMAL" | "", by_name) => by_name,
            (_, Role::Pause) => Role::Pause,
            _ => Role::Internal,
        };
        let state = state(self.known_status.as_str())?;
        let over = state == State::Exited;
        let none = ContainerLimits::default();
        let limits = self.limits.as_ref().unwrap_or(&none);
        let memory = mib(limits.memory).filter(|bytes| bytes.0 > 0);
        let started = time(&self.started_at).filter(|_| state != State::Created);
        Some(RuntimeContainer {
            about: Arc::new(ContainerAbout { id, name, image: self.image.0.clone(), digest: self.image_id.0.clone(), compose: None, role }),
            task: None,
            state,
            health: self.health.as_ref().and_then(|health| health_word(health.status.as_str())),
            restarts: self.restart_count.0.and_then(|count| u64::try_from(count).ok()),
            exit: self.exit_code.0.filter(|_| over),
            oom: None,
            started,
            ended: time(&self.finished_at).filter(|ended| over && started.is_none_or(|started| *ended >= started)),
            pid: None,
            network: match self.mode() {
                "" => Network::Unknown,
                "host" => Network::Host,
                _ => Network::Own,
            },
            // 2 is what the agent writes where the task definition gives none: the kernel's least.
            asked: Asked { cores: limits.cpu.0.filter(|units| *units > 2.0).map(|units| Cores(units / 1024.0)), memory },
            // Units are a weight; the ceiling is the task's.
            limits: Limits { cores: Limit::Unlimited, memory: memory.map_or(Limit::Unlimited, Limit::Of), ..Limits::default() },
        })
    }
}

/// Those of one `awsvpc` network belong to its pause container, or to the first where AWS shows none.
fn join(mut containers: Vec<(RuntimeContainer, bool)>) -> Vec<Arc<RuntimeContainer>> {
    let shared = containers.iter().filter(|(_, shares)| *shares).map(|(one, _)| one);
    let owner = shared.min_by_key(|one| (one.about.role != Role::Pause, one.state)).map(|one| one.about.id.clone());
    for (one, _) in containers.iter_mut().filter(|(_, shares)| *shares) {
        one.network = owner.clone().filter(|owner| *owner != one.about.id).map_or(Network::Own, Network::Of);
    }
    containers.into_iter().map(|(one, _)| Arc::new(one)).collect()
}

/// amazon-ecs-agent: `ecs-agent/api/container/status/containerstatus.go`. `None` for a word we do not know.
fn state(word: &str) -> Option<State> {
    Some(match word {
        "NONE" | "MANIFEST_PULLED" | "PULLED" | "CREATED" => State::Created,
        "RUNNING" | "RESOURCES_PROVISIONED" => State::Running,
        "STOPPED" => State::Exited,
        _ => return None,
    })
}

fn health_word(word: &str) -> Option<Health> {
    match word {
        "HEALTHY" => Some(Health::Healthy),
        "UNHEALTHY" => Some(Health::Unhealthy),
        _ => None,
    }
}

fn mib(number: Number) -> Option<Bytes> {
    u64::try_from(number.0?).ok()?.checked_mul(1 << 20).map(Bytes)
}
