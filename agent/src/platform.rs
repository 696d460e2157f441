//! What Tare runs on, in one word, and how much of it Tare sees. Pure: facts in, the word and what every probe found out. Environment variables are hints;
//! what answers decides.

use std::fmt::{self, Display};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use collector::identity::Key;
use collector::snapshot::{Gap, Launch, Scope, Snapshot, SourceName};

/// What runs the containers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Platform {
    /// ECS; `None`: nobody said on whose machine.
    Ecs(Option<Launch>),
    /// Kubernetes.
    Kubernetes,
    /// Docker, and nothing above it.
    Docker,
    /// None of them.
    Bare,
}

/// How much of the machine Tare sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// All that runs on it.
    Daemon,
    /// Its own task or pod, or itself alone.
    Sidecar,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The word.
    pub platform: Platform,
    /// How much is seen.
    pub role: Role,
    /// Every probe and what came of it, in one line.
    pub probes: Arc<str>,
}

/// What the environment of the process hints at. Empty for a recorded host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `AWS_EXECUTION_ENV`: `AWS_ECS_EC2`, `AWS_ECS_FARGATE`, `AWS_ECS_MANAGED_INSTANCES`; something else outside ECS.
    pub execution: Option<String>,
    /// `ECS_CONTAINER_METADATA_URI_V4` is set.
    pub metadata: bool,
    /// `KUBERNETES_SERVICE_HOST` is set; people set it by hand.
    pub service_host: bool,
    /// The service account's token is mounted.
    pub service_account: bool,
}

/// All that is known when the word is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The environment.
    pub hints: Hints,
    /// Our own task's metadata endpoint answers.
    pub endpoint: Probe,
    /// The machine's ECS agent answers.
    pub agent: Probe,
    /// The instance metadata service answers.
    pub imds: Probe,
    /// Docker answers.
    pub docker: bool,
    /// The cgroup tree shows more than our own container.
    pub tree: bool,
    /// ECS tasks are seen.
    pub tasks: bool,
    /// Pods are seen.
    pub pods: bool,
    /// Whose machine the tasks run on.
    pub launch: Option<Launch>,
    /// Nothing but our own task is seen.
    pub alone: bool,
}

/// What came of asking someone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// Nobody asked.
    #[default]
    Unasked,
    /// No answer yet.
    Silent,
    /// It answers.
    Answers,
}

impl Facts {
    /// What one look shows. `probe` tells of a source how it does.
    pub fn seen(hints: &Hints, snapshot: &Snapshot, probe: impl Fn(SourceName) -> Probe) -> Facts {
        let workloads = || snapshot.workloads.iter();
        Facts {
            hints: hints.clone(),
            endpoint: probe(SourceName::EcsTask),
            agent: probe(SourceName::EcsAgent),
            imds: probe(SourceName::Imds),
            docker: snapshot.host.docker.is_some(),
            tree: workloads().any(|one| one.cgroup.is_some() && one.about.key != Key::System),
            tasks: workloads().any(|one| matches!(one.about.key, Key::Task(_))),
            pods: workloads().any(|one| matches!(one.about.key, Key::Pod(_))),
            launch: workloads().find_map(|one| one.about.task.as_ref()?.launch),
            alone: snapshot.scope == Scope::Task,
        }
    }

    /// The word, by the first that fits.
    pub fn found(&self) -> Found {
        Found { platform: self.platform(), role: self.role(), probes: self.probes().into() }
    }

