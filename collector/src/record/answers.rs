//! What is kept of the answers of Docker and of the metadata service of EC2: the members on the lists below and nothing else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::http::Client;
use crate::identity::ContainerId;
use crate::roots::Address;
use crate::sources::imds;

/// One answer, in bytes.
const LIMIT: usize = 16 << 20;
/// For all answers of one endpoint in one look.
const PATIENCE: Duration = Duration::from_secs(30);

const LISTED: [&[&str]; 15] = [
    &["Id"],
    &["Names"],
    &["Image"],
    &["ImageID"],
    &["Created"],
    &["State"],
    &["Status"],
    &["HostConfig", "NetworkMode"],
    &["Labels", "com.docker.compose.project"],
    &["Labels", "com.docker.compose.service"],
    &["Labels", "com.amazonaws.ecs.task-arn"],
    &["Labels", "com.amazonaws.ecs.container-name"],
    &["Labels", "com.amazonaws.ecs.task-definition-family"],
    &["Labels", "com.amazonaws.ecs.task-definition-version"],
    &["Labels", "com.amazonaws.ecs.cluster"],
];
const INSPECTED: [&[&str]; 35] = [
    &["Id"],
    &["Created"],
    &["Name"],
    &["RestartCount"],
    &["Image"],
    &["State", "Status"],
    &["State", "Running"],
    &["State", "Paused"],
    &["State", "Restarting"],
    &["State", "OOMKilled"],
    &["State", "Dead"],
    &["State", "Pid"],
    &["State", "ExitCode"],
    &["State", "StartedAt"],
    &["State", "FinishedAt"],
    &["State", "Health", "Status"],
    &["HostConfig", "NetworkMode"],
    &["HostConfig", "CpuShares"],
    &["HostConfig", "CpusetCpus"],
    &["HostConfig", "Memory"],
    &["HostConfig", "MemorySwap"],
    &["HostConfig", "NanoCpus"],
    &["HostConfig", "CpuPeriod"],
    &["HostConfig", "CpuQuota"],
    &["HostConfig", "MemoryReservation"],
    &["HostConfig", "PidsLimit"],
    &["HostConfig", "CgroupParent"],
    &["Config", "Image"],
    &["Config", "Labels", "com.docker.compose.project"],
    &["Config", "Labels", "com.docker.compose.service"],
    &["Config", "Labels", "com.amazonaws.ecs.task-arn"],
    &["Config", "Labels", "com.amazonaws.ecs.container-name"],
    &["Config", "Labels", "com.amazonaws.ecs.task-definition-family"],
    &["Config", "Labels", "com.amazonaws.ecs.task-definition-version"],
    &["Config", "Labels", "com.amazonaws.ecs.cluster"],
];
const VERSION: [&[&str]; 4] = [&["Version"], &["ApiVersion"], &["MinAPIVersion"], &["Os"]];
const INFO: [&[&str]; 3] = [&["DockerRootDir"], &["CgroupDriver"], &["CgroupVersion"]];

const MEASURED: [&[&str]; 15] = [
    &["read"],
    &["preread"],
    &["cpu_stats", "online_cpus"],
    &["cpu_stats", "cpu_usage", "total_usage"],
    &["cpu_stats", "cpu_usage", "usage_in_usermode"],
    &["cpu_stats", "cpu_usage", "usage_in_kernelmode"],
    &["cpu_stats", "throttling_data", "periods"],
    &["cpu_stats", "throttling_data", "throttled_periods"],
    &["cpu_stats", "throttling_data", "throttled_time"],
    &["memory_stats", "usage"],
    &["memory_stats", "max_usage"],
    &["memory_stats", "failcnt"],
    &["memory_stats", "limit"],
    &["pids_stats", "current"],
    &["pids_stats", "limit"],
];
const COUNTERS: [&[&str]; 8] =
    [&["rx_bytes"], &["rx_packets"], &["rx_errors"], &["rx_dropped"], &["tx_bytes"], &["tx_packets"], &["tx_errors"], &["tx_dropped"]];

/// What EC2 announces to a Spot instance, and what is kept of it.
const NOTICES: [(&str, &[&[&str]]); 2] = [(imds::INTERRUPTION, &[&["action"], &["time"]]), (imds::REBALANCE, &[&["noticeTime"]])];

