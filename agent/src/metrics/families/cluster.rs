//! What only the ECS API knows of a cluster as a whole. A Tare with `scope = "cluster"` tells it, and nothing that a Tare on a machine tells.

use collector::snapshot::{ClusterTasks, Deployments, EcsCluster, Launch, Service, TaskCount};

use super::super::schema::Kind::{Gauge, Level};
use super::super::schema::Points::{Each, One};
use super::super::schema::Tier::{Essential, Standard};
use super::super::schema::{Family, Info, Label, Unit, Value};
use super::{count, info, label, metric, text};

const CLUSTER_NAME: Label = super::CLUSTER;
const SERVICE_NAME: Label = label("service", "tare.ecs.service");

/// What is known of a service.
pub static SERVICE_INFO: Info<Service> = Info {
    about: info("service.info", "What is known about the service."),
    labels: &[CLUSTER_NAME, SERVICE_NAME],
    tells: &[
        (label("family", "aws.ecs.task.family"), |s, to| text(&s.family, to)),
        (label("revision", "aws.ecs.task.revision"), |s, to| text(&s.revision, to)),
        (label("launch_type", "aws.ecs.launchtype"), |s, to| to.push_str(s.launch.map_or("", Launch::as_str))),
        (label("capacity_provider", "tare.ecs.capacity_provider"), |s, to| {
            for (at, provider) in s.providers.iter().enumerate() {
                to.push_str(if at == 0 { "" } else { "," });
                to.push_str(provider);
            }
        }),
        (label("scheduling", "tare.ecs.scheduling"), |s, to| word(s.scheduling.as_deref(), to)),
        (label("status", "tare.ecs.status"), |s, to| word(s.status.as_deref(), to)),
    ],
    tags: |_| &[],
};

/// How a service does.
pub static SERVICE: Family<Service> = Family {
    title: "Services of a cluster",
    labels: &[CLUSTER_NAME, SERVICE_NAME],
    metrics: &[
        metric("service.tasks.desired", Unit::Of("task"), Level, Essential, "Tasks that the service should have.", One(|s| count(s.desired))),
        metric("service.tasks.running", Unit::Of("task"), Level, Essential, "Its tasks that run.", One(|s| count(s.running))),
        metric("service.tasks.pending", Unit::Of("task"), Level, Essential, "Its tasks on their way to run.", One(|s| count(s.pending))),
        metric(
            "service.deployments",
            Unit::Of("deployment"),
            Level,
            Standard,
            "Its deployments, by how far they are; unknown where AWS does not say it.",
            Each(
                label("rollout", "tare.ecs.rollout"),
                &[
                    ("completed", |s| deployments(s, |all| all.completed)),
                    ("in_progress", |s| deployments(s, |all| all.in_progress)),
                    ("failed", |s| deployments(s, |all| all.failed)),
                    ("unknown", |s| deployments(s, |all| all.unknown)),
                ],
            ),
        ),
        metric(
            "service.deployment.failed_tasks",
            Unit::Of("task"),
            Gauge,
            Standard,
            "Tasks of its newest deployment that did not come to run.",
            One(|s| count(s.deployments?.failed_tasks)),
        ),
    ],
};

/// Tasks, counted.
pub static TASKS: Family<TaskCount> = Family {
    title: "Tasks of a cluster",
    labels: &[
        CLUSTER_NAME,
        SERVICE_NAME,
        label("launch_type", "aws.ecs.launchtype"),
        label("capacity_provider", "tare.ecs.capacity_provider"),
        label("status", "tare.ecs.status"),
    ],
    metrics: &[metric("cluster.tasks", Unit::Of("task"), Level, Essential, "Tasks that are meant to run, by how far they are.", One(|t| count(Some(t.tasks))))],
};

/// The cluster itself.
pub static CLUSTER: Family<EcsCluster> = Family {
    title: "Cluster",
    labels: &[CLUSTER_NAME],
    metrics: &[
        metric("cluster.services", Unit::Of("service"), Level, Standard, "Its services.", One(|c| count(Some(c.services.as_ref()?.is.len() as u64)))),
        metric(
            "cluster.tares",
            Unit::Of("task"),
            Level,
            Standard,
            "Its tasks that are Tares and run: those with a known address stand at /sd.",
            Each(label("address", "tare.address"), &[("known", |c| tares(c, true)), ("unknown", |c| tares(c, false))]),
        ),
    ],
};

/// AWS's word in small letters.
fn word(word: Option<&str>, to: &mut String) {
    to.extend(word.unwrap_or_default().chars().map(|letter| letter.to_ascii_lowercase()));
}

fn deployments(service: &Service, of: fn(&Deployments) -> u64) -> Option<Value> {
    count(service.deployments.as_ref().map(of))
}

fn tares(cluster: &EcsCluster, known: bool) -> Option<Value> {
    let ClusterTasks { tares, .. } = &*cluster.tasks.as_ref()?.is;
    count(Some(tares.iter().filter(|tare| tare.address.is_some() == known).count() as u64))
}
