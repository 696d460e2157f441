//! What AWS is asked, and what that needs to be allowed.

#[cfg(feature = "aws")]
pub mod ec2;
pub mod ecs;
#[cfg(feature = "aws")]
#[cfg(test)]
mod fake;
#[cfg(feature = "aws")]
mod http;
pub mod services;
#[cfg(feature = "aws")]
pub mod sdk;
#[cfg(feature = "aws")]
pub mod sign;

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
    /// The region of the Amazon Managed Prometheus that metrics are pushed to.
    pub prometheus: Option<String>,
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

    /// Whether it is asked of single tasks and their machines.
    fn asks_of_tasks(&self) -> bool {
        self.ecs != Wanted::Off && self.cluster.is_none()
    }
}

/// One IAM action. Every call to AWS names its own.
#[derive(Debug)]
pub struct Action {
    /// `ecs:DescribeTasks`
    pub name: &'static str,
    /// The service and the last part of the ARNs it needs: `ecs`, `task/*`. `None`: IAM knows no narrower resource for it than all.
    of: Option<(&'static str, &'static str)>,
    /// Which settings need it.
    wanted: fn(&Settings) -> bool,
    /// What it gives.
    pub gives: &'static str,
}

/// Of each task what only AWS knows.
pub static DESCRIBE_TASKS: Action = Action {
    name: "ecs:DescribeTasks",
    of: Some(("ecs", "task/*")),
    wanted: |settings| settings.ecs != Wanted::Off,
    gives: "Fargate Spot, capacity provider, size, zone and pull times of ECS tasks",
};

/// DescribeTasks with `include: TAGS` needs it, too.
pub static LIST_TAGS: Action = Action {
    name: "ecs:ListTagsForResource",
    of: Some(("ecs", "task/*")),
    wanted: |settings| settings.asks_of_tasks() && !settings.tags.is_empty(),
    gives: "tags of ECS tasks",
};

/// Of the machines that the tasks run on what ECS knows.
pub static DESCRIBE_CONTAINER_INSTANCES: Action = Action {
    name: "ecs:DescribeContainerInstances",
    of: Some(("ecs", "container-instance/*")),
    wanted: Settings::asks_of_tasks,
    gives: "the EC2 instance, its type, capacity provider and agent version",
};

/// Of those that the metadata service says nothing of, what EC2 knows.
pub static DESCRIBE_INSTANCES: Action =
    Action { name: "ec2:DescribeInstances", of: None, wanted: Settings::asks_of_tasks, gives: "whether instances are Spot, their type and zone" };

/// Which services a cluster has.
pub static LIST_SERVICES: Action =
    Action { name: "ecs:ListServices", of: None, wanted: |settings| settings.cluster.is_some(), gives: "the services of the cluster" };

/// How each does.
pub static DESCRIBE_SERVICES: Action = Action {
    name: "ecs:DescribeServices",
    of: Some(("ecs", "service/*")),
    wanted: |settings| settings.cluster.is_some(),
    gives: "the tasks that services should have and have, and their deployments",
};

/// Which tasks a cluster has. AWS asks for the right on its container instances, on Fargate, too.
pub static LIST_TASKS: Action = Action {
    name: "ecs:ListTasks",
    of: Some(("ecs", "container-instance/*")),
    wanted: |settings| settings.cluster.is_some(),
    gives: "how many tasks run on what, and which are Tares",
};

/// To push to Amazon Managed Prometheus (its user guide, "IAM permissions and policies").
pub static REMOTE_WRITE: Action = Action {
    name: "aps:RemoteWrite",
    of: Some(("aps", "workspace/*")),
    wanted: |settings| settings.prometheus.is_some(),
    gives: "metrics in Amazon Managed Prometheus",
};

/// All of them.
pub static ACTIONS: [&Action; 8] =
    [&DESCRIBE_TASKS, &LIST_TAGS, &DESCRIBE_CONTAINER_INSTANCES, &DESCRIBE_INSTANCES, &LIST_SERVICES, &DESCRIBE_SERVICES, &LIST_TASKS, &REMOTE_WRITE];

impl Action {
    /// What it must be allowed on.
    fn resource(&self, partition: &str, region: &str) -> String {
        self.of.map_or("*".into(), |(service, last)| format!("arn:{partition}:{service}:{region}:*:{last}"))
    }
}

