//! The SDK against a fake ECS endpoint: what goes over the wire, and what comes of each answer.

use serde_json::{Value, json};

use super::super::fake;
use super::*;

const ARN: &str = "arn:aws:ecs:eu-west-1:111122223333:task/shop/0f9de17a6465404e8b1b2356dc13c2f8";

pub(super) fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(answer)
}

fn question(name: &str) -> Question {
    Question { region: "eu-west-1".into(), cluster: Some("shop".into()), names: vec![name.into()] }
}

/// The body of the one request, which must be a signed one to this target.
pub(super) fn checked(asked: Vec<fake::Asked>, target: &str) -> Value {
    let [asked] = asked.try_into().unwrap_or_else(|_| panic!("one request"));
    assert!(asked.header("authorization").starts_with("aws4-hmac-sha256 credential=akid/"), "not signed");
    assert_eq!(asked.header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(asked.header("x-amz-target"), format!("amazonec2containerservicev20141113.{target}"));
    serde_json::from_slice(&asked.body).unwrap()
}

fn ask(tags: &[&str], status: u16, body: &str) -> (Result<Vec<ToldTask>, Refusal>, Value) {
    let (address, server) = fake::serve(vec![(status, body.to_owned())]);
    let mut api = Api::new(tags.iter().map(|tag| (*tag).into()).collect(), Some(address));
    let answer = wait(api.tasks(question(ARN)));
    (answer, checked(server.join().unwrap(), "describetasks"))
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
fn who_may_not_read_tags_learns_the_rest() {
    let denied = (400, r#"{"__type":"AccessDeniedException","message":"ecs:ListTagsForResource"}"#.to_owned());
    let task = (200, json!({"tasks": [{"taskArn": ARN, "launchType": "FARGATE"}]}).to_string());
    let (address, server) = fake::serve(vec![denied, task.clone(), task]);
    let mut api = Api::new(vec!["team".into()], Some(address));
    for _ in 0..2 {
        assert_eq!(wait(api.tasks(question(ARN))).unwrap().len(), 1);
    }
    let asked = server.join().unwrap().into_iter().map(|asked| serde_json::from_slice::<Value>(&asked.body).unwrap()["include"].clone());
    assert_eq!(asked.collect::<Vec<_>>(), [json!(["TAGS"]), Value::Null, Value::Null], "and asks for them no more for a while");
}

#[test]
fn each_refusal_is_told_apart_and_asked_once() {
    type Is = fn(&Refusal) -> bool;
    let cases: [(u16, &str, Is); 6] = [
        (
            400,
            r#"{"__type":"AccessDeniedException","message":"no identity-based policy"}"#,
            |why| matches!(why, Refusal::Denied(text) if text.contains("ecs:DescribeTasks is not allowed") && text.contains("task/*")),
        ),
        (400, r#"{"__type":"ClusterNotFoundException","message":"Cluster not found."}"#, |why| matches!(why, Refusal::Nowhere(_))),
        (400, r#"{"__type":"InvalidParameterException","message":"Invalid identifier"}"#, |why| matches!(why, Refusal::Invalid(_))),
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

#[test]
fn a_container_instance_is_known_to_its_agent() {
    let id = "1f73d099b914411ca9ff81633b7741dd";
    let arn = format!("arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/{id}");
    let attributes =
        json!([{"name": "ecs.availability-zone", "value": "eu-west-1b"}, {"name": "ecs.instance-type", "value": "m7i.large"}, {"name": "ecs.capability.x"}]);
    let told = json!({"containerInstanceArn": arn, "ec2InstanceId": "i-0123456789abcdef0", "capacityProviderName": "blue", "attributes": attributes,
        "versionInfo": {"agentVersion": "1.105.1", "agentHash": "8dfceca6", "dockerVersion": "DockerVersion: 25.0.3"}});
    let anywhere = json!({"containerInstanceArn": format!("{arn}0"), "ec2InstanceId": "mi-0123456789abcdef0", "versionInfo": {"agentVersion": "v1.40.0"}});
    let forged = json!({"containerInstanceArn": format!("{arn}1"), "ec2InstanceId": "i-1&Action=TerminateInstances"});
    let body = json!({"containerInstances": [told, anywhere, forged, {"ec2InstanceId": "i-0123456789abcdef0"}], "failures": []});
    let (address, server) = fake::serve(vec![(200, body.to_string())]);
    let told = wait(Api::new(Vec::new(), Some(address)).instances(question(id))).unwrap();
    assert_eq!(checked(server.join().unwrap(), "describecontainerinstances"), json!({"cluster": "shop", "containerInstances": [id]}));
    let machine = Instance { id: Some("i-0123456789abcdef0".into()), kind: Some("m7i.large".into()), zone: Some("eu-west-1b".into()), ..Instance::default() };
    assert_eq!(told[0], ToldInstance { id: id.into(), provider: Some("blue".into()), agent: Some("1.105.1".into()), machine });
    let rest: Vec<_> = told[1..].iter().map(|one| (one.machine.id.as_deref(), one.agent.as_deref())).collect();
    assert_eq!(rest, [(Some("mi-0123456789abcdef0"), Some("1.40.0")), (None, None)]);
}

/// Whatever an answer announces, it costs a few MiB and ends.
#[test]
fn an_answer_without_end_ends_at_its_bound() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n{", "HTTP/1.1 500 x\r\n\r\n"] {
        let (address, server) = fake::serve_without_end(head);
        let why = wait(Api::new(Vec::new(), Some(address)).tasks(question(ARN))).unwrap_err();
        assert!(matches!(&why, Refusal::Later(text) if text.contains("the answer is larger than 8 MiB")), "{why:?}");
        let taken = server.join().unwrap();
        assert!((http::LIMIT..4 * http::LIMIT).contains(&taken), "{taken} bytes");
        let (address, server) = fake::serve_without_end(head);
        let why = wait(Api::new(Vec::new(), Some(address)).machines(question("i-0123456789abcdef0"))).unwrap_err();
        assert!(matches!(&why, Refusal::Later(text) if text.contains("ec2:DescribeInstances: the answer is larger than 8 MiB")), "{why:?}");
        assert!(server.join().unwrap() < 4 * http::LIMIT);
    }
}
