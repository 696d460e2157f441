//! Who owns a cgroup or a container, read out of names alone: cgroup paths, ids. Pure.

mod arn;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use arn::{TaskArn, is_name, short_name};

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

/// Who a cgroup is, by its path alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A container, and the task or pod it lies in.
    Container(ContainerId, Within),
    /// An ECS task's slice or folder.
    Task(TaskId),
    /// A pod's slice or folder.
    Pod(PodUid),
    /// The topmost `.service` or `.scope` that is no container; the word is its last path segment.
    Unit(Arc<str>),
}

/// What a container's path says of the things above it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Within {
    /// Of neither a task nor a pod.
    #[default]
    Nothing,
    /// Of this task.
    Task(TaskId),
    /// Of this pod.
    Pod(PodUid),
}

/// The owner that the innermost pattern of a path names: in `/docker/A/docker/B` it is B, in `/docker/A/init.scope` A.
/// `None` for slices, mounts, runtime monitors and all else. Paths as in `/proc/<pid>/cgroup` may begin with `/../..`.
/// Shapes: runc's and systemd's naming, the ECS agent's `task_linux.go`, the kubelet's `cgroup_manager_linux.go`.
pub fn owner(path: &str) -> Option<Owner> {
    let (mut above, mut owner) = (Above::default(), None);
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let (segment, below) = above.enter(name);
        match segment {
            Segment::Container(id) => owner = Some(Owner::Container(id, below.within.clone())),
            Segment::Task(id) => owner = Some(Owner::Task(id)),
            Segment::Pod(uid) => owner = Some(Owner::Pod(uid)),
            Segment::Unit => owner = owner.or_else(|| Some(Owner::Unit(name.into()))),
            Segment::Parent => {}
            Segment::Aside if owner.is_none() => return None,
            Segment::Aside => {}
        }
        above = below;
    }
    owner
}

/// What one segment of a cgroup path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A container.
    Container(ContainerId),
    /// An ECS task.
    Task(TaskId),
    /// A pod.
    Pod(PodUid),
    /// A `.service` or `.scope`.
    Unit,
    /// A slice or a folder: only what lies below it matters.
    Parent,
    /// Mounts, sockets, runtime monitors: neither it nor what lies below it matters.
    Aside,
}

/// What the segments above one say of it. Begin with the default at a hierarchy's root and `enter` each segment in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Above {
    /// The innermost task or pod.
    pub within: Within,
    /// Whether the segment above is `ecs`, or the cluster's folder in it that old agents made.
    ecs: Ecs,
    /// Whether any segment above is the kubelet's root.
    kubepods: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ecs {
    #[default]
    No,
    Folder,
    Cluster,
    Task,
}

/// The runtimes whose scopes are containers. `crio-conmon-…` and `libpod-conmon-…` are their monitors, not among them.
const RUNTIMES: [&str; 5] = ["docker", "cri-containerd", "crio", "libpod", "nerdctl"];

impl Above {
    /// What `name` is below these, and what stands above its own children.
    pub fn enter(&self, name: &str) -> (Segment, Above) {
        let bare = name.strip_suffix(".slice").unwrap_or(name);
        let mut below = Above { within: self.within.clone(), ecs: Ecs::No, kubepods: self.kubepods || bare.ends_with("kubepods") };
        let segment = if let Some((id, pod)) = container(name) {
            if let Some(uid) = pod {
                below.within = Within::Pod(uid);
            }
            Segment::Container(id)
        } else if self.ecs == Ecs::Task && is_fargate_id(name) {
            Segment::Container(name.into())
        } else if let Some(id) = self.task(name) {
            below.within = Within::Task(id.clone());
            below.ecs = Ecs::Task;
            Segment::Task(id)
        } else if let Some(uid) = self.pod(name) {
            below.within = Within::Pod(uid.clone());
            Segment::Pod(uid)
        } else if name.ends_with(".slice") {
            Segment::Parent
        } else if name.ends_with(".mount") || name.ends_with(".socket") || holds_id(name) {
            Segment::Aside
        } else if name.ends_with(".service") || name.ends_with(".scope") {
            Segment::Unit
        } else {
            below.ecs = match self.ecs {
                _ if name == "ecs" => Ecs::Folder,
                Ecs::Folder => Ecs::Cluster,
                _ => Ecs::No,
            };
            Segment::Parent
        };
        (segment, below)
    }

