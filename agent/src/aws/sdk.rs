//! The AWS SDK: one configuration, no retries of its own, every call by its action.

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::SharedHttpClient;
use aws_sdk_ecs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types::{self, TaskField};
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use base64::Engine;
use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use collector::identity::{TaskArn, short_name};
use collector::snapshot::{Asked, Launch, Storage, Task, TaskState};
use collector::sources::ToldTask;
use collector::units::{Bytes, Cores};

use super::ecs::{Answer, Ask, Question, Refusal};
use super::{Action, DESCRIBE_TASKS, ROLE};

/// To find credentials and to connect.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest error that is passed on, in characters.
const WORDS: usize = 300;

/// The ECS API. The client is made for the first question: who asks nothing pays nothing.
pub struct Api {
    tags: Vec<Arc<str>>,
    /// Elsewhere than at AWS, for tests.
    endpoint: Option<String>,
    client: Option<(String, Client)>,
}

impl Api {
    /// `tags`: the keys that are kept.
    pub fn new(tags: Vec<Arc<str>>, endpoint: Option<String>) -> Api {
        Api { tags, endpoint, client: None }
    }

    async fn client(&mut self, region: &str) -> Client {
        if let Some((_, client)) = self.client.as_ref().filter(|(of, _)| of == region) {
            return client.clone();
        }
        let timeouts = TimeoutConfig::builder().connect_timeout(PATIENCE).operation_timeout(PATIENCE).build();
        let loader = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(region.to_owned()));
        let mut loader = loader.retry_config(RetryConfig::disabled()).timeout_config(timeouts);
        if let Some(client) = https() {
            loader = loader.http_client(client);
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
            #[cfg(test)]
            {
                loader = loader.credentials_provider(aws_sdk_ecs::config::Credentials::new("AKID", "secret", None, None, "test"));
            }
        }
        let client = Client::new(&loader.load().await);
        self.client = Some((region.to_owned(), client.clone()));
        client
    }

    async fn ask(&mut self, question: Question) -> Result<Answer, Refusal> {
        let client = self.client(&question.region).await;
        let names = question.tasks.iter().map(|arn| arn.as_str().to_owned()).collect();
        let tags = (!self.tags.is_empty()).then(|| vec![TaskField::Tags]);
        let request = client.describe_tasks().set_cluster(question.cluster).set_tasks(Some(names)).set_include(tags);
        let said = call(&DESCRIBE_TASKS, request.send()).await?;
        Ok(said.tasks().iter().filter_map(|task| told(task, &self.tags)).map(Arc::new).collect())
    }
}

/// Where the machine has no list of whom to trust, as in an image made `FROM scratch`: a client with Mozilla's, which is built in. Else the SDK's own will do.
pub(super) fn https() -> Option<SharedHttpClient> {
    let is_bare = rustls_native_certs::load_native_certs().certs.is_empty();
    is_bare.then(built_in).flatten()
}

fn built_in() -> Option<SharedHttpClient> {
    let roots = TLS_SERVER_ROOT_CERTS.iter().fold(TrustStore::empty(), |roots, certificate| roots.with_pem_certificate(pem(certificate)));
    let context = TlsContext::builder().with_trust_store(roots).build().ok()?;
    Some(HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https())
}

/// RFC 7468.
fn pem(certificate: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect::<String>();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

impl Ask for Api {
    fn describe(&mut self, question: Question) -> BoxFuture<'_, Result<Answer, Refusal>> {
        self.ask(question).boxed()
    }
}

/// Every call goes through here and names the action that it needs.
async fn call<T, E>(action: &Action, asked: impl Future<Output = Result<T, SdkError<E>>>) -> Result<T, Refusal>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    asked.await.map_err(|error| refusal(action, error.code(), &format!("{}", DisplayErrorContext(&error)), |name| std::env::var_os(name).is_some()))
}

/// Amazon ECS API, "Common Error Types" and the errors of DescribeTasks.
fn refusal(action: &Action, code: Option<&str>, why: &str, has: impl Fn(&str) -> bool) -> Refusal {
    let why: String = why.chars().map(|character| if character.is_control() { ' ' } else { character }).take(WORDS).collect();
    match code {
        Some("AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation") => Refusal::Denied(format!(
            "{} is not allowed: {} stay unknown; fix: allow it on arn:*:ecs:*:*:{} (tare generate iam prints the policy)",
            action.name, action.gives, action.resource
        )),
        Some("InvalidParameterException" | "ClusterNotFoundException" | "ClientException") => Refusal::Invalid(format!("{}: {why}", action.name)),
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
    let definition = task.task_definition_arn().and_then(|arn| arn.rsplit_once('/')).and_then(|(_, name)| name.rsplit_once(':'));
    let launch = task.launch_type().and_then(|word| Launch::parse(word.as_str()));
    let provider = task.capacity_provider_name();
    let attribute = |name: &str| task.attributes().iter().find(|one| one.name() == name).and_then(|one| one.value());
    let kept = task.tags().iter().filter_map(|tag| Some((tags.iter().find(|key| Some(&***key) == tag.key())?.clone(), tag.value()?.into())));
    let mut kept: Vec<(Arc<str>, Arc<str>)> = kept.collect();
    kept.sort();
    let ended = task.last_status() == Some("STOPPED");
    let about = Task {
        cluster: short(task.cluster_arn()),
        family: definition.map(|(family, _)| family.into()),
        revision: definition.map(|(_, revision)| revision.into()),
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

/// `"256"`: CPU units or MiB. `None` for 0 and for what no machine has.
fn units(text: &str) -> Option<u64> {
    text.parse().ok().filter(|units| (1..=1 << 30).contains(units))
}

fn time(time: &aws_sdk_ecs::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

#[cfg(test)]
mod tests;
