//! The AWS SDK: one configuration, no retries of its own, every call by its action.

mod services;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types::{self, TaskField};
use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use collector::identity::{TaskArn, short_name};
use collector::snapshot::{Asked, Instance, Launch, Storage, Task, TaskState};
use collector::sources::{ToldInstance, ToldTask};
use collector::units::{Bytes, Cores};

use super::ecs::DENIED;
use super::ecs::{Ask, Question, Refusal};
use super::{Action, DESCRIBE_CONTAINER_INSTANCES, DESCRIBE_TASKS, LIST_TAGS, ROLE, ec2, http, is_instance};

/// To find credentials and to connect.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest error that is passed on, in characters.
const WORDS: usize = 300;

/// The ECS API, and of the EC2 API the one call that is needed. The client is made for the first question: who asks nothing pays nothing.
pub struct Api {
    tags: Vec<Arc<str>>,
    /// Elsewhere than at AWS, for tests.
    endpoint: Option<String>,
    access: Option<Access>,
    /// Since when tags are not asked for, because they are not allowed.
    untagged: Option<Instant>,
}

/// How one region is asked.
#[derive(Clone)]
struct Access {
    region: String,
    config: SdkConfig,
    ecs: Client,
}

impl Api {
    /// `tags`: the keys that are kept.
    pub fn new(tags: Vec<Arc<str>>, endpoint: Option<String>) -> Api {
        Api { tags, endpoint, access: None, untagged: None }
    }

    async fn access(&mut self, region: &str) -> Access {
        if let Some(access) = self.access.as_ref().filter(|access| access.region == region) {
            return access.clone();
        }
        let timeouts = TimeoutConfig::builder().connect_timeout(PATIENCE).operation_timeout(PATIENCE).build();
        let loader = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(region.to_owned()));
        let mut loader = loader.retry_config(RetryConfig::disabled()).timeout_config(timeouts).http_client(http::client());
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
            #[cfg(test)]
            {
                loader = loader.credentials_provider(aws_sdk_ecs::config::Credentials::new("AKID", "secret", None, None, "test"));
            }
        }
        let config = loader.load().await;
        self.access.insert(Access { region: region.to_owned(), ecs: Client::new(&config), config }).clone()
    }

    async fn tasks(&mut self, question: Question) -> Result<Vec<ToldTask>, Refusal> {
        let ecs = self.access(&question.region).await.ecs;
        let request = ecs.describe_tasks().set_cluster(question.cluster).set_tasks(Some(question.names));
        let with_tags = !self.tags.is_empty() && self.untagged.is_none_or(|since| since.elapsed() >= DENIED);
        let mut said = call(&DESCRIBE_TASKS, request.clone().set_include(with_tags.then(|| vec![TaskField::Tags])).send()).await;
        if with_tags && matches!(said, Err(Refusal::Denied(_))) {
            // It may be the tags alone that are not allowed.
            said = call(&DESCRIBE_TASKS, request.send()).await;
            if said.is_ok() {
                self.untagged = Some(Instant::now());
                tracing::warn!("{} is not allowed: {} stay unknown; fix: allow it (tare generate iam prints the policy)", LIST_TAGS.name, LIST_TAGS.gives);
            }
        }
        let said = said?;
        Ok(said.tasks().iter().filter_map(|task| told(task, &self.tags)).collect())
    }

    async fn instances(&mut self, question: Question) -> Result<Vec<ToldInstance>, Refusal> {
        let ecs = self.access(&question.region).await.ecs;
        let request = ecs.describe_container_instances().set_cluster(question.cluster).set_container_instances(Some(question.names));
        let said = call(&DESCRIBE_CONTAINER_INSTANCES, request.send()).await?;
        Ok(said.container_instances().iter().filter_map(told_instance).collect())
    }

    async fn machines(&mut self, question: Question) -> Result<Vec<Instance>, Refusal> {
        let access = self.access(&question.region).await;
        ec2::describe(&access.config, &access.region, &question.names).await
    }
}

impl Ask for Api {
    fn tasks(&mut self, question: Question) -> BoxFuture<'_, Result<Vec<ToldTask>, Refusal>> {
        Api::tasks(self, question).boxed()
    }

    fn instances(&mut self, question: Question) -> BoxFuture<'_, Result<Vec<ToldInstance>, Refusal>> {
        Api::instances(self, question).boxed()
    }

    fn machines(&mut self, question: Question) -> BoxFuture<'_, Result<Vec<Instance>, Refusal>> {
        Api::machines(self, question).boxed()
    }
}

/// Every call goes through here and names the action that it needs.
async fn call<T, E>(action: &Action, asked: impl Future<Output = Result<T, SdkError<E>>>) -> Result<T, Refusal>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    asked.await.map_err(|error| refusal(action, error.code(), &format!("{}", DisplayErrorContext(&error)), is_set))
}

