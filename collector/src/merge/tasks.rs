//! What is known of ECS tasks, joined from all who speak of them.
//!
//! Of one task the metadata endpoint is believed first, then the ECS API, the labels of its containers, the agent, and what was known before: what a task is does
//! not change while it lives, and a source may be away for a while.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::identity::{ContainerId, TaskId};
use crate::snapshot::{SourceName, Task, TaskState};
use crate::sources::{ContainerStats, RuntimeContainer, Tasks, ToldTask};

/// Everything told of tasks.
#[derive(Default)]
pub(super) struct KnownTasks<'a> {
    /// In the order in which they are believed.
    sources: SmallVec<[&'a Tasks; 3]>,
    tasks: HashMap<&'a TaskId, SmallVec<[&'a ToldTask; 2]>>,
    containers: HashMap<&'a ContainerId, (&'a TaskId, &'a RuntimeContainer)>,
}

impl<'a> KnownTasks<'a> {
    pub(super) fn new(told: &[(SourceName, &'a Tasks)]) -> KnownTasks<'a> {
        let mut known = KnownTasks::default();
        for wanted in [SourceName::EcsTask, SourceName::Ecs, SourceName::EcsAgent] {
            known.sources.extend(told.iter().filter(|(from, _)| *from == wanted).map(|(_, tasks)| *tasks));
        }
        for task in known.sources.iter().flat_map(|source| &source.tasks) {
            known.tasks.entry(&task.id).or_default().push(task);
            for container in &task.containers {
                known.containers.entry(&container.about.id).or_insert((&task.id, container));
            }
        }
        known
    }

    /// The task that Tare is part of, where it sees no other.
    pub(super) fn own(&self) -> Option<&'a TaskId> {
        self.sources.iter().find_map(|source| source.own.as_ref())
    }

    /// The cluster of this machine.
    pub(super) fn cluster(&self) -> Option<Arc<str>> {
        self.sources.iter().find_map(|source| source.cluster.clone())
    }

    /// The version of this machine's agent.
    pub(super) fn agent(&self) -> Option<Arc<str>> {
        self.sources.iter().find_map(|source| source.agent.clone())
    }

    /// All containers that are told of, in no order.
    pub(super) fn containers(&self) -> impl Iterator<Item = &'a RuntimeContainer> {
        self.containers.values().map(|(_, container)| *container)
    }

    /// A container's task, and what is said of it.
    pub(super) fn container(&self, id: &ContainerId) -> Option<(&'a TaskId, &'a RuntimeContainer)> {
        self.containers.get(id).copied()
    }

    /// What a container uses, as ECS counts it.
    pub(super) fn stats(&self, id: &ContainerId) -> Option<&'a ContainerStats> {
        self.sources.iter().find_map(|source| source.stats.binary_search_by(|one| one.id.cmp(id)).ok().map(|at| &source.stats[at]))
    }

    /// Who a task is. The same allocation as before where nothing new is said.
    pub(super) fn about(&self, id: &TaskId, labels: Option<&Arc<Task>>, before: Option<&Arc<Task>>) -> Arc<Task> {
        let told = self.tasks.get(id).map_or(&[][..], |told| told.as_slice());
        let mut joined = Task::default();
        // The agent says nothing that labels do not say, so they may come last.
        for part in told.iter().map(|task| &*task.about).chain(labels.map(|labels| &**labels)).chain(before.map(|before| &**before)) {
            joined = joined.or(part);
        }
        joined.cluster = joined.cluster.or_else(|| self.cluster());
        joined.instance = joined.instance.or_else(|| self.sources.iter().find_map(|source| source.instance.clone()));
        match before {
            Some(before) if **before == joined => before.clone(),
            _ => Arc::new(joined),
        }
    }

    /// How far a task is, where anyone says. The same allocation as before where nothing new is said.
    pub(super) fn state(&self, id: &TaskId, before: Option<&Arc<TaskState>>) -> Option<Arc<TaskState>> {
        let (first, rest) = match self.tasks.get(id).map(|told| told.as_slice()) {
            Some([first, rest @ ..]) => (first, rest),
            _ => return before.cloned(),
        };
        let joined = match rest {
            [] => first.state.clone(),
            rest => Arc::new(rest.iter().fold(TaskState::clone(&first.state), |joined, next| joined.or(&next.state))),
        };
        match before {
            Some(before) if *before == joined => Some(before.clone()),
            _ => Some(joined),
        }
    }
}
