//! A look at a whole cluster: who is asked about one looks at no machine, so nothing of a machine is believed.

use std::sync::Arc;

use crate::snapshot::{Cut, Host, Instance, Scope, Snapshot, SourceName};
use crate::sources::{Reading, Told};
use crate::units::Stamp;

/// What was said of the cluster. `None`: a machine was looked at, or a task.
pub(super) fn snapshot(readings: &[Arc<Reading>]) -> Option<Snapshot> {
    let of_cluster = || readings.iter().filter(|reading| reading.from == SourceName::EcsCluster);
    of_cluster().next()?;
    let told = of_cluster().find_map(|reading| if let Some(Told::Cluster(told)) = &reading.told { Some(told) } else { None });
    let mut gaps: Vec<_> = readings.iter().flat_map(|reading| &reading.gaps).cloned().collect();
    gaps.sort_unstable();
    gaps.dedup();
    let ecs = told.map(|told| Arc::clone(&told.cluster));
    let host = Host {
        cluster: ecs.as_ref().map(|ecs| Arc::clone(&ecs.name)),
        instance: Instance { region: ecs.as_ref().map(|ecs| Arc::clone(&ecs.region)), ..Instance::default() },
        ..Host::default()
    };
    let cut = told.map_or_else(Cut::default, |told| Cut { services: told.cut.services, tasks: told.cut.tasks, ..Cut::default() });
    let at = readings.iter().fold(Stamp::default(), |at, reading| at.latest(reading.at));
    Some(Snapshot { at, scope: Scope::Cluster, host, workloads: Vec::new(), ecs, gaps, cut })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::TaskId;
    use crate::snapshot::{EcsCluster, Gap, Task, TaskState};
    use crate::sources::{ClusterTold, Tasks, ToldTask};

    fn reading(from: SourceName, told: Option<Told>, gaps: &[&str]) -> Arc<Reading> {
        let gaps = gaps.iter().map(|why| Gap { from, what: "services".into(), why: (*why).into() }).collect();
        Arc::new(Reading { from, at: Stamp::default(), told, gaps })
    }

    #[test]
    fn of_the_task_that_asks_no_row_is_made() {
        let id: TaskId = "0f9de17a6465404e8b1b2356dc13c2f8".into();
        let task = ToldTask { id: id.clone(), about: Arc::new(Task::default()), state: Arc::new(TaskState::default()), containers: Vec::new() };
        let own = reading(SourceName::EcsTask, Some(Told::Tasks(Tasks { own: Some(id), tasks: vec![Arc::new(task)], ..Tasks::default() })), &[]);
        let ecs = Arc::new(EcsCluster { name: "shop".into(), region: "eu-west-1".into(), services: None, tasks: None });
        let told = ClusterTold { cluster: ecs.clone(), cut: Cut { tasks: 7, ..Cut::default() } };
        let both = super::super::merge(&[own.clone(), reading(SourceName::EcsCluster, Some(Told::Cluster(told)), &[])], None);
        assert_eq!((both.scope, both.workloads.len(), &both.ecs, both.cut.tasks), (Scope::Cluster, 0, &Some(ecs), 7));
        assert_eq!(both.host.cluster.as_deref(), Some("shop"));
        // One that failed has no other say: the machine stays out of it.
        let failed = super::super::merge(&[own, reading(SourceName::EcsCluster, None, &["denied"])], Some(&both));
        assert_eq!((failed.scope, failed.workloads.len(), &failed.ecs), (Scope::Cluster, 0, &None));
        assert_eq!(failed.gaps.iter().map(|gap| &*gap.why).collect::<Vec<_>>(), ["denied"]);
    }
}