/// Whether the environment has a variable.
pub(super) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// Amazon ECS API and Amazon EC2 API, "Common Error Types", and the errors of the calls that are made.
pub(super) fn refusal(action: &Action, code: Option<&str>, why: &str, has: impl Fn(&str) -> bool) -> Refusal {
    let why: String = why.chars().map(|character| if character.is_control() { ' ' } else { character }).take(WORDS).collect();
    match code {
        Some("AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation") => Refusal::Denied(format!(
            "{} is not allowed: {} stay unknown; fix: allow it on {} (tare generate iam prints the policy)",
            action.name,
            action.gives,
            action.resource("*", "*")
        )),
        Some("ClusterNotFoundException") => Refusal::Nowhere(format!("{}: {why}", action.name)),
        Some("InvalidParameterException" | "ClientException") => Refusal::Invalid(format!("{}: {why}", action.name)),
        None if why.to_ascii_lowercase().contains("credential") => Refusal::Denied(format!("{}: no credentials: {}", action.name, places(has))),
        _ => Refusal::Later(format!("{}: {why}", action.name)),
    }
}

/// Where credentials were looked for, and what was there.
fn places(has: impl Fn(&str) -> bool) -> String {
    let say = |name: &str| format!("{name} is {}", if has(name) { "set, but gave none" } else { "not set" });
    let names = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"].into_iter().chain(ROLE);
    names.map(say).chain(["the instance metadata service gave none".to_owned()]).collect::<Vec<_>>().join(", ")
}

/// A task as AWS describes it. `None` without an ARN. How far a task is moves on while this is kept for an hour, so only its end is told.
fn told(task: &types::Task, tags: &[Arc<str>]) -> Option<ToldTask> {
    let arn = TaskArn::parse(task.task_arn()?)?;
    let short = |text: Option<&str>| text.and_then(short_name).map(Arc::from);
    let group = task.group();
    let service = group.and_then(|group| group.strip_prefix("service:"));
    let (family, revision) = definition(task.task_definition_arn()).unzip();
    let launch = task.launch_type().and_then(|word| Launch::parse(word.as_str()));
    let provider = task.capacity_provider_name();
    let attribute = |name: &str| task.attributes().iter().find(|one| one.name() == name).and_then(|one| one.value());
    let kept = task.tags().iter().filter_map(|tag| Some((tags.iter().find(|key| Some(&***key) == tag.key())?.clone(), tag.value()?.into())));
    let mut kept: Vec<(Arc<str>, Arc<str>)> = kept.collect();
    kept.sort();
    let ended = task.last_status() == Some("STOPPED");
    let about = Task {
        cluster: short(task.cluster_arn()),
        family,
        revision,
        service: service.map(Into::into),
        group: group.filter(|_| service.is_none()).map(Into::into),
        launch,
        provider: provider.map(Into::into),
        // Who launched on Fargate without a provider is on demand; of an instance the task says nothing.
        spot: match (provider, launch) {
            (Some("FARGATE_SPOT"), _) => Some(true),
            (Some("FARGATE"), _) | (None, Some(Launch::Fargate)) => Some(false),
            _ => None,
        },
        platform: task.platform_version().map(Into::into),
        arch: attribute("ecs.cpu-architecture").map(Into::into),
        zone: task.availability_zone().map(Into::into),
        zone_id: None,
        started_by: task.started_by().map(Into::into),
        instance: short(task.container_instance_arn()),
        tags: kept,
        arn: Some(arn.clone()),
    };
    let state = TaskState {
        size: Asked {
            cores: task.cpu().and_then(units).map(|units| Cores(units as f64 / 1024.0)),
            memory: task.memory().and_then(units).map(|mib| Bytes(mib << 20)),
        },
        desired: task.desired_status().filter(|_| ended).map(Into::into),
        known: task.last_status().filter(|_| ended).map(Into::into),
        pull_started: task.pull_started_at().and_then(time),
        pull_stopped: task.pull_stopped_at().and_then(time),
        stopped: task.stopped_at().and_then(time),
        stop_code: task.stop_code().map(|code| code.as_str().into()),
        storage: task
            .ephemeral_storage()
            .and_then(|disk| u64::try_from(disk.size_in_gib()).ok())
            .map(|gib| Storage { used: None, reserved: Some(Bytes(gib << 30)) }),
        clock: None,
    };
    Some(ToldTask { id: arn.id(), about: Arc::new(about), state: Arc::new(state), containers: Vec::new() })
}

/// A container instance as AWS describes it. `None` without an ARN.
fn told_instance(instance: &types::ContainerInstance) -> Option<ToldInstance> {
    let attribute = |name: &str| instance.attributes().iter().find(|one| one.name() == name).and_then(|one| one.value()).map(Arc::from);
    Some(ToldInstance {
        id: instance.container_instance_arn().and_then(short_name)?.into(),
        provider: instance.capacity_provider_name().map(Into::into),
        agent: instance.version_info().and_then(|version| version.agent_version()).map(|version| version.trim_start_matches('v').into()),
        // The agent registers these two itself (Amazon ECS, "Container instance attributes").
        machine: Instance {
            id: instance.ec2_instance_id().filter(|id| is_instance(id)).map(Into::into),
            kind: attribute("ecs.instance-type"),
            zone: attribute("ecs.availability-zone"),
            ..Instance::default()
        },
    })
}

/// Family and revision of a task definition's ARN.
fn definition(arn: Option<&str>) -> Option<(Arc<str>, Arc<str>)> {
    let (family, revision) = arn?.rsplit_once('/')?.1.rsplit_once(':')?;
    Some((family.into(), revision.into()))
}

/// `"256"`: CPU units or MiB. `None` for 0 and for what no machine has.
fn units(text: &str) -> Option<u64> {
    text.parse().ok().filter(|units| (1..=1 << 30).contains(units))
}

fn time(time: &aws_sdk_ecs::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

#[cfg(test)]
mod tests;
