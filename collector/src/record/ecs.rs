//! What is kept of what ECS says: of the task metadata endpoint's and of the agent's answers, the members on the lists below and nothing else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answers::{ask, is_id, measured, pick};
use crate::http::Client;
use crate::roots::{Address, Endpoint};

/// Neither tags nor labels nor addresses: who the task is, its size and its state.
const TASK: [&[&str]; 20] = [
    &["Cluster"],
    &["TaskARN"],
    &["Family"],
    &["Revision"],
    &["ServiceName"],
    &["Group"],
    &["DesiredStatus"],
    &["KnownStatus"],
    &["Limits", "CPU"],
    &["Limits", "Memory"],
    &["PullStartedAt"],
    &["PullStoppedAt"],
    &["ExecutionStoppedAt"],
    &["AvailabilityZone"],
    &["AvailabilityZoneID"],
    &["LaunchType"],
    &["EphemeralStorageMetrics", "Utilized"],
    &["EphemeralStorageMetrics", "Reserved"],
    &["ClockDrift", "ClockErrorBound"],
    &["ClockDrift", "ClockSynchronizationStatus"],
];
const CONTAINER: [&[&str]; 14] = [
    &["DockerId"],
    &["Name"],
    &["Image"],
    &["ImageID"],
    &["KnownStatus"],
    &["ExitCode"],
    &["Limits", "CPU"],
    &["Limits", "Memory"],
    &["CreatedAt"],
    &["StartedAt"],
    &["FinishedAt"],
    &["Type"],
    &["Health", "status"],
    &["RestartCount"],
];
const AGENT: [&[&str]; 3] = [&["Cluster"], &["ContainerInstanceArn"], &["Version"]];
const AGENTS_TASK: [&[&str]; 5] = [&["Arn"], &["DesiredStatus"], &["KnownStatus"], &["Family"], &["Version"]];
const AGENTS_CONTAINER: [&[&str]; 4] = [&["DockerId"], &["Name"], &["Image"], &["ImageID"]];

/// What is kept of a body.
type Keep = fn(&Value) -> Value;

/// What the metadata endpoint says of our own task, or of all tasks of a Managed Instance, by the paths that answered.
pub(super) async fn task(at: &Endpoint) -> Vec<(&'static str, Value)> {
    let paths: [(&str, Keep); 4] = [("/task", told), ("/task/stats", used), ("/tasks", |tasks| each(tasks, told)), ("/tasks/stats", |stats| each(stats, used))];
    said(&at.address, &at.base, &paths).await
}

/// What the ECS agent says of itself and of its tasks: the first that answers.
pub(super) async fn agent(addresses: &[Address]) -> Vec<(&'static str, Value)> {
    let paths: [(&str, Keep); 2] = [
        ("/v1/metadata", |agent| pick(agent, &AGENT)),
        ("/v1/tasks", |body| json!({ "Tasks": each(&body["Tasks"], |task| with_containers(task, &AGENTS_TASK, |one| pick(one, &AGENTS_CONTAINER))) })),
    ];
    for address in addresses {
        let said = said(address, "", &paths).await;
        if !said.is_empty() {
            return said;
        }
    }
    Vec::new()
}

async fn said(address: &Address, base: &str, paths: &[(&'static str, Keep)]) -> Vec<(&'static str, Value)> {
    let mut said = Vec::new();
    if *address == Address::Nowhere {
        return said;
    }
    let client = Client::new(address.clone());
    for (path, keep) in paths {
        // They are on the machine itself: what takes longer is not there.
        if let Some((200, body)) = ask(&client, &format!("{base}{path}"), Instant::now() + Duration::from_secs(1)).await {
            said.push((*path, keep(&body)));
        }
    }
    said
}

fn told(task: &Value) -> Value {
    with_containers(task, &TASK, |container| {
        let mut kept = pick(container, &CONTAINER);
        kept["Networks"] = each(&container["Networks"], |network| pick(network, &[&["NetworkMode"]]));
        kept
    })
}

fn with_containers(task: &Value, listed: &[&[&str]], container: Keep) -> Value {
    let mut kept = pick(task, listed);
    kept["Containers"] = each(&task["Containers"], container);
    kept
}

/// Stats by id. A container without any stays as it was told: `null` or `{}`.
fn used(stats: &Value) -> Value {
    let Some(stats) = stats.as_object() else { return Value::Null };
    let kept = |one: &Value| match one.as_object() {
        Some(figures) if figures.is_empty() => json!({}),
        Some(_) => measured(one),
        None => Value::Null,
    };
    stats.iter().filter(|(id, _)| is_id(id)).map(|(id, one)| (id.clone(), kept(one))).collect()
}

fn each(list: &Value, keep: Keep) -> Value {
    list.as_array().map_or(Value::Null, |list| list.iter().map(keep).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_task_who_it_is_and_what_it_uses_are_kept() {
        let container = json!({
            "DockerId": "a1-2", "Name": "app", "DockerName": "CANARY", "Labels": { "com.amazonaws.ecs.cluster": "shop", "note": "CANARY" }, "Type": { "x": "CANARY" },
            "Limits": { "CPU": 256, "x": "CANARY" }, "LogOptions": { "splunk-token": "CANARY" }, "Health": { "status": "HEALTHY", "output": "CANARY" },
            "Networks": [{ "NetworkMode": "awsvpc", "PrivateDNSName": "CANARY" }], "Volumes": [{ "Source": "CANARY" }], "ContainerARN": "CANARY",
        });
        let task = json!({
            "TaskARN": "arn", "Limits": { "CPU": 0.25, "Memory": 512 }, "TaskTags": { "owner": "CANARY" }, "ContainerInstanceTags": { "x": "CANARY" },
            "Errors": [{ "ErrorMessage": "CANARY" }], "VPCID": "CANARY", "Containers": [container, "CANARY", null],
        });
        let kept = json!({
            "TaskARN": "arn", "Limits": { "CPU": 0.25, "Memory": 512 },
            "Containers": [
                { "DockerId": "a1-2", "Name": "app", "Limits": { "CPU": 256 }, "Health": { "status": "HEALTHY" }, "Networks": [{ "NetworkMode": "awsvpc" }] },
                { "Networks": null }, { "Networks": null },
            ],
        });
        assert_eq!((told(&task), each(&json!([task]), told)), (kept.clone(), json!([kept])));
        let stats =
            json!({ "a1-2": { "read": "now", "name": "CANARY", "preread_x": "CANARY" }, "b": null, "c": {}, "d": "CANARY", "../CANARY": { "read": "now" } });
        let kept = used(&stats);
        assert!(!kept.to_string().contains("CANARY"), "{kept}");
        assert_eq!((&kept["a1-2"]["read"], &kept["b"], &kept["c"], &kept["d"]), (&json!("now"), &Value::Null, &json!({}), &Value::Null));
        assert_eq!(
            [used(&json!("CANARY")), each(&json!({ "x": "CANARY" }), used), told(&json!("CANARY"))["Containers"].clone()],
            [Value::Null, Value::Null, Value::Null]
        );
    }
}
