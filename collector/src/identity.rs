//! Who owns a cgroup or a container, read out of names alone: cgroup paths, ids. Pure.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.into())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A container's id as its runtime gave it: 64 hex digits, or `<32 hex>-<10 digits>` on Fargate.
    ContainerId
}
name! {
    /// The last part of a task ARN: 32 hex digits, or a UUID with dashes from old agents. A task keeps it whether or not its ARN is ever learnt.
    TaskId
}
name! {
    /// A pod's uid, dashes restored: a UUID, or 32 hex digits for a static pod.
    PodUid
}
name! {
    /// A cgroup's path below its hierarchy's root, with the leading slash: `/system.slice/docker.service`.
    CgroupPath
}

impl ContainerId {
    /// The first 12 characters, as `docker ps` shows it.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

/// What names a workload for as long as it lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Key {
    /// An ECS task.
    Task(TaskId),
    /// A Kubernetes pod.
    Pod(PodUid),
    /// A container that belongs to no task or pod.
    Loose(ContainerId),
    /// A systemd unit that is no container.
    Unit(CgroupPath),
    /// All that is left of the host: root less units, containers and pods.
    System,
}
