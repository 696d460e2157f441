//! The calls about a whole cluster, and what of their answers is kept.

use std::net::IpAddr;
use std::sync::Arc;

use aws_sdk_ecs::types::{self, DeploymentRolloutState};
use futures_util::future::{BoxFuture, FutureExt};

use collector::identity::{TaskArn, short_name};
use collector::snapshot::{Deployments, Launch, Service, TaskKind};

use super::super::ecs::Refusal;
use super::super::services::{Ask, OneTask, Page, Place, What};
use super::super::{DESCRIBE_SERVICES, DESCRIBE_TASKS, LIST_SERVICES, LIST_TASKS};
use super::{Api, call, definition};

/// The most that one page may have (Amazon ECS: ListServices, ListTasks).
const PAGE: i32 = 100;

impl Ask for Api {
    fn list(&mut self, place: &Place, what: What, after: Option<String>) -> BoxFuture<'_, Result<Page, Refusal>> {
        let Place { region, cluster } = place.clone();
        async move {
            let client = self.access(&region).await.ecs;
            Ok(match what {
                What::Services => {
                    let request = client.list_services().cluster(&*cluster).max_results(PAGE).set_next_token(after);
                    let said = call(&LIST_SERVICES, request.send()).await?;
                    Page { next: said.next_token().map(str::to_owned), names: said.service_arns.unwrap_or_default() }
                }
                What::Tasks => {
                    let request = client.list_tasks().cluster(&*cluster).max_results(PAGE).set_next_token(after);
                    let said = call(&LIST_TASKS, request.send()).await?;
                    Page { next: said.next_token().map(str::to_owned), names: said.task_arns.unwrap_or_default() }
                }
            })
        }
        .boxed()
    }

    fn services_in(&mut self, place: &Place, names: Vec<String>) -> BoxFuture<'_, Result<Vec<Service>, Refusal>> {
        let Place { region, cluster } = place.clone();
        async move {
            let request = self.access(&region).await.ecs.describe_services().cluster(&*cluster).set_services(Some(names));
            let said = call(&DESCRIBE_SERVICES, request.send()).await?;
            Ok(said.services().iter().filter_map(service).collect())
        }
        .boxed()
    }

    fn tasks_in(&mut self, place: &Place, names: Vec<String>) -> BoxFuture<'_, Result<Vec<OneTask>, Refusal>> {
        let Place { region, cluster } = place.clone();
        async move {
            let request = self.access(&region).await.ecs.describe_tasks().cluster(&*cluster).set_tasks(Some(names));
            let said = call(&DESCRIBE_TASKS, request.send()).await?;
            Ok(said.tasks().iter().filter_map(task).collect())
        }
        .boxed()
    }
}

/// `None` without a name. A count below zero is none.
fn service(service: &types::Service) -> Option<Service> {
    let count = |count: i32| u64::try_from(count).ok();
    let (family, revision) = definition(service.task_definition()).unzip();
    Some(Service {
        name: service.service_name().and_then(short_name)?.into(),
        status: service.status().map(Into::into),
        scheduling: service.scheduling_strategy().map(|word| word.as_str().into()),
        family,
        revision,
        launch: service.launch_type().and_then(|word| Launch::parse(word.as_str())),
        providers: service.capacity_provider_strategy().iter().map(|item| item.capacity_provider().into()).collect(),
        desired: count(service.desired_count()),
        running: count(service.running_count()),
        pending: count(service.pending_count()),
        deployments: deployments(service.deployments()),
    })
}

fn deployments(all: &[types::Deployment]) -> Option<Deployments> {
    let newest = all.iter().find(|one| one.status() == Some("PRIMARY"));
    let mut counts = Deployments { failed_tasks: newest.and_then(|one| u64::try_from(one.failed_tasks()).ok()), ..Deployments::default() };
    for one in all {
        *match one.rollout_state() {
            Some(DeploymentRolloutState::Completed) => &mut counts.completed,
            Some(DeploymentRolloutState::InProgress) => &mut counts.in_progress,
            Some(DeploymentRolloutState::Failed) => &mut counts.failed,
            _ => &mut counts.unknown,
        } += 1;
    }
    (!all.is_empty()).then_some(counts)
}

/// `None` without an ARN or a status.
fn task(task: &types::Task) -> Option<OneTask> {
    let kind = TaskKind {
        service: task.group().and_then(|group| group.strip_prefix("service:")).map(Into::into),
        launch: task.launch_type().and_then(|word| Launch::parse(word.as_str())),
        provider: task.capacity_provider_name().map(Into::into),
        status: task.last_status()?.to_ascii_lowercase().into(),
    };
    Some(OneTask {
        kind,
        arn: TaskArn::parse(task.task_arn()?)?,
        family: definition(task.task_definition_arn()).map(|(family, _)| family),
        zone: task.availability_zone().map(Arc::from),
        address: address(task),
    })
}

/// That of the task's own network interface (network mode `awsvpc`), IPv4 where it has one. In other modes the API tells no address.
fn address(task: &types::Task) -> Option<IpAddr> {
    let details = task.attachments().iter().filter(|one| one.r#type() == Some("ElasticNetworkInterface")).flat_map(|one| one.details());
    let attached = details.filter(|detail| detail.name() == Some("privateIPv4Address")).filter_map(|detail| detail.value());
    let interfaces = || task.containers().iter().flat_map(|container| container.network_interfaces());
    let v4 = attached.chain(interfaces().filter_map(|one| one.private_ipv4_address()));
    v4.chain(interfaces().filter_map(|one| one.ipv6_address())).find_map(|text| text.parse().ok())
}

#[cfg(test)]
mod tests;
