//! The calls about a whole cluster against a fake ECS endpoint.

use serde_json::{Value, json};

use super::super::super::fake;
use super::super::tests::{checked, wait};
use super::*;

fn place() -> Place {
    Place { region: "eu-west-1".into(), cluster: "shop".into() }
}

/// One call that is answered so: what came of it, and what was asked.
fn ask<T>(
    action: &'static str,
    (status, body): (u16, Value),
    call: impl for<'a> FnOnce(&'a mut Api) -> BoxFuture<'a, Result<T, Refusal>>,
) -> (Result<T, Refusal>, Value) {
    let (address, server) = fake::serve(vec![(status, body.to_string())]);
    let mut api = Api::new(Vec::new(), Some(address));
    let answer = wait(call(&mut api));
    (answer, checked(server.join().unwrap(), &action.to_ascii_lowercase()))
}

fn arn(of: &str) -> String {
    format!("arn:aws:ecs:eu-west-1:111122223333:{of}")
}

#[test]
fn a_page_names_what_comes_next() {
    let pages = [(What::Services, "ListServices", "serviceArns"), (What::Tasks, "ListTasks", "taskArns")];
    for (what, action, member) in pages {
        let body = json!({member: ["a", "b"], "nextToken": "more"});
        let (page, asked) = ask(action, (200, body), |api| api.list(&place(), what, Some("here".into())));
        assert_eq!(page.unwrap(), Page { names: vec!["a".into(), "b".into()], next: Some("more".into()) });
        assert_eq!(asked, json!({"cluster": "shop", "maxResults": 100, "nextToken": "here"}));
        let (page, asked) = ask(action, (200, json!({})), |api| api.list(&place(), what, None));
        assert_eq!((page.unwrap(), asked), (Page::default(), json!({"cluster": "shop", "maxResults": 100})));
    }
}

#[test]
fn a_service_is_known_to_its_deployments() {
    let web = json!({
        "serviceName": "web", "status": "ACTIVE", "desiredCount": 4, "runningCount": 3, "pendingCount": 0, "schedulingStrategy": "REPLICA",
        "taskDefinition": arn("task-definition/checkout:7"),
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 4, "base": 0}, {"capacityProvider": "FARGATE", "weight": 1}],
        "deployments": [
            {"status": "PRIMARY", "rolloutState": "IN_PROGRESS", "failedTasks": 2}, {"status": "ACTIVE", "rolloutState": "COMPLETED", "failedTasks": 9},
            {"status": "ACTIVE"},
        ],
    });
    let blue = json!({"serviceName": "blue", "launchType": "EC2", "desiredCount": -1, "deployments": [], "events": [{"message": "secret"}]});
    let body = json!({"services": [web, blue, {"status": "ACTIVE"}], "failures": [{"reason": "MISSING"}]});
    let (services, asked) = ask("DescribeServices", (200, body), |api| api.services_in(&place(), vec!["a".into()]));
    assert_eq!(asked, json!({"cluster": "shop", "services": ["a"]}));
    let expected = Service {
        name: "web".into(),
        status: Some("ACTIVE".into()),
        scheduling: Some("REPLICA".into()),
        family: Some("checkout".into()),
        revision: Some("7".into()),
        launch: None,
        providers: vec!["FARGATE_SPOT".into(), "FARGATE".into()],
        desired: Some(4),
        running: Some(3),
        pending: Some(0),
        deployments: Some(Deployments { completed: 1, in_progress: 1, failed: 0, unknown: 1, failed_tasks: Some(2) }),
    };
    let other = Service { name: "blue".into(), launch: Some(Launch::Ec2), desired: None, running: Some(0), pending: Some(0), ..Service::default() };
    assert_eq!(services.unwrap(), [expected, other]);
}

#[test]
fn a_task_has_the_address_of_its_own_interface_or_none() {
    let id = |number: u8| arn(&format!("task/shop/{number:032x}"));
    let eni = json!([{"type": "other", "details": [{"name": "privateIPv4Address", "value": "10.9.9.9"}]},
        {"type": "ElasticNetworkInterface", "details": [{"name": "subnetId", "value": "s"}, {"name": "privateIPv4Address", "value": "10.0.0.7"}]}]);
    let v6 = json!([{"networkInterfaces": [{"ipv6Address": "fd00::7"}]}]);
    let body = json!({"tasks": [
        {"taskArn": id(1), "group": "service:tare", "launchType": "FARGATE", "capacityProviderName": "FARGATE_SPOT", "lastStatus": "RUNNING",
            "availabilityZone": "eu-west-1a", "taskDefinitionArn": arn("task-definition/tare:3"), "attachments": eni},
        {"taskArn": id(2), "lastStatus": "PENDING", "group": "family:batch", "containers": v6},
        {"taskArn": id(3), "lastStatus": "RUNNING", "launchType": "EC2", "attachments": [{"type": "ElasticNetworkInterface", "details": [{"name": "privateIPv4Address", "value": "x"}]}]},
        {"taskArn": "nonsense", "lastStatus": "RUNNING"}, {"taskArn": id(4)},
    ]});
    let (tasks, asked) = ask("DescribeTasks", (200, body), |api| api.tasks_in(&place(), vec![id(1)]));
    assert_eq!(asked, json!({"cluster": "shop", "tasks": [id(1)]}));
    let tasks = tasks.unwrap();
    let kind = TaskKind { service: Some("tare".into()), launch: Some(Launch::Fargate), provider: Some("FARGATE_SPOT".into()), status: "running".into() };
    assert_eq!((&tasks[0].kind, tasks[0].family.as_deref(), tasks[0].zone.as_deref()), (&kind, Some("tare"), Some("eu-west-1a")));
    let addresses: Vec<_> = tasks.iter().map(|task| task.address.map(|address| address.to_string())).collect();
    assert_eq!(addresses, [Some("10.0.0.7".to_owned()), Some("fd00::7".to_owned()), None]);
    assert_eq!(tasks[1].kind, TaskKind { status: "pending".into(), ..TaskKind::default() });
}

#[test]
fn a_missing_right_is_named_with_what_it_takes() {
    let denied = || (400, json!({"__type": "AccessDeniedException", "message": "no identity-based policy"}));
    let (said, _) = ask("ListServices", denied(), |api| api.list(&place(), What::Services, None));
    let Err(Refusal::Denied(why)) = said else { panic!("{said:?}") };
    assert!(why.starts_with("ecs:ListServices is not allowed") && why.contains("allow it on * ("), "{why}");
    let (said, _) = ask("DescribeServices", denied(), |api| api.services_in(&place(), vec!["a".into()]));
    let Err(Refusal::Denied(why)) = said else { panic!("{said:?}") };
    assert!(why.contains("arn:*:ecs:*:*:service/*"), "{why}");
}
