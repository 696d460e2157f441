//! Bad worlds: a socket that is none, a daemon that hangs and dies, hostile clients, wrong settings. Tare says what is wrong, goes on, and recovers by itself.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use collector::snapshot::SourceName;
use serde_json::json;
use tare::report::Report;

use crate::exposition::Exposition;
use crate::program::{self, PATIENCE, Served};

#[path = "../fakes/docker.rs"]
mod docker;

/// `tare run` on this machine, but with this socket for Docker's, and nothing asked over the network.
fn run(socket: &Path) -> Command {
    let mut command = program::command(["run", "--listen", "127.0.0.1:0", "--interval", "1s"]);
    command.env("TARE_DOCKER_SOCKET", socket).env("TARE_IMDS_ENABLED", "false");
    command
}

fn report(served: &Served) -> Option<Report> {
    let answer = served.get("/report.json").ok().filter(|answer| answer.status == 200)?;
    Some(serde_json::from_slice(&answer.body).unwrap())
}

/// Waits for a report that is so.
fn until(served: &Served, so: impl Fn(&Report) -> bool) -> Report {
    program::until(|| report(served).filter(&so))
        .unwrap_or_else(|| panic!("it never came to it: {:?}\n{}", report(served).map(|report| report.gaps), served.log()))
}

fn docker_gaps(report: &Report) -> Vec<String> {
    report.gaps.iter().filter(|gap| gap.from == SourceName::Docker).map(|gap| gap.why.to_lowercase()).collect()
}

/// On a busy machine a look may come late, and the next one has it.
fn the_rest_goes_on(report: &Report) -> bool {
    report.host.seen.memory.is_some() && report.host.seen.usage.cpu.is_some()
}

#[test]
fn a_socket_that_is_a_folder_is_said_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let served = program::serve_as(run(folder.path())).unwrap();
    let report = until(&served, |report| !docker_gaps(report).is_empty() && the_rest_goes_on(report));
    assert!(docker_gaps(&report).iter().any(|why| why.contains("directory")), "{:?}", report.gaps);
    assert!(Exposition::read(&served.metrics().unwrap()).unwrap().samples().count() > 0);
    let (status, log) = served.stop();
    assert!(status.is_some_and(|status| status.success()), "{status:?} {log}");
}

#[test]
fn a_socket_that_we_may_not_open_is_said_and_the_rest_goes_on() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: faults: a socket without permission needs root to be made");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    // The build folder may be closed to others, so they get a copy.
    let copy = folder.path().join("tare");
    fs::copy(env!("CARGO_BIN_EXE_tare"), &copy).unwrap();
    let mut command = Command::new(&copy);
    let like = run(&socket);
    command.args(like.get_args()).env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(folder.path());
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).uid(65534).gid(65534);
    let served = program::serve_as(command).unwrap();
    let report = until(&served, |report| !docker_gaps(report).is_empty() && the_rest_goes_on(report));
    assert!(docker_gaps(&report).iter().any(|why| why.contains("permission")), "{:?}", report.gaps);
}

