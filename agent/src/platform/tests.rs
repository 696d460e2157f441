//! Which word is found for which facts: the recorded cases, and those where two probes disagree.

use serde_json::Value;

use super::*;

/// The facts that a recorded case's environment, files and endpoints amount to.
fn facts(case: &Value) -> Facts {
    let file = |start: &str| case["files"].as_array().unwrap().iter().any(|file| file.as_str().unwrap().starts_with(start));
    let env = |name: &str| case["env"][name].as_str();
    let ok = |name: &str| case["endpoints"][name]["status"] == 200;
    let asked = |name: &str, ok: bool| match &case["endpoints"][name] {
        Value::Null => Probe::Unasked,
        _ if ok => Probe::Answers,
        _ => Probe::Silent,
    };
    let slices = |word: &str| file(&format!("/host/sys/fs/cgroup/{word}"));
    Facts {
        hints: Hints {
            execution: env("AWS_EXECUTION_ENV").map(str::to_owned),
            metadata: env("ECS_CONTAINER_METADATA_URI_V4").is_some(),
            service_host: env("KUBERNETES_SERVICE_HOST").is_some(),
            service_account: file("/var/run/secrets/kubernetes.io/serviceaccount/token"),
        },
        endpoint: asked("tmde /task", ok("tmde /task")),
        agent: asked("introspection 127.0.0.1:51678", ok("introspection 127.0.0.1:51678")),
        imds: asked("imds", case["endpoints"]["imds"] == "ok"),
        docker: ok("docker /_ping"),
        tree: file("/host/sys/fs/cgroup"),
        tasks: slices("ecstasks.slice") || ok("tmde /tasks"),
        pods: slices("kubepods.slice"),
        launch: case["endpoints"]["tmde /task"]["LaunchType"].as_str().and_then(Launch::parse),
        alone: case["expect"]["scope"] == "own-task",
    }
}

#[test]
fn recorded_cases_are_told_apart() {
    let Ok(fixtures) = std::env::var("TARE_FIXTURES") else {
        eprintln!("skipped: TARE_FIXTURES names no folder of recorded cases");
        return;
    };
    let text = std::fs::read_to_string(format!("{fixtures}/metadata/platform/cases.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    assert!(cases.len() >= 8);
    for case in cases {
        let found = facts(case).found();
        // Which kind of Kubernetes it is, the node's labels say.
        let word = case["expect"]["platform"].as_str().unwrap();
        let word = if word.starts_with("eks-") { "kubernetes" } else { word };
        let role = format!("{word}, {}", case["expect"]["role"].as_str().unwrap());
        assert_eq!(found.to_string(), role, "{}: {}", case["name"], found.probes);
    }
}

fn on_ecs(word: &str) -> Hints {
    Hints { execution: Some(word.into()), metadata: true, ..Hints::default() }
}

fn in_pod() -> Hints {
    Hints { service_host: true, service_account: true, ..Hints::default() }
}

#[test]
fn what_answers_decides_and_variables_only_hint() {
    let none = Facts::default;
    let by_hand = || Hints { service_host: true, ..Hints::default() };
    let mounted = || Hints { service_account: true, ..Hints::default() };
    for (name, facts, word) in [
        ("nothing at all", none(), "bare, sidecar"),
        ("units alone", Facts { tree: true, ..none() }, "bare, daemon"),
        ("a variable set by hand", Facts { hints: by_hand(), docker: true, ..none() }, "docker, daemon"),
        ("a token and no API", Facts { hints: mounted(), ..none() }, "bare, sidecar"),
        ("a Lambda", Facts { hints: on_ecs("AWS_Lambda_python3.12"), ..none() }, "bare, sidecar"),
        ("ECS variables copied to a laptop", Facts { hints: on_ecs("AWS_ECS_EC2"), endpoint: Probe::Silent, docker: true, ..none() }, "docker, daemon"),
        ("Fargate, before its endpoint answers", Facts { hints: on_ecs("AWS_ECS_FARGATE"), endpoint: Probe::Silent, ..none() }, "ecs-fargate, sidecar"),
        ("a word nobody knows", Facts { hints: on_ecs("AWS_ECS_MOON"), endpoint: Probe::Answers, ..none() }, "ecs, sidecar"),
        (
            "the endpoint is right against the variable",
            Facts { hints: on_ecs("AWS_ECS_EC2"), endpoint: Probe::Answers, launch: Some(Launch::External), tree: true, ..none() },
            "ecs-external, daemon",
        ),
        ("ECS tasks in the tree, no endpoint", Facts { tasks: true, tree: true, ..none() }, "ecs, daemon"),
        ("an idle ECS instance", Facts { agent: Probe::Answers, docker: true, tree: true, ..none() }, "ecs, daemon"),
        ("pods in the tree of a host", Facts { pods: true, tree: true, docker: true, ..none() }, "kubernetes, daemon"),
        (
            "a pod with a copied ECS environment",
            Facts { hints: Hints { execution: Some("AWS_ECS_EC2".into()), metadata: true, ..in_pod() }, ..none() },
            "kubernetes, sidecar",
        ),
        ("a task that shows its own cgroup", Facts { endpoint: Probe::Answers, tasks: true, tree: true, alone: true, ..none() }, "ecs, sidecar"),
    ] {
        assert_eq!(facts.found().to_string(), word, "{name}");
    }
}

#[test]
fn every_word_is_read_back_and_every_probe_is_named() {
    for platform in Platform::ALL {
        let found = Found { platform, role: Role::Daemon, probes: Facts::default().found().probes };
        assert_eq!(serde_json::from_value::<Found>(serde_json::to_value(&found).unwrap()).unwrap(), found);
    }
    assert!(serde_json::from_value::<Platform>("moon".into()).is_err());
    let found = Facts { hints: on_ecs("AWS_ECS_EC2"), endpoint: Probe::Answers, agent: Probe::Silent, tasks: true, docker: true, ..Facts::default() }.found();
    assert_eq!(
        &*found.probes,
        "AWS_EXECUTION_ENV: AWS_ECS_EC2, ECS_CONTAINER_METADATA_URI_V4: set, task metadata: answers, ECS agent: no answer, ECS tasks: seen, \
         KUBERNETES_SERVICE_HOST: not set, service account: none, pods: not seen, Docker: answers, host's cgroup tree: not seen, instance metadata: not asked"
    );
}

#[test]
fn what_a_platform_never_has_is_missed_on_the_others_alone() {
    let gap = |from, what: &str| Gap { from, what: what.into(), why: "no such file".into() };
    let (fargate, pressure) = (Platform::Ecs(Some(Launch::Fargate)), gap(SourceName::Host, "pressure"));
    assert!(fargate.lacks(&pressure));
    assert!(Platform::ALL.into_iter().filter(|one| *one != fargate).all(|one| !one.lacks(&pressure)));
    assert!(!fargate.lacks(&gap(SourceName::Host, "disk")) && !fargate.lacks(&gap(SourceName::Cgroup, "pressure")));
}
