//! The SDK against a fake ECS endpoint: what goes over the wire, and what comes of each answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::*;

const ARN: &str = "arn:aws:ecs:eu-west-1:111122223333:task/shop/0f9de17a6465404e8b1b2356dc13c2f8";

/// Answers one connection after the other, and gives what was asked of each; `action` is the only one that may be.
pub(super) fn fake(action: &'static str, answers: Vec<(u16, String)>) -> (String, JoinHandle<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut head = Vec::new();
            for line in stream.by_ref().lines() {
                let line = line.unwrap();
                if line.is_empty() {
                    break;
                }
                head.push(line.to_ascii_lowercase());
            }
            let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned)).unwrap_or_default();
            assert!(header("authorization").starts_with("aws4-hmac-sha256 credential=akid/"), "not signed: {head:?}");
            assert_eq!(header("content-type"), "application/x-amz-json-1.1");
            assert_eq!(header("x-amz-target"), format!("amazonec2containerservicev20141113.{}", action.to_ascii_lowercase()));
            let mut question = vec![0; header("content-length").parse().unwrap()];
            stream.read_exact(&mut question).unwrap();
            let question: Value = serde_json::from_slice(&question).unwrap();
            assert!(question["tasks"].as_array().is_none_or(|tasks| (1..=100).contains(&tasks.len())));
            asked.push(question);
            let head =
                format!("HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.get_mut().write_all((head + &body).as_bytes()).unwrap();
        }
        asked
    });
    (address, server)
}

fn ask(tags: &[&str], status: u16, body: &str) -> (Result<Answer, Refusal>, Value) {
    let (address, server) = fake("DescribeTasks", vec![(status, body.to_owned())]);
    let mut api = Api::new(tags.iter().map(|tag| (*tag).into()).collect(), Some(address));
    let question = Question { region: "eu-west-1".into(), cluster: Some("shop".into()), tasks: vec![TaskArn::parse(ARN).unwrap()] };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(api.describe(question));
    (answer, server.join().unwrap().remove(0))
}

#[test]
fn a_fargate_spot_task_is_known_to_its_pull_times() {
    let task = json!({
        "taskArn": ARN, "clusterArn": "arn:aws:ecs:eu-west-1:111122223333:cluster/shop", "group": "service:checkout", "launchType": "FARGATE",
        "capacityProviderName": "FARGATE_SPOT", "platformVersion": "1.4.0", "attributes": [{"name": "ecs.cpu-architecture", "value": "arm64"}],
        "startedBy": "ecs-svc/1", "availabilityZone": "eu-west-1b", "lastStatus": "RUNNING", "desiredStatus": "RUNNING", "cpu": "256", "memory": "512",
        "pullStartedAt": 1700000000.5, "pullStoppedAt": 1700000010, "ephemeralStorage": {"sizeInGiB": 30},
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/checkout:7",
        "tags": [{"key": "team", "value": "pay"}, {"key": "other", "value": "x"}],
    });
    let (answer, asked) = ask(&["team"], 200, &json!({"tasks": [task, {"taskArn": "nonsense"}], "failures": [{"arn": ARN, "reason": "MISSING"}]}).to_string());
    assert_eq!(asked, json!({"cluster": "shop", "tasks": [ARN], "include": ["TAGS"]}));
    let answer = answer.unwrap();
    let [task] = answer.as_slice() else { panic!("{answer:?}") };
    let about = Task {
        arn: TaskArn::parse(ARN),
        cluster: Some("shop".into()),
        family: Some("checkout".into()),
        revision: Some("7".into()),
        service: Some("checkout".into()),
        launch: Some(Launch::Fargate),
        provider: Some("FARGATE_SPOT".into()),
        spot: Some(true),
        platform: Some("1.4.0".into()),
        arch: Some("arm64".into()),
        zone: Some("eu-west-1b".into()),
        started_by: Some("ecs-svc/1".into()),
        tags: vec![("team".into(), "pay".into())],
        ..Task::default()
    };
    assert_eq!(*task.about, about);
    let state = TaskState {
        size: Asked { cores: Some(Cores(0.25)), memory: Some(Bytes(512 << 20)) },
        pull_started: Some("2023-11-14T22:13:20.5Z".parse().unwrap()),
        pull_stopped: Some("2023-11-14T22:13:30Z".parse().unwrap()),
        storage: Some(Storage { used: None, reserved: Some(Bytes(30 << 30)) }),
        ..TaskState::default()
    };
    assert_eq!(*task.state, state);
}

#[test]
fn an_instance_is_named_and_its_market_is_not_guessed() {
    let task = json!({
        "taskArn": ARN, "launchType": "EC2", "capacityProviderName": "blue", "group": "family:batch", "cpu": "x", "memory": "0", "lastStatus": "STOPPED",
        "stopCode": "SpotInterruption", "containerInstanceArn": "arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/1f73d099b914411ca9ff81633b7741dd",
    });
    let (answer, asked) = ask(&[], 200, &json!({"tasks": [task]}).to_string());
    assert_eq!(asked.get("include"), None, "tags are not asked for unless they are wanted");
    let task = answer.unwrap().remove(0);
    let (about, state) = (&task.about, &task.state);
    assert_eq!((about.spot, about.launch, about.instance.as_deref()), (None, Some(Launch::Ec2), Some("1f73d099b914411ca9ff81633b7741dd")));
    assert_eq!((about.service.as_deref(), about.group.as_deref(), state.size), (None, Some("family:batch"), Asked::default()));
    assert_eq!((state.known.as_deref(), state.stop_code.as_deref()), (Some("STOPPED"), Some("SpotInterruption")));
}

#[test]
fn each_refusal_is_told_apart_and_asked_once() {
    type Is = fn(&Refusal) -> bool;
    let cases: [(u16, &str, Is); 5] = [
        (
            400,
            r#"{"__type":"AccessDeniedException","message":"no identity-based policy"}"#,
            |why| matches!(why, Refusal::Denied(text) if text.contains("ecs:DescribeTasks is not allowed") && text.contains("task/*")),
        ),
        (400, r#"{"__type":"ClusterNotFoundException","message":"Cluster not found."}"#, |why| matches!(why, Refusal::Invalid(_))),
        (400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#, |why| matches!(why, Refusal::Later(text) if text.contains("Rate exceeded"))),
        (500, "oops", |why| matches!(why, Refusal::Later(_))),
        (200, "<html>", |why| matches!(why, Refusal::Later(_))),
    ];
    for (status, body, is) in cases {
        // The fake takes one connection: a second try would be refused and told as such.
        let why = ask(&[], status, body).0.unwrap_err();
        assert!(is(&why), "{body}: {why:?}");
    }
}

#[test]
fn who_has_no_credentials_is_told_where_they_were_looked_for() {
    let why = refusal(&DESCRIBE_TASKS, None, "the credential provider was not enabled", |name| name == ROLE[0]);
    let Refusal::Denied(text) = why else { panic!("{why:?}") };
    for place in [
        "AWS_ACCESS_KEY_ID is not set",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is set, but gave none",
        "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
        "metadata service",
    ] {
        assert!(text.contains(place), "{text}");
    }
}

/// A list that cannot be read would trust nobody.
#[test]
fn the_built_in_list_of_whom_to_trust_is_read_whole() {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    for certificate in TLS_SERVER_ROOT_CERTS {
        assert_eq!(&CertificateDer::from_pem_slice(pem(certificate).as_bytes()).unwrap(), certificate);
    }
    assert!(TLS_SERVER_ROOT_CERTS.len() > 100 && built_in().is_some());
}
