//! The ECS API on a loopback port, as far as a whole cluster is asked about: pages, batches and refusals the way AWS has them (AWS JSON 1.1).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// A cluster called `shop`. Dropped, it is gone.
pub struct Cluster {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    services: Mutex<Vec<Value>>,
    tasks: Mutex<Vec<Value>>,
    /// Actions that are answered with this error.
    refused: Mutex<BTreeMap<&'static str, &'static str>>,
    asked: Mutex<Vec<String>>,
    over: Mutex<bool>,
}

/// An ARN of this cluster.
pub fn arn(of: &str) -> String {
    format!("arn:aws:ecs:eu-west-1:111122223333:{of}")
}

/// A service that should have so many tasks and has so many.
pub fn service(name: &str, desired: u32, running: u32) -> Value {
    json!({
        "serviceName": name, "serviceArn": arn(&format!("service/shop/{name}")), "status": "ACTIVE", "desiredCount": desired, "runningCount": running,
        "pendingCount": desired - running, "launchType": "FARGATE", "schedulingStrategy": "REPLICA", "taskDefinition": arn(&format!("task-definition/{name}:3")),
        "deployments": [{"status": "PRIMARY", "rolloutState": "COMPLETED", "failedTasks": 1}],
    })
}

/// A task of a service that runs, with an address of its own or without.
pub fn task(number: u32, service: &str, address: Option<&str>) -> Value {
    let details = address.map(|address| json!([{"name": "privateIPv4Address", "value": address}]));
    json!({
        "taskArn": arn(&format!("task/shop/{number:032x}")), "clusterArn": arn("cluster/shop"), "group": format!("service:{service}"), "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING", "launchType": "FARGATE", "capacityProviderName": "FARGATE_SPOT", "availabilityZone": "eu-west-1a",
        "taskDefinitionArn": arn(&format!("task-definition/{service}:3")),
        "attachments": details.map_or(json!([]), |details| json!([{"type": "ElasticNetworkInterface", "details": details}])),
    })
}

impl Cluster {
    /// Starts it.
    pub fn start(services: Vec<Value>, tasks: Vec<Value>) -> Cluster {
        let state = State { services: Mutex::new(services), tasks: Mutex::new(tasks), ..State::default() };
        let (listener, state) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(state));
        let (address, serving) = (listener.local_addr().unwrap(), state.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if *serving.over.lock().unwrap() {
                    return;
                }
                let state = serving.clone();
                // Who hangs up early is no trouble of ours.
                thread::spawn(move || while state.answer(&stream).is_ok_and(|open| open) {});
            }
        });
        Cluster { address, state }
    }

    /// The value of `AWS_ENDPOINT_URL_ECS`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers an action with an error from now on.
    pub fn refuse(&self, action: &'static str, error: &'static str) {
        self.state.refused.lock().unwrap().insert(action, error);
    }

    /// The actions that were asked for since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        *self.state.over.lock().unwrap() = true;
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    /// One request. Whether another may follow.
    fn answer(&self, stream: &TcpStream) -> std::io::Result<bool> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? <= 2 {
                break;
            }
            head.push(line.trim_end().to_ascii_lowercase());
        }
        let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned();
        let Ok(length) = header("content-length").parse() else { return Ok(false) };
        let mut question = vec![0; length];
        reader.read_exact(&mut question)?;
        let question: Value = serde_json::from_slice(&question).unwrap_or_default();
        let target = header("x-amz-target");
        let action = target.rsplit('.').next().unwrap_or_default().to_owned();
        self.asked.lock().unwrap().push(action.clone());
        let refused = self.refused.lock().unwrap().iter().find(|(of, _)| of.eq_ignore_ascii_case(&action)).map(|(_, error)| *error);
        let (status, body) = match refused {
            Some(error) => (400, json!({"__type": error, "message": "as told"})),
            None if question["cluster"] != "shop" => (400, json!({"__type": "ClusterNotFoundException", "message": "Cluster not found."})),
            None => (200, self.say(&action, &question)),
        };
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let mut stream = stream;
        stream.write_all((head + &body).as_bytes())?;
        Ok(false)
    }

    fn say(&self, action: &str, question: &Value) -> Value {
        let (services, tasks) = (self.services.lock().unwrap(), self.tasks.lock().unwrap());
        // Pages of two, so that there are several.
        let page = |all: &[Value], id: &str, member: &str| {
            let from: usize = question["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
            let to = all.len().min(from + 2);
            let names: Vec<&Value> = all[from..to].iter().map(|one| &one[id]).collect();
            json!({member: names, "nextToken": (to < all.len()).then(|| to.to_string())})
        };
        let some = |all: &[Value], id: &str, member: &str| {
            let wanted = question[member].as_array().cloned().unwrap_or_default();
            json!({member: all.iter().filter(|one| wanted.contains(&one[id])).collect::<Vec<_>>(), "failures": []})
        };
        match action {
            "listservices" => page(&services, "serviceArn", "serviceArns"),
            "listtasks" => page(&tasks, "taskArn", "taskArns"),
            "describeservices" => some(&services, "serviceArn", "services"),
            "describetasks" => some(&tasks, "taskArn", "tasks"),
            _ => json!({}),
        }
    }
}