    /// `ecstasks-<32>.slice`; `<32>` or a UUID in `ecs` or in a cluster's folder of it.
    fn task(&self, name: &str) -> Option<TaskId> {
        if let Some(id) = name.strip_prefix("ecstasks-").and_then(|rest| rest.strip_suffix(".slice")) {
            return is_hex(id, 32).then(|| id.into());
        }
        (matches!(self.ecs, Ecs::Folder | Ecs::Cluster) && (is_hex(name, 32) || is_uuid(name, b'-'))).then(|| name.into())
    }

    /// The kubelet's two drivers: `kubepods-burstable-pod<uid, underscores>.slice`, and `pod<uid>` somewhere below `kubepods`.
    fn pod(&self, name: &str) -> Option<PodUid> {
        pod_of_slice(name).or_else(|| name.strip_prefix("pod").filter(|uid| self.kubepods && (is_uuid(uid, b'-') || is_hex(uid, 32))).map(PodUid::from))
    }
}

/// `<64>`, `docker-<64>.scope`, `crio-<64>`, and what containerd makes of a systemd path when it was set up without systemd:
/// `kubepods-burstable-pod<uid>.slice:cri-containerd:<64>`, which names the pod too.
fn container(name: &str) -> Option<(ContainerId, Option<PodUid>)> {
    if is_hex(name, 64) {
        return Some((name.into(), None));
    }
    if let Some((slice, rest)) = name.split_once(':') {
        let (_, id) = rest.split_once(':')?;
        return is_hex(id, 64).then(|| (id.into(), pod_of_slice(slice)));
    }
    let (runtime, id) = name.strip_suffix(".scope").unwrap_or(name).rsplit_once('-')?;
    (RUNTIMES.contains(&runtime) && is_hex(id, 64)).then(|| (id.into(), None))
}

fn pod_of_slice(name: &str) -> Option<PodUid> {
    let (class, uid) = name.strip_suffix(".slice")?.rsplit_once("-pod")?;
    if !class.contains("kubepods") {
        return None;
    }
    if is_uuid(uid, b'_') { Some(PodUid::from(&*uid.replace('_', "-"))) } else { is_hex(uid, 32).then(|| uid.into()) }
}

/// `<32 hex>-<digits>`: a container on Fargate, seen from inside.
fn is_fargate_id(name: &str) -> bool {
    name.split_once('-')
        .is_some_and(|(task, number)| is_hex(task, 32) && !number.is_empty() && number.len() <= 20 && number.bytes().all(|b| b.is_ascii_digit()))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(is_hex_digit)
}

fn is_hex_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// 8-4-4-4-12 lower-case hex digits, joined by `dash`.
fn is_uuid(text: &str, dash: u8) -> bool {
    text.len() == 36 && text.bytes().enumerate().all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == dash } else { is_hex_digit(byte) })
}