    fn platform(&self) -> Platform {
        let hints = &self.hints;
        let in_pod = hints.service_account && hints.service_host;
        let hinted = hints.execution.as_deref().and_then(|word| word.strip_prefix("AWS_ECS_"));
        let ecs = Platform::Ecs(self.launch.or(hinted.and_then(Launch::parse)));
        // A pod on an ECS instance is not a thing, a copied environment is: the mounted token cannot be copied.
        if in_pod {
            Platform::Kubernetes
        } else if self.endpoint == Probe::Answers || self.tasks {
            ecs
        } else if self.pods {
            Platform::Kubernetes
        } else if self.agent == Probe::Answers {
            ecs
        } else if self.docker {
            Platform::Docker
        } else if hinted.is_some() && hints.metadata {
            // The endpoint may come up after us; two variables that only ECS sets are the best there is.
            ecs
        } else {
            Platform::Bare
        }
    }

    fn role(&self) -> Role {
        let others = self.tree || self.docker || (self.endpoint == Probe::Answers && self.tasks);
        if others && !self.alone { Role::Daemon } else { Role::Sidecar }
    }

    fn probes(&self) -> String {
        let set = |is: bool| if is { "set" } else { "not set" };
        let seen = |is: bool| if is { "seen" } else { "not seen" };
        let hints = &self.hints;
        [
            ("AWS_EXECUTION_ENV", hints.execution.as_deref().unwrap_or("not set")),
            ("ECS_CONTAINER_METADATA_URI_V4", set(hints.metadata)),
            ("task metadata", self.endpoint.word()),
            ("ECS agent", self.agent.word()),
            ("ECS tasks", seen(self.tasks)),
            ("KUBERNETES_SERVICE_HOST", set(hints.service_host)),
            ("service account", if hints.service_account { "mounted" } else { "none" }),
            ("pods", seen(self.pods)),
            ("Docker", if self.docker { "answers" } else { "no" }),
            ("host's cgroup tree", seen(self.tree)),
            ("instance metadata", self.imds.word()),
        ]
        .map(|(name, result)| format!("{name}: {result}"))
        .join(", ")
    }
}

impl Probe {
    fn word(self) -> &'static str {
        match self {
            Probe::Unasked => "not asked",
            Probe::Silent => "no answer",
            Probe::Answers => "answers",
        }
    }
}

impl Platform {
    /// The word of labels and JSON: `ecs-fargate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Platform::Ecs(None) => "ecs",
            Platform::Ecs(Some(Launch::Ec2)) => "ecs-ec2",
            Platform::Ecs(Some(Launch::Fargate)) => "ecs-fargate",
            Platform::Ecs(Some(Launch::External)) => "ecs-external",
            Platform::Ecs(Some(Launch::ManagedInstances)) => "ecs-managed-instances",
            Platform::Kubernetes => "kubernetes",
            Platform::Docker => "docker",
            Platform::Bare => "bare",
        }
    }

    /// Whether what a gap names is missing for good there, so that nobody misses it: the kernel of Fargate keeps no pressure figures.
    pub fn lacks(self, gap: &Gap) -> bool {
        self == Platform::Ecs(Some(Launch::Fargate)) && gap.from == SourceName::Host && &*gap.what == "pressure"
    }

    const ALL: [Platform; 8] = [
        Platform::Ecs(None),
        Platform::Ecs(Some(Launch::Ec2)),
        Platform::Ecs(Some(Launch::Fargate)),
        Platform::Ecs(Some(Launch::External)),
        Platform::Ecs(Some(Launch::ManagedInstances)),
        Platform::Kubernetes,
        Platform::Docker,
        Platform::Bare,
    ];
}

impl From<Platform> for &'static str {
    fn from(platform: Platform) -> &'static str {
        platform.as_str()
    }
}

impl TryFrom<String> for Platform {
    type Error = String;

    fn try_from(word: String) -> Result<Platform, String> {
        Platform::ALL.into_iter().find(|one| one.as_str() == word).ok_or_else(|| format!("{word:?} is no platform"))
    }
}

/// `ecs-ec2, daemon`
impl Display for Found {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Daemon => "daemon",
            Role::Sidecar => "sidecar",
        };
        write!(to, "{}, {role}", self.platform.as_str())
    }
}

#[cfg(test)]
mod tests;
