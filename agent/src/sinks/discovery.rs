//! The Tares of a cluster as Prometheus takes targets over HTTP: a list of addresses with labels.
//! Prometheus: "Writing HTTP service discovery", `http_sd_config`.

use collector::snapshot::{EcsCluster, Launch, Tare};
use serde_json::{Map, Value, json};

/// The list, JSON. `None`: the tasks of the cluster are not known. A Tare whose address is not known is left out.
pub fn targets(ecs: &EcsCluster) -> Option<String> {
    let tares = &ecs.tasks.as_ref()?.is.tares;
    let groups: Vec<Value> = tares.iter().filter_map(|tare| Some(json!({"targets": [tare.address?.to_string()], "labels": labels(ecs, tare)}))).collect();
    Some(Value::from(groups).to_string())
}

/// Those that are known; relabelling makes of them what it wants.
fn labels(ecs: &EcsCluster, tare: &Tare) -> Map<String, Value> {
    let id = tare.task.id();
    let known = [
        ("cluster", Some(&*ecs.name)),
        ("region", Some(&*ecs.region)),
        ("service", tare.service.as_deref()),
        ("family", tare.family.as_deref()),
        ("task", Some(id.as_str())),
        ("launch_type", tare.launch.map(Launch::as_str)),
        ("zone", tare.zone.as_deref()),
    ];
    known.into_iter().filter_map(|(name, value)| Some((format!("__meta_ecs_{name}"), value?.into()))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use collector::identity::TaskArn;
    use collector::snapshot::{ClusterTasks, Seen, SourceName};
    use collector::units::Stamp;

    use super::*;

    fn tare(number: u8, address: Option<&str>) -> Tare {
        Tare {
            task: TaskArn::parse(&format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{number:032x}")).unwrap(),
            service: Some("tare".into()),
            family: None,
            launch: Some(Launch::Fargate),
            zone: Some("eu-west-1a".into()),
            address: address.map(|address| address.parse().unwrap()),
        }
    }

    #[test]
    fn each_tare_with_an_address_is_a_target_and_what_is_not_known_is_no_empty_list() {
        let cluster = |tares: Option<Vec<Tare>>| {
            let seen = |tares| Seen { at: Stamp::default(), from: SourceName::EcsCluster, is: Arc::new(ClusterTasks { counts: Vec::new(), tares }) };
            EcsCluster { name: "shop".into(), region: "eu-west-1".into(), services: None, tasks: tares.map(seen) }
        };
        assert_eq!(targets(&cluster(None)), None);
        assert_eq!(targets(&cluster(Some(Vec::new()))).as_deref(), Some("[]"));
        let text = targets(&cluster(Some(vec![tare(1, Some("10.0.0.7:9464")), tare(2, None), tare(3, Some("[fd00::7]:9464"))]))).unwrap();
        let said: Value = serde_json::from_str(&text).unwrap();
        let labels = |task: &str| {
            json!({"__meta_ecs_cluster": "shop", "__meta_ecs_region": "eu-west-1", "__meta_ecs_service": "tare", "__meta_ecs_task": task,
                "__meta_ecs_launch_type": "fargate", "__meta_ecs_zone": "eu-west-1a"})
        };
        let expected = json!([
            {"targets": ["10.0.0.7:9464"], "labels": labels(&format!("{:032x}", 1))},
            {"targets": ["[fd00::7]:9464"], "labels": labels(&format!("{:032x}", 3))},
        ]);
        assert_eq!(said, expected);
    }
}