/// An EC2 instance, or one of ECS Anywhere: `i-0123456789abcdef0`, `mi-0123456789abcdef0`.
pub fn is_instance(id: &str) -> bool {
    let digits = id.strip_prefix('m').unwrap_or(id).strip_prefix("i-");
    digits.is_some_and(|digits| (8..=17).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The least policy for these settings, one statement a resource. `region` narrows it to one.
pub fn policy(settings: &Settings, region: Option<&str>) -> Value {
    let mut statements: Vec<(String, Vec<&str>)> = Vec::new();
    for action in ACTIONS.into_iter().filter(|action| (action.wanted)(settings)) {
        let there = settings.prometheus.as_deref().filter(|_| action.name == REMOTE_WRITE.name).or(region);
        let resource = action.resource(partition(there), there.unwrap_or("*"));
        match statements.iter_mut().find(|(one, _)| *one == resource) {
            Some((_, names)) => names.push(action.name),
            None => statements.push((resource, vec![action.name])),
        }
    }
    let statement = |(resource, names): (String, Vec<&str>)| {
        let mut statement = json!({"Effect": "Allow", "Action": names, "Resource": resource});
        // What no ARN narrows to a region this does.
        if let Some(region) = region.filter(|_| resource == "*") {
            statement["Condition"] = json!({"StringEquals": {"aws:RequestedRegion": region}});
        }
        statement
    };
    let statements: Vec<Value> = statements.into_iter().map(statement).collect();
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
        let of = |ecs, tags: &[&str], region| {
            policy(&Settings { ecs, tags: tags.iter().map(|tag| (*tag).into()).collect(), cluster: None, prometheus: None }, region)["Statement"].clone()
        };
        let allow = |names: &[&str], resource: &str| json!({"Effect": "Allow", "Action": names, "Resource": resource});
        let tasks = ["ecs:DescribeTasks", "ecs:ListTagsForResource"];
        let (instances, machines) = (["ecs:DescribeContainerInstances"], ["ec2:DescribeInstances"]);
        let anywhere = json!([allow(&tasks[..1], "arn:aws:ecs:*:*:task/*"), allow(&instances, "arn:aws:ecs:*:*:container-instance/*"), allow(&machines, "*"),]);
        assert_eq!(of(Wanted::Auto, &[], None), anywhere);
        let mut there = allow(&machines, "*");
        there["Condition"] = json!({"StringEquals": {"aws:RequestedRegion": "cn-north-1"}});
        let china = json!([allow(&tasks, "arn:aws-cn:ecs:cn-north-1:*:task/*"), allow(&instances, "arn:aws-cn:ecs:cn-north-1:*:container-instance/*"), there,]);
        assert_eq!(of(Wanted::On, &["team"], Some("cn-north-1")), china);
        assert_eq!(of(Wanted::Off, &["team"], None), json!([]));
        let pushes = Settings { ecs: Wanted::Off, prometheus: Some("us-east-2".into()), ..Settings::default() };
        assert_eq!(policy(&pushes, Some("eu-west-1"))["Statement"], json!([allow(&["aps:RemoteWrite"], "arn:aws:aps:us-east-2:*:workspace/*")]));
    }

    #[test]
    fn an_instance_has_an_id_of_its_kind() {
        for (id, is) in [
            ("i-0123456789abcdef0", true),
            ("i-1a2b3c4d", true),
            ("mi-0123456789abcdef0", true),
            ("i-", false),
            ("i-xyz45678", false),
            ("ii-12345678", false),
            ("", false),
            ("i-12345678&Action=TerminateInstances", false),
        ] {
            assert_eq!(is_instance(id), is, "{id}");
        }
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
        let statement = |(name, resource)| {
            let mut statement = json!({"Effect": "Allow", "Action": [name], "Resource": resource});
            if resource == "*" {
                statement["Condition"] = json!({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}});
            }
            statement
        };
        assert_eq!(policy["Statement"], json!(rights.map(statement)));
    }

    #[test]
    fn nothing_is_asked_where_nobody_gave_a_role() {
        for (ecs, role, asks) in [(Wanted::Auto, false, false), (Wanted::Auto, true, true), (Wanted::On, false, true), (Wanted::Off, true, false)] {
            let settings = Settings { ecs, ..Settings::default() };
            assert_eq!(settings.asks_ecs(|name| role && ROLE.contains(&name)), asks, "{ecs:?} {role}");
        }
    }
}
