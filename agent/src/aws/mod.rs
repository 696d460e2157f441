//! What AWS is asked, and what that needs to be allowed.

pub mod ecs;
pub mod services;
#[cfg(feature = "aws")]
pub mod sdk;

use std::sync::Arc;

use serde_json::{Value, json};

/// What can be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether the ECS API is asked.
    pub ecs: Wanted,
    /// Keys of the tags that are kept of a task. None: tags are not asked for.
    pub tags: Vec<Arc<str>>,
    /// The cluster that is looked at as a whole; `None`: a machine is, or a task.
    pub cluster: Option<services::Settings>,
}

/// Whether something is asked that needs credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Where Tare was given a role of its own.
    #[default]
    Auto,
    /// With whatever credentials there are.
    On,
    /// Never.
    Off,
}

/// The variables by which ECS gives a task its role.
pub const ROLE: [&str; 2] = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];

impl Settings {
    /// Whether the ECS API may be asked, by the settings and by what the environment has.
    pub fn asks_ecs(&self, has: impl Fn(&str) -> bool) -> bool {
        match self.ecs {
            Wanted::On => true,
            Wanted::Off => false,
            Wanted::Auto => ROLE.into_iter().any(has),
        }
    }
}

/// One IAM action. Every call to AWS names its own.
#[derive(Debug)]
pub struct Action {
    /// `ecs:DescribeTasks`
    pub name: &'static str,
    /// The last part of the ARNs it needs: `task/*`.
    pub resource: &'static str,
    /// Which settings need it.
    wanted: fn(&Settings) -> bool,
    /// What it gives.
    pub gives: &'static str,
}

impl Action {
    /// The ARNs it needs. `region`: in one alone.
    pub fn resource(&self, partition: &str, region: Option<&str>) -> String {
        match self.resource {
            "*" => "*".into(),
            part => format!("arn:{partition}:ecs:{}:*:{part}", region.unwrap_or("*")),
        }
    }
}

/// Of each task what only AWS knows.
pub static DESCRIBE_TASKS: Action = Action {
    name: "ecs:DescribeTasks",
    resource: "task/*",
    wanted: |settings| settings.ecs != Wanted::Off,
    gives: "Fargate Spot, capacity provider, size, zone and pull times of ECS tasks",
};

/// DescribeTasks with `include: TAGS` needs it, too.
pub static LIST_TAGS: Action = Action {
    name: "ecs:ListTagsForResource",
    resource: "task/*",
    wanted: |settings| settings.ecs != Wanted::Off && !settings.tags.is_empty() && settings.cluster.is_none(),
    gives: "tags of ECS tasks",
};

/// Which services a cluster has. It takes no resource.
pub static LIST_SERVICES: Action =
    Action { name: "ecs:ListServices", resource: "*", wanted: |settings| settings.cluster.is_some(), gives: "the services of the cluster" };

/// How each does.
pub static DESCRIBE_SERVICES: Action = Action {
    name: "ecs:DescribeServices",
    resource: "service/*",
    wanted: |settings| settings.cluster.is_some(),
    gives: "the tasks that services should have and have, and their deployments",
};

/// Which tasks a cluster has. AWS asks for the right on its container instances, on Fargate, too.
pub static LIST_TASKS: Action = Action {
    name: "ecs:ListTasks",
    resource: "container-instance/*",
    wanted: |settings| settings.cluster.is_some(),
    gives: "how many tasks run on what, and which are Tares",
};

/// All of them.
pub static ACTIONS: [&Action; 5] = [&DESCRIBE_TASKS, &LIST_TAGS, &LIST_SERVICES, &DESCRIBE_SERVICES, &LIST_TASKS];

/// The least policy for these settings, one statement a resource. `region` narrows it to one.
pub fn policy(settings: &Settings, region: Option<&str>) -> Value {
    let mut statements: Vec<(String, Vec<&str>)> = Vec::new();
    for action in ACTIONS.into_iter().filter(|action| (action.wanted)(settings)) {
        let resource = action.resource(partition(region), region);
        match statements.iter_mut().find(|(one, _)| *one == resource) {
            Some((_, names)) => names.push(action.name),
            None => statements.push((resource, vec![action.name])),
        }
    }
    let statements: Vec<Value> = statements.into_iter().map(|(resource, names)| json!({"Effect": "Allow", "Action": names, "Resource": resource})).collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// AWS: "Amazon Resource Names (ARNs)", partitions.
fn partition(region: Option<&str>) -> &'static str {
    match region.unwrap_or_default() {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        region if region.starts_with("eusc-") => "aws-eusc",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_the_least_that_the_settings_need() {
        let of = |ecs, tags: &[&str], region| policy(&Settings { ecs, tags: tags.iter().map(|tag| (*tag).into()).collect(), cluster: None }, region);
        let statement =
            |names: &[&str], resource: &str| json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": names, "Resource": resource}]});
        let both = ["ecs:DescribeTasks", "ecs:ListTagsForResource"];
        assert_eq!(of(Wanted::Auto, &[], None), statement(&both[..1], "arn:aws:ecs:*:*:task/*"));
        assert_eq!(of(Wanted::On, &["team"], Some("cn-north-1")), statement(&both, "arn:aws-cn:ecs:cn-north-1:*:task/*"));
        assert_eq!(of(Wanted::Off, &["team"], None)["Statement"], json!([]));
    }

    #[test]
    fn a_whole_cluster_is_asked_about_by_each_right_on_what_it_is_on() {
        let cluster = services::Settings { cluster: None, every: std::time::Duration::from_secs(60), tares: Vec::new(), port: 9464 };
        let policy = policy(&Settings { tags: vec!["team".into()], cluster: Some(cluster), ..Settings::default() }, Some("eu-west-1"));
        let rights = [
            ("ecs:DescribeTasks", "arn:aws:ecs:eu-west-1:*:task/*"),
            ("ecs:ListServices", "*"),
            ("ecs:DescribeServices", "arn:aws:ecs:eu-west-1:*:service/*"),
            ("ecs:ListTasks", "arn:aws:ecs:eu-west-1:*:container-instance/*"),
        ];
        assert_eq!(policy["Statement"], json!(rights.map(|(name, resource)| json!({"Effect": "Allow", "Action": [name], "Resource": resource}))));
    }

    #[test]
    fn nothing_is_asked_where_nobody_gave_a_role() {
        for (ecs, role, asks) in [(Wanted::Auto, false, false), (Wanted::Auto, true, true), (Wanted::On, false, true), (Wanted::Off, true, false)] {
            let settings = Settings { ecs, ..Settings::default() };
            assert_eq!(settings.asks_ecs(|name| role && ROLE.contains(&name)), asks, "{ecs:?} {role}");
        }
    }
}
