//! What is kept of the answers of Docker and of the metadata service: the members on the lists below and nothing else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

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

const LISTED: [&[&str]; 10] = [
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
];
const INSPECTED: [&[&str]; 30] = [
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
];
const VERSION: [&[&str]; 4] = [&["Version"], &["ApiVersion"], &["MinAPIVersion"], &["Os"]];
const INFO: [&[&str]; 3] = [&["DockerRootDir"], &["CgroupDriver"], &["CgroupVersion"]];

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
    // The id stands in a path: what is none is left out.
    let is_id = |id: &&str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
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

/// The metadata service's answers, where it is one. The account's number is not among them.
pub(super) async fn instance(address: &Address) -> Map<String, Value> {
    let client = Client::new(address.clone());
    let by = || Instant::now() + Duration::from_secs(1);
    let Ok(token) = client.put_token(imds::TOKEN, &[("x-aws-ec2-metadata-token-ttl-seconds", "60")], by(), imds::ANSWER_LIMIT).await else {
        return Map::new();
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
    answers
}

/// Status and body; of an error the status alone. `None`: no answer in time, or none that can be read.
async fn ask(client: &Client, path: &str, by: Instant) -> Option<(u16, Value)> {
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
fn pick(from: &Value, kept: &[&[&str]]) -> Value {
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
    }
}
