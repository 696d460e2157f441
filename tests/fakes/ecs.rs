//! What ECS tells on a loopback port, the way real ones answer and fail: a task on each of its platforms by the task metadata endpoint, version 4, and a machine by its
//! agent's introspection.
//!
//! Shapes: amazon-ecs-agent, `ecs-agent/tmds/handlers/v4/state/response.go`, `ecs-agent/stats` and `ecs-agent/introspection/v1/responses.go`. The word [`CANARY`] stands wherever a secret could.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Must never get out.
pub const CANARY: &str = "CANARY-7f3a";
/// The path of the asking container.
const BASE: &str = "/v4/x";

/// How answers go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection stays open and nothing comes.
    Silence,
    /// The connection is reset.
    Reset,
    /// 429, as the agent's limiter says it.
    Limited,
    /// 500 with a JSON string.
    Failed,
    /// The first half of the JSON, as if it were all.
    Half,
    /// Half of what was announced, then the end.
    Cut,
    /// A proxy's page.
    Html,
    /// Bytes that are no text.
    Garbage,
    /// A body without end.
    Endless,
    /// A byte a second: no pause is long, and it never comes to an end.
    Dribble,
}

/// What one platform answers, by path.
pub type Platform = BTreeMap<String, Value>;

/// The endpoint. Dropped, it is gone.
pub struct Endpoint {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    answers: Mutex<Platform>,
    fault: Mutex<Option<(&'static str, Fault)>>,
    asked: Mutex<Vec<String>>,
    hears: Condvar,
    over: Mutex<bool>,
}

impl Endpoint {
    /// Starts it where nothing is wrong.
    pub fn start(platform: Platform) -> Endpoint {
        let state = State { answers: Mutex::new(platform), fault: Mutex::default(), asked: Mutex::default(), hears: Condvar::new(), over: Mutex::default() };
        let (listener, state) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(state));
        let (address, serving) = (listener.local_addr().unwrap(), state.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if *serving.over.lock().unwrap() {
                    return;
                }
                let state = serving.clone();
                // Who hangs up early is no trouble of ours.
                thread::spawn(move || drop(state.answer(stream)));
            }
        });
        Endpoint { address, state }
    }

    /// Where it listens.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The value of `ECS_CONTAINER_METADATA_URI_V4`.
    pub fn url(&self) -> String {
        format!("http://{}{BASE}", self.address)
    }

    /// Changes one answer.
    pub fn says(&self, path: &str, body: Value) {
        self.state.answers.lock().unwrap().insert(path.into(), body);
    }

    /// Lets the answers to one path go wrong, `""` to all; or right again.
    pub fn fault(&self, fault: Option<(&'static str, Fault)>) {
        *self.state.fault.lock().unwrap() = fault;
    }

    /// Waits for the next question; whether one came within so much time.
    pub fn is_asked(&self, within: Duration) -> bool {
        let asked = self.state.asked.lock().unwrap();
        let before = asked.len();
        let asked = self.state.hears.wait_timeout_while(asked, within, |asked| asked.len() <= before).unwrap().0;
        asked.len() > before
    }

    /// The paths that were asked for since the last call, without the base.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        *self.state.over.lock().unwrap() = true;
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        // One byte at a time: what stays unread makes the kernel reset the connection when it is closed.
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let path = line.split(' ').nth(1).unwrap_or_default();
        let path = path.strip_prefix(BASE).unwrap_or(path).to_owned();
        self.asked.lock().unwrap().push(path.clone());
        self.hears.notify_all();
        let fault = self.fault.lock().unwrap().filter(|(of, _)| of.is_empty() || *of == path).map(|(_, fault)| fault);
        if fault == Some(Fault::Reset) {
            return Ok(());
        }
        let mut rest = BufReader::new(stream.try_clone()?);
        let mut header = String::new();
        while rest.read_line(&mut header)? > 2 {
            header.clear();
        }
        let body = self.answers.lock().unwrap().get(&path).map(Value::to_string);
        let is_known = body.is_some();
        let body = body.unwrap_or_else(|| json!("v4 metadata handler: unable to get the task").to_string());
        let half = &body.as_bytes()[..body.len() / 2];
        match fault {
            None if is_known => send(stream, "200 OK", body.len(), body.as_bytes()),
            None => send(stream, "404 Not Found", body.len(), body.as_bytes()),
            Some(Fault::Silence) => rest.read_line(&mut header).map(drop),
            Some(Fault::Reset) => Ok(()),
            Some(Fault::Limited) => send(stream, "429 Too Many Requests\r\nX-Rate-Limit-Limit: 40.00", 39, b"You have reached maximum request limit."),
            Some(Fault::Failed) => {
                let body = json!("v4 stats handler: unable to get the task's stats").to_string();
                send(stream, "500 Internal Server Error", body.len(), body.as_bytes())
            }
            Some(Fault::Half) => send(stream, "200 OK", half.len(), half),
            Some(Fault::Cut) => send(stream, "200 OK", body.len(), half),
            Some(Fault::Html) => {
                let page = format!("<html><body>Sign in <!-- {CANARY} --></body></html>");
                send(stream, "200 OK", page.len(), page.as_bytes())
            }
            Some(Fault::Garbage) => send(stream, "200 OK", 4, &[0xff, 0, 0xfe, b'{']),
            Some(Fault::Endless) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[")?;
                loop {
                    stream.write_all(&[b' '; 1 << 16])?;
                }
            }
            Some(Fault::Dribble) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                // Who hangs up ends it at once.
                stream.set_read_timeout(Some(Duration::from_secs(1)))?;
                for byte in body.as_bytes() {
                    stream.write_all(&[*byte])?;
                    if stream.read(&mut [0]).is_ok() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }
}

fn send(mut stream: TcpStream, status: &str, announced: usize, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {announced}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

/// Every platform by its name.
pub fn platforms() -> [(&'static str, Platform); 6] {
    [
        ("fargate", fargate()),
        ("ec2-awsvpc", of(task(&EC2), &["app", "log", PAUSE], "awsvpc")),
        ("ec2-bridge", of(unlimited(task(&EC2)), &["app", "log"], "bridge")),
        ("managed-instances", managed()),
        ("anywhere", of(unlimited(task(&ANYWHERE)), &["app"], "host")),
        ("old-agent", of(old(unlimited(task(&EC2))), &["app"], "bridge")),
    ]
}

const PAUSE: &str = "~internal~ecs~pause";

/// Who tells, and of which task.
struct Told {
    id: &'static str,
    cluster: &'static str,
    launch: &'static str,
    family: &'static str,
    /// Fargate and Managed Instances count a container's own id on from the task's.
    has_short_ids: bool,
}

const EC2: Told = Told { id: "10000000000000000000000000000001", cluster: "shop", launch: "EC2", family: "checkout", has_short_ids: false };
const ANYWHERE: Told = Told { id: "20000000000000000000000000000002", launch: "EXTERNAL", ..EC2 };
const LONG: &str = "arn:aws:ecs:eu-west-1:111122223333:cluster/shop";
const FARGATE: Told = Told { id: "30000000000000000000000000000003", cluster: LONG, launch: "FARGATE", has_short_ids: true, ..EC2 };
const MANAGED: Told = Told { id: "40000000000000000000000000000004", launch: "MANAGED_INSTANCES", ..FARGATE };
const NEIGHBOUR: Told = Told { id: "50000000000000000000000000000005", family: "search", ..MANAGED };

/// Half a vCPU and 1 GiB, of a service, in one zone.
fn task(told: &Told) -> Value {
    let mut task = json!({
        "Cluster": told.cluster, "TaskARN": format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{}", told.id), "Family": told.family, "Revision": "41",
        "ServiceName": format!("{}-web", told.family), "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Limits": {"CPU": 0.5, "Memory": 1024},
        "PullStartedAt": "2026-03-02T09:59:40.25Z", "PullStoppedAt": "2026-03-02T09:59:55.25Z", "AvailabilityZone": "eu-west-1a", "LaunchType": told.launch,
        "VPCID": "vpc-1", "FaultInjectionEnabled": false, "TaskTags": {"team": "payments", "password": CANARY}, "Containers": [], "_short": told.has_short_ids
    });
    if told.launch == "EXTERNAL" {
        task.as_object_mut().unwrap().remove("AvailabilityZone");
    }
    task
}

/// The task definition gives no size.
fn unlimited(mut task: Value) -> Value {
    task.as_object_mut().unwrap().remove("Limits");
    task
}

/// Before agent 1.45 nothing said the launch type, before 1.63.1 the service.
fn old(mut task: Value) -> Value {
    for name in ["LaunchType", "ServiceName", "VPCID", "FaultInjectionEnabled"] {
        task.as_object_mut().unwrap().remove(name);
    }
    task
}

/// `/task` and `/task/stats` of a task with these containers.
fn of(task: Value, names: &[&str], mode: &str) -> Platform {
    let (task, stats) = filled(task, names, mode);
    [("/task", task.clone()), ("/taskWithTags", task), ("/task/stats", stats)].map(|(path, body)| (path.to_owned(), body)).into()
}

fn filled(mut task: Value, names: &[&str], mode: &str) -> (Value, Value) {
    let is_short = task.as_object_mut().unwrap().remove("_short") == Some(Value::Bool(true));
    let id = task["TaskARN"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut stats = serde_json::Map::new();
    for (number, name) in (1_u64..).zip(names) {
        let container = if is_short { format!("{id}-{number:010}") } else { format!("{number:x}{id}").repeat(2)[..64].to_owned() };
        task["Containers"].as_array_mut().unwrap().push(described(&container, name, mode));
        match *name {
            "late" => None,
            "init" => stats.insert(container, Value::Null),
            _ => stats.insert(container, used(number, mode)),
        };
    }
    (task, stats.into())
}

/// `init` has ended, `late` is not made yet, `app` has limits of its own, the others have none.
fn described(id: &str, name: &str, mode: &str) -> Value {
    let mut row = json!({
        "DockerId": id, "Name": name, "DockerName": format!("ecs-checkout-41-{name}-aa"), "Image": format!("shop/{name}:7"), "ImageID": "sha256:ab",
        "Labels": {"com.amazonaws.ecs.container-name": name, "secret": CANARY}, "Environment": [format!("PASSWORD={CANARY}")], "Command": ["run", CANARY],
        "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Limits": {"CPU": 2, "Memory": 0}, "Type": "NORMAL", "LogDriver": "awslogs",
        "CreatedAt": "2026-03-02T10:00:00Z", "StartedAt": "2026-03-02T10:00:01.5Z", "LogOptions": {"token": CANARY},
        "Health": {"status": "HEALTHY", "output": CANARY}, "Networks": [{"NetworkMode": mode, "IPv4Addresses": ["10.0.0.7"]}]
    });
    match name {
        "app" => row["Limits"] = json!({"CPU": 256, "Memory": 512}),
        "late" => (row["DockerId"], row["KnownStatus"]) = ("".into(), "NONE".into()),
        PAUSE => (row["Type"], row["KnownStatus"]) = ("CNI_PAUSE".into(), "RESOURCES_PROVISIONED".into()),
        "init" => {
            (row["KnownStatus"], row["ExitCode"]) = ("STOPPED".into(), 0.into());
            row["FinishedAt"] = "2026-03-02T10:00:03Z".into();
        }
        _ => {}
    }
    row
}

/// Docker's stats of the `number`th: so many seconds of CPU, so many MB. With `awsvpc` each tells the counters of the one network of all.
fn used(number: u64, mode: &str) -> Value {
    let mut stats = json!({
        "read": "2026-03-02T10:01:00Z", "preread": "2026-03-02T10:00:50Z", "pids_stats": {"current": number, "limit": u64::MAX},
        "cpu_stats": {"cpu_usage": {"total_usage": number * 1_000_000_000, "usage_in_usermode": number * 600_000_000, "usage_in_kernelmode": number * 400_000_000},
            "system_cpu_usage": 1_u64 << 60, "online_cpus": 2, "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0}},
        "memory_stats": {"usage": number * 2_000_000, "max_usage": number * 3_000_000, "stats": {"inactive_file": 500_000}, "limit": u64::MAX},
        "blkio_stats": {"io_service_bytes_recursive": [{"major": 259, "minor": 0, "op": "read", "value": number * 4096}, {"major": 259, "minor": 0, "op": "Write", "value": 512}],
            "io_serviced_recursive": null}
    });
    let received = if mode == "awsvpc" { 7_000 } else { number * 1_000 };
    if mode != "host" {
        stats["networks"] = json!({"eth1": {"rx_bytes": received, "rx_packets": 7, "rx_errors": 0, "rx_dropped": 0, "tx_bytes": 300, "tx_packets": 3}});
    }
    stats
}

/// The agent of an EC2 instance with one task that runs, as its introspection tells it, and one that has stopped. Pause containers are not in it.
pub fn agent(task: &str, container: &str) -> Platform {
    let arn = |id: &str| format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{id}");
    let one = json!({
        "DockerId": container, "DockerName": "ecs-checkout-41-app-aa", "Name": "app", "Image": "shop/app:7", "ImageID": "sha256:ab", "CreatedAt": "2026-03-02T10:00:00Z",
        "Volumes": [{"DockerName": CANARY, "Source": format!("/{CANARY}"), "Destination": "/data"}], "Networks": [{"NetworkMode": "bridge", "IPv4Addresses": [CANARY]}]
    });
    let tasks = json!({"Tasks": [
        {"Arn": arn(task), "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Family": "checkout", "Version": "41", "Containers": [one]},
        {"Arn": arn(&"f".repeat(32)), "DesiredStatus": "STOPPED", "KnownStatus": "STOPPED", "Family": "migrate", "Version": "3", "Containers": [{"DockerId": "ff", "Name": "db"}]}
    ]});
    let instance = "arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/1f73d099b914411ca9ff81633b7741dd";
    let metadata = json!({"Cluster": "shop", "ContainerInstanceArn": instance, "Version": "Amazon ECS Agent - v1.99.1 (8dfceca6)"});
    [("/v1/metadata".to_owned(), metadata), ("/v1/tasks".to_owned(), tasks)].into()
}

/// Platform 1.4, cgroups of version 1: the cluster is an ARN, no service, disk and clock are told, one container is over and one to come.
pub fn fargate() -> Platform {
    let mut task = task(&FARGATE);
    task.as_object_mut().unwrap().remove("ServiceName");
    task["EphemeralStorageMetrics"] = json!({"Utilized": 300, "Reserved": 20_496});
    task["ClockDrift"] = json!({"ClockErrorBound": 0.5, "ReferenceTimestamp": "2026-03-02T10:00:00Z", "ClockSynchronizationStatus": "SYNCHRONIZED"});
    of(task, &["init", "app", "log", "late"], "awsvpc")
}

/// A daemon is told all tasks of its instance; the two lists are in no common order.
fn managed() -> Platform {
    let ((mine, used), (other, used_there)) = (filled(task(&MANAGED), &["app", "log"], "awsvpc"), filled(task(&NEIGHBOUR), &["app"], "awsvpc"));
    let mut all = of(task(&MANAGED), &["app", "log"], "awsvpc");
    all.insert("/tasks".into(), json!([mine, other]));
    all.insert("/tasks/stats".into(), json!([used_there, used]));
    all
}