/// 64 hex digits in a row: a container's id stands in the name of something that is no container.
fn holds_id(name: &str) -> bool {
    name.as_bytes().split(|byte| !is_hex_digit(*byte)).any(|run| run.len() >= 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3d1d9521b26e77f4fa2b9401be3fd84f09dac9c9554d1f28e0ddf61c6f3075e5";
    const B: &str = "cce2ebcc24e2d5436634d4b855d71a4204eaca1fb3733bb33a5522623d174d64";
    const T: &str = "0f9de17a6465404e8b1b2356dc13c2f8";
    const UID: &str = "9a1c4f0e-3b2d-4c5e-8f60-1a2b3c4d5e6f";

    /// Writes an owner the short way: `A`, `A of task T`, `task T`, `pod UID`, `unit NAME`.
    fn said(path: &str) -> String {
        let within = |within: Within| match within {
            Within::Nothing => String::new(),
            Within::Task(id) => format!(" of task {id}"),
            Within::Pod(uid) => format!(" of pod {uid}"),
        };
        match owner(path) {
            None => "nobody".into(),
            Some(Owner::Container(id, above)) => format!("{id}{}", within(above)),
            Some(Owner::Task(id)) => format!("task {id}"),
            Some(Owner::Pod(uid)) => format!("pod {uid}"),
            Some(Owner::Unit(name)) => format!("unit {name}"),
        }
    }

    #[test]
    fn a_path_names_its_owner() {
        let uid_ = UID.replace('-', "_");
        for (path, owner) in [
            (format!("/ecs/{T}/{A}"), format!("{A} of task {T}")),
            (format!("/ecs/{T}"), format!("task {T}")),
            (format!("/ecs/demo/{UID}/{A}"), format!("{A} of task {UID}")),
            (format!("/ecs/demo/{UID}"), format!("task {UID}")),
            (format!("/ecstasks.slice/ecstasks-{T}.slice/docker-{A}.scope"), format!("{A} of task {T}")),
            (format!("/ecstasks.slice/ecstasks-{T}.slice"), format!("task {T}")),
            (format!("/docker/{A}"), A.into()),
            (format!("/../../docker/{A}"), A.into()),
            (format!("/system.slice/docker-{A}.scope"), A.into()),
            (format!("/ecs/{T}/{T}-0123456789"), format!("{T}-0123456789 of task {T}")),
            (format!("/ecs/{T}/{T}-0123456789/kubepods/burstable/pod{UID}/{A}"), format!("{A} of pod {UID}")),
            (format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/cri-containerd-{A}.scope"), format!("{A} of pod {UID}")),
            (format!("/kubepods.slice/kubepods-pod{uid_}.slice"), format!("pod {UID}")),
            (format!("/kubepods.slice/kubepods-pod{T}.slice"), format!("pod {T}")),
            (format!("/kubepods/burstable/pod{UID}/{A}"), format!("{A} of pod {UID}")),
            (format!("/kubepods/pod{T}"), format!("pod {T}")),
            (format!("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid_}.slice/crio-{A}.scope"), format!("{A} of pod {UID}")),
            (format!("/kubepods.slice/kubepods-pod{uid_}.slice/crio-{A}"), format!("{A} of pod {UID}")),
            (format!("/kubepods.slice/kubepods-pod{uid_}.slice/crio-conmon-{A}.scope"), format!("pod {UID}")),
            (format!("/system.slice/containerd.service/kubepods-burstable-pod{uid_}.slice:cri-containerd:{A}"), format!("{A} of pod {UID}")),
            (format!("/machine.slice/libpod-{A}.scope/container"), A.into()),
            (format!("/machine.slice/libpod-conmon-{A}.scope"), "nobody".into()),
            (format!("/system.slice/var-lib-docker-overlay2-{A}-merged.mount"), "nobody".into()),
            (format!("/docker/{A}/docker/{B}"), B.into()),
            (format!("/docker/{A}/init.scope"), A.into()),
            (format!("/docker/{A}/kubelet/kubepods/pod{UID}/{B}"), format!("{B} of pod {UID}")),
            ("/runtime.slice/kubelet.service".into(), "unit kubelet.service".into()),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/a.service".into(), "unit user@1000.service".into()),
            ("/init.scope".into(), "unit init.scope".into()),
            ("/system.slice".into(), "nobody".into()),
            ("/".into(), "nobody".into()),
            (format!("/jobs/{T}"), "nobody".into()),
            (format!("/ecs/{T}x"), "nobody".into()),
            (format!("/pod{UID}"), "nobody".into()),
            (format!("/docker/{}", &A[..63]), "nobody".into()),
            (format!("/docker/{}", A.to_uppercase()), "nobody".into()),
        ] {
            assert_eq!(said(&path), owner, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "(/|[a-z0-9:_é-]{0,9}|ecs|pod|kubepods|\\.slice|\\.scope|[0-9a-f]{32}|[0-9a-f]{64}){0,12}") {
            owner(&path);
        }
    }
}
