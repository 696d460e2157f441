//! What AWS is asked, and what that needs to be allowed.

pub mod ecs;
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
    wanted: |settings| settings.ecs != Wanted::Off && !settings.tags.is_empty(),
    gives: "tags of ECS tasks",
};

/// All of them.
pub static ACTIONS: [&Action; 2] = [&DESCRIBE_TASKS, &LIST_TAGS];

/// The least policy for these settings, one statement a resource. `region` narrows it to one.
pub fn policy(settings: &Settings, region: Option<&str>) -> Value {
    let mut statements: Vec<(String, Vec<&str>)> = Vec::new();
    for action in ACTIONS.into_iter().filter(|action| (action.wanted)(settings)) {
        let resource = format!("arn:{}:ecs:{}:*:{}", partition(region), region.unwrap_or("*"), action.resource);
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
        let of = |ecs, tags: &[&str], region| policy(&Settings { ecs, tags: tags.iter().map(|tag| (*tag).into()).collect() }, region);
        let statement =
            |names: &[&str], resource: &str| json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": names, "Resource": resource}]});
        let both = ["ecs:DescribeTasks", "ecs:ListTagsForResource"];
        assert_eq!(of(Wanted::Auto, &[], None), statement(&both[..1], "arn:aws:ecs:*:*:task/*"));
        assert_eq!(of(Wanted::On, &["team"], Some("cn-north-1")), statement(&both, "arn:aws-cn:ecs:cn-north-1:*:task/*"));
        assert_eq!(of(Wanted::Off, &["team"], None)["Statement"], json!([]));
    }

    #[test]
    fn nothing_is_asked_where_nobody_gave_a_role() {
        for (ecs, role, asks) in [(Wanted::Auto, false, false), (Wanted::Auto, true, true), (Wanted::On, false, true), (Wanted::Off, true, false)] {
            let settings = Settings { ecs, tags: Vec::new() };
            assert_eq!(settings.asks_ecs(|name| role && ROLE.contains(&name)), asks, "{ecs:?} {role}");
        }
    }
}