/// Stats asked for at once: Docker 20.10 makes each wait up to a second.
const AT_ONCE: usize = 32;
const STATS: &str = "stream=false&one-shot=true";

const LIST: &str = "/containers/json?all=true";
/// How the questions for one container end.
pub(super) const INSPECT: &str = "/json";

/// Docker's answers, and the first process of each container.
pub(super) async fn docker(address: &Address) -> (Map<String, Value>, HashMap<ContainerId, u32>) {
    let (mut answers, mut pids) = (Map::new(), HashMap::new());
    if *address == Address::Nowhere {
        return (answers, pids);
    }
    let (client, by) = (Client::new(address.clone()), Instant::now() + PATIENCE);
    for (path, kept) in [("/version", &VERSION[..]), ("/info", &INFO[..])] {
        answers.extend(ask(&client, path, by).await.map(|(answer, body)| (format!("GET {path}"), answered(answer, pick(&body, kept)))));
    }
    let Some((status, list)) = ask(&client, LIST, by).await else { return (answers, pids) };
    let is_id = |id: &&str| is_id(id);
    let rows: Vec<(&str, &Value)> = list.as_array().into_iter().flatten().filter_map(|row| Some((row["Id"].as_str().filter(is_id)?, row))).collect();
    for (id, _) in &rows {
        let path = format!("/containers/{id}{INSPECT}");
        let Some((status, body)) = ask(&client, &path, by).await else { continue };
        let pid = body["State"]["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        pids.extend(pid.map(|pid| (ContainerId::from(*id), pid)));
        answers.insert(format!("GET {path}"), answered(status, pick(&body, &INSPECTED)));
    }
    answers.insert(format!("GET {LIST}"), answered(status, rows.iter().map(|(_, row)| pick(row, &LISTED)).collect()));
    (answers, pids)
}

/// Whether labels among the kept answers name an ECS task.
pub(super) fn speak_of_tasks(docker: &Map<String, Value>) -> bool {
    docker.values().any(|answer| answer["body"]["Config"]["Labels"].get("com.amazonaws.ecs.task-arn").is_some())
}

/// What Docker's stats say of these containers: asked only where the cgroup tree does not show them.
pub(super) async fn stats(address: &Address, of: &[&ContainerId]) -> Map<String, Value> {
    let (client, by) = (Client::new(address.clone()), Instant::now() + PATIENCE);
    let client = &client;
    let asked = of.iter().map(|id| {
        let path = format!("/containers/{id}/stats?{STATS}");
        async move { (ask(client, &path, by).await, path) }
    });
    let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    answers.into_iter().filter_map(|(answer, path)| answer.map(|(status, body)| (format!("GET {path}"), answered(status, measured(&body))))).collect()
}

/// Whether it can stand in a path: what cannot is no container's id, and left out.
pub(super) fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The figures of one answer that are read.
pub(super) fn measured(body: &Value) -> Value {
    let mut kept = pick(body, &MEASURED);
    if let Some(stat) = body["memory_stats"]["stats"].as_object() {
        // Names of the kernel's, each with a number.
        kept["memory_stats"]["stats"] = stat.iter().filter(|(_, value)| value.is_number()).map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    for list in ["io_service_bytes_recursive", "io_serviced_recursive"] {
        let rows = body["blkio_stats"][list].as_array();
        kept["blkio_stats"][list] = rows.map_or(Value::Null, |rows| rows.iter().map(|row| pick(row, &[&["major"], &["minor"], &["op"], &["value"]])).collect());
    }
    if let Some(networks) = body["networks"].as_object() {
        kept["networks"] = networks.iter().map(|(name, counters)| (name.clone(), pick(counters, &COUNTERS))).collect();
    }
    kept
}

/// The metadata service's answers, where it is one. The account's number is not among them.
pub(super) async fn instance(address: &Address) -> Map<String, Value> {
    let client = Client::new(address.clone());
    let by = || Instant::now() + Duration::from_secs(1);
    let token = match client.put_token(imds::TOKEN, &[("x-aws-ec2-metadata-token-ttl-seconds", "60")], by(), imds::ANSWER_LIMIT).await {
        Err(Error::Status { status, .. }) => return Map::from_iter([(format!("PUT {}", imds::TOKEN), answered(status, Value::Null))]),
        token => token.unwrap_or_default(),
    };
    let Some(token) = imds::word(&token) else { return Map::new() };
    let mut answers = Map::from_iter([(format!("PUT {}", imds::TOKEN), answered(200, "recorded-token".into()))]);
    for name in imds::DATA {
        let path = format!("{}{name}", imds::META_DATA);
        if let Ok(body) = client.get(&path, &[("x-aws-ec2-metadata-token", token)], by(), imds::ANSWER_LIMIT).await
            && let Some(word) = imds::word(&body)
        {
            answers.insert(format!("GET {path}"), answered(200, word.into()));
        }
    }
    for (path, kept) in NOTICES {
        if let Ok(body) = client.get(path, &[("x-aws-ec2-metadata-token", token)], by(), imds::ANSWER_LIMIT).await
            && let Ok(notice) = serde_json::from_slice::<Value>(&body)
        {
            answers.insert(format!("GET {path}"), answered(200, pick(&notice, kept)));
        }
    }
    answers
}

/// Status and body; of an error the status alone. `None`: no answer in time, or none that can be read.
pub(super) async fn ask(client: &Client, path: &str, by: Instant) -> Option<(u16, Value)> {
    match client.get(path, &[], by, LIMIT).await {
        Ok(body) => Some((200, serde_json::from_slice(&body).ok()?)),
        Err(Error::Status { status, .. }) => Some((status, Value::Null)),
        Err(_) => None,
    }
}

fn answered(status: u16, body: Value) -> Value {
    if status == 200 { json!({ "status": status, "body": body }) } else { json!({ "status": status }) }
}

/// A copy of `from` that holds only the listed members, and of them only plain values: what should be a word and is an object hides something.
pub(super) fn pick(from: &Value, kept: &[&[&str]]) -> Value {
    let mut picked = json!({});
    for path in kept {
        let Some(found) = path.iter().try_fold(from, |value, name| value.get(name)).filter(|found| is_plain(found)) else { continue };
        let place = path.iter().fold(&mut picked, |value, name| {
            if !value.is_object() {
                *value = json!({});
            }
            &mut value[*name]
        });
        *place = found.clone();
    }
    picked
}

/// A value, or a list of words.
fn is_plain(value: &Value) -> bool {
    value.as_array().map_or(!value.is_object(), |list| list.iter().all(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_kept() {
        let inspect = json!({
            "Id": "a1",
            "Name": { "hidden": "CANARY" },
            "Config": { "Env": ["SECRET=CANARY"], "Cmd": ["--password=CANARY"], "Image": "app:1", "Labels": { "com.docker.compose.project": "shop", "note": "CANARY" } },
            "State": { "Status": "running", "Health": { "Status": "healthy", "Log": [{ "Output": "CANARY" }] } },
        });
        let kept = pick(&inspect, &INSPECTED);
        assert!(!kept.to_string().contains("CANARY"), "{kept}");
        assert_eq!(kept["Config"], json!({ "Image": "app:1", "Labels": { "com.docker.compose.project": "shop" } }));
        assert_eq!(kept["State"]["Health"], json!({ "Status": "healthy" }));
        assert_eq!(pick(&json!({ "Id": "a1", "Labels": null }), &LISTED), json!({ "Id": "a1" }));
        assert_eq!(pick(&json!({ "Names": ["/web"] }), &LISTED), json!({ "Names": ["/web"] }));
        let stats = json!({ "read": "now", "name": "CANARY", "id": "CANARY", "pids_stats": { "current": 2, "x": "CANARY" },
            "memory_stats": { "usage": 1, "stats": { "anon": 5, "x": "CANARY", "y": { "z": "CANARY" } } }, "networks": { "eth0": { "rx_bytes": 1, "x": "CANARY" } },
            "blkio_stats": { "io_service_bytes_recursive": [{ "major": 8, "minor": 0, "op": "read", "value": 1, "x": "CANARY" }], "io_serviced_recursive": null, "x": "CANARY" } });
        let kept = measured(&stats);
        assert!(!kept.to_string().contains("CANARY"), "{kept}");
        assert_eq!((&kept["memory_stats"]["stats"], &kept["networks"]), (&json!({ "anon": 5 }), &json!({ "eth0": { "rx_bytes": 1 } })));
        assert_eq!(kept["blkio_stats"]["io_service_bytes_recursive"], json!([{ "major": 8, "minor": 0, "op": "read", "value": 1 }]));
    }
}