/// Its list row and its inspect.
fn container(id: &str) -> (serde_json::Value, serde_json::Value) {
    let row = json!({"Id": id, "Names": ["/fake-web"], "Image": "fake:1", "ImageID": "sha256:00", "State": "running", "Status": "Up", "Labels": {}, "HostConfig": {"NetworkMode": "none"}, "Created": 1772438400});
    let state =
        json!({"Status": "running", "Running": true, "Pid": 0, "ExitCode": 0, "StartedAt": "2026-03-02T09:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"});
    let inspect = json!({"Id": id, "Name": "/fake-web", "RestartCount": 0, "State": state, "Image": "sha256:00", "HostConfig": {"NetworkMode": "none"}, "Config": {"Image": "fake:1", "Labels": {}}});
    (row, inspect)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_dies_and_comes_back_is_seen_again_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let daemon = docker::Daemon::start(&socket);
    let (row, inspect) = container(&"ab".repeat(32));
    daemon.put(row, inspect);
    daemon.fault("/containers/json", Some(docker::Fault::HangMidAnswer));
    let served = tokio::task::block_in_place(|| program::serve_as(run(&socket))).unwrap();
    let is_seen = |report: &Report| {
        let names = || report.workloads.iter().flat_map(|workload| &workload.containers).filter(|row| row.seen.about.name.as_deref() == Some("fake-web"));
        names().any(|row| row.seen.state == collector::snapshot::State::Running)
    };
    let wait = |so: &(dyn Fn(&Report) -> bool + Sync)| tokio::task::block_in_place(|| until(&served, so));
    let hung = wait(&|report| !docker_gaps(report).is_empty() && the_rest_goes_on(report));
    assert!(!is_seen(&hung), "nothing is known of a container that nobody could name");

    daemon.fault("/containers/json", None);
    wait(&|report| is_seen(report) && docker_gaps(report).is_empty());

    let remains = daemon.die();
    wait(&|report| !docker_gaps(report).is_empty());
    let daemon = remains.again();
    wait(&|report| is_seen(report) && docker_gaps(report).is_empty());
    let metrics = tokio::task::block_in_place(|| served.metrics()).unwrap();
    let metrics = Exposition::read(&metrics).unwrap();
    assert!(metrics.samples().any(|sample| sample.labels.get("container").is_some_and(|name| name == "fake-web")), "it is in /metrics again");
    drop(daemon);
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = program::command(["run", "--listen", &address]);
    command.env("TARE_IMDS_ENABLED", "false");
    let said = program::finish(command);
    assert_eq!(said.status.code(), Some(1), "{}", said.log);
    assert!(said.log.contains(&address) && said.log.to_lowercase().contains("in use"), "{}", said.log);
}

#[test]
fn wrong_settings_stop_it_before_a_port_opens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tare.toml");
    for (text, words) in [
        ("intervall = \"10s\"\n", "interval"),
        ("interval = \"soon\"\n", "interval"),
        ("[web\n", "tare.toml"),
        ("interval = 3\n[docker]\nsockets = \"x\"\n", "socket"),
    ] {
        fs::write(&file, text).unwrap();
        let said = program::finish(program::command(["run", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]));
        assert_eq!(said.status.code(), Some(78), "{text}: {}", said.log);
        assert!(said.log.contains(words) && !said.log.contains("serving"), "{text}: {}", said.log);
    }
}

/// A recorded host to serve where the machine does not matter.
fn any_host() -> Served {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts/v1-apart");
    program::serve([Path::new("--replay"), &host]).unwrap()
}

#[test]
fn endless_headers_are_cut_off_and_others_are_served() {
    let served = any_host();
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nA: ");
    // The server closes long before all of this is sent: then writing fails, which is as good.
    let sent = stream.write_all(&vec![b'a'; 1 << 20]);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(sent.is_err() || read.is_err() || answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "a megabyte of header was answered: {answer}");
    assert_eq!(served.get("/healthz").unwrap().status, 200);
}

#[test]
fn clients_that_never_finish_asking_do_not_shut_others_out() {
    let served = any_host();
    // More than the server holds at once, each half-way through its first line.
    let slow: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(served.address).unwrap();
            stream.write_all(b"GET /metr").unwrap();
            stream
        })
        .collect();
    assert_eq!(served.get("/healthz").unwrap().status, 200);
    drop(slow);
    let (status, log) = served.stop();
    assert!(status.is_some_and(|status| status.success()), "{status:?} {log}");
}

#[test]
fn nonsense_is_refused_and_the_report_is_not_for_strangers() {
    let served = any_host();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    for (request, answer) in [
        ("POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405"),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 404"),
        ("GET /report.json HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n", "HTTP/1.1 403"),
        ("GET /report.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"),
        ("\u{0}\u{1}\u{2}\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let said = ask(request);
        assert!(said.starts_with(answer), "{request:?}: {said}");
    }
}

#[test]
fn it_ends_cleanly_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let served = program::serve_as(run(&folder.path().join("none.sock"))).unwrap();
    served.metrics().unwrap();
    let (status, log) = served.stop();
    assert!(status.is_some_and(|status| status.success()), "{status:?} {log}");
    assert!(!log.contains("panicked"), "{log}");
}
