//! Names of things in ECS, checked letter by letter: anybody can set a Docker label.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{TaskId, is_hex, is_uuid};

/// An ECS task's ARN, in any partition: `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`, or without the cluster as old agents made it.
/// Source: AWS, "Amazon Resource Names (ARNs)"; Amazon ECS, "ARNs and IDs".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Arc<str>", into = "Arc<str>")]
pub struct TaskArn(Arc<str>);

/// The parts of a task's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts<'a> {
    region: &'a str,
    account: &'a str,
    cluster: Option<&'a str>,
    id: &'a str,
}

impl TaskArn {
    /// The ARN, if it is one of a task.
    pub fn parse(text: &str) -> Option<TaskArn> {
        parts(text).map(|_| TaskArn(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `us-east-1`.
    pub fn region(&self) -> &str {
        self.parts().region
    }

    /// 12 digits.
    pub fn account(&self) -> &str {
        self.parts().account
    }

    /// The cluster's short name, where the ARN has it.
    pub fn cluster(&self) -> Option<&str> {
        self.parts().cluster
    }

    /// Its last part, which names the task's cgroup too.
    pub fn id(&self) -> TaskId {
        self.parts().id.into()
    }

    fn parts(&self) -> Parts<'_> {
        // It was checked when it was made.
        parts(&self.0).unwrap_or(Parts { region: "", account: "", cluster: None, id: "" })
    }
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let mut fields = text.splitn(6, ':');
    let mut next = || fields.next();
    let (arn, partition, service, region, account, resource) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let of = |text: &str, fine: fn(u8) -> bool| (1..=63).contains(&text.len()) && text.bytes().all(fine);
    let named = arn == "arn"
        && partition.starts_with("aws")
        && of(partition, |b| b.is_ascii_lowercase() || b == b'-')
        && service == "ecs"
        && of(region, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit());
    let rest = resource.strip_prefix("task/").filter(|_| named)?;
    let (cluster, id) = rest.split_once('/').map_or((None, rest), |(cluster, id)| (Some(cluster), id));
    (cluster.is_none_or(is_name) && (is_hex(id, 32) || is_uuid(id, b'-'))).then_some(Parts { region, account, cluster, id })
}

/// Letters, digits, `-` and `_`, up to 255 of them: what ECS allows in the name of a cluster, a service, a task definition's family and a container.
pub fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The last part of a cluster's, a service's or an instance's ARN, or the short name itself; `None` for what is neither.
pub fn short_name(text: &str) -> Option<&str> {
    let name = match text.strip_prefix("arn:") {
        Some(rest) => rest.rsplit_once('/')?.1,
        None => text,
    };
    is_name(name).then_some(name)
}

impl TryFrom<Arc<str>> for TaskArn {
    type Error = String;

    fn try_from(text: Arc<str>) -> Result<TaskArn, String> {
        if parts(&text).is_some() { Ok(TaskArn(text)) } else { Err(format!("{text:?} is no task's ARN")) }
    }
}

impl From<TaskArn> for Arc<str> {
    fn from(arn: TaskArn) -> Arc<str> {
        arn.0
    }
}

impl fmt::Debug for TaskArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for TaskArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0f9de17a6465404e8b1b2356dc13c2f8";
    const UUID: &str = "9a1c4f0e-3b2d-4c5e-8f60-1a2b3c4d5e6f";

    #[test]
    fn an_arn_is_read_in_every_partition_and_of_every_age() {
        for (text, region, cluster, id) in [
            (format!("arn:aws:ecs:eu-west-1:111122223333:task/shop-prod/{ID}"), "eu-west-1", Some("shop-prod"), ID),
            (format!("arn:aws-cn:ecs:cn-north-1:111122223333:task/a_b/{ID}"), "cn-north-1", Some("a_b"), ID),
            (format!("arn:aws-us-gov:ecs:us-gov-west-1:111122223333:task/c/{UUID}"), "us-gov-west-1", Some("c"), UUID),
            (format!("arn:aws-eusc:ecs:eusc-de-east-1:111122223333:task/{UUID}"), "eusc-de-east-1", None, UUID),
        ] {
            let arn = TaskArn::parse(&text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((arn.region(), arn.account(), arn.cluster(), arn.id().as_str()), (region, "111122223333", cluster, id));
            assert_eq!(arn.as_str(), text);
        }
    }

    #[test]
    fn what_is_no_arn_of_a_task_is_none() {
        for text in [
            String::new(),
            "arn".into(),
            ID.into(),
            format!("arn:aws:ecs:eu-west-1:11112222333:task/c/{ID}"),
            format!("arn:aws:ecs:eu-west-1:111122223333:task/c/{}", &ID[1..]),
            format!("arn:aws:ecs:eu-west-1:111122223333:task/c/d/{ID}"),
            format!("arn:aws:ecs:eu-west-1:111122223333:task/c{{}}/{ID}"),
            format!("arn:aws:ecs:eu-west-1:111122223333:service/c/{ID}"),
            format!("arn:aws:ec2:eu-west-1:111122223333:task/c/{ID}"),
            format!("arn:evil:ecs:eu-west-1:111122223333:task/c/{ID}"),
            format!("arn:aws:ecs:eu-west-1\n:111122223333:task/c/{ID}"),
            format!(" arn:aws:ecs:eu-west-1:111122223333:task/c/{ID}"),
            format!("arn:aws:ecs:eu-west-1:111122223333:task/c/{ID}\n"),
            format!("arn:aws:ecs::111122223333:task/c/{ID}"),
        ] {
            assert_eq!(TaskArn::parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn a_short_name_is_the_last_part_of_an_arn_or_itself() {
        for (text, name) in [
            ("arn:aws:ecs:us-east-1:111122223333:cluster/shop", Some("shop")),
            ("arn:aws:ecs:us-east-1:111122223333:container-instance/shop/1f73d099b914411ca9ff81633b7741dd", Some("1f73d099b914411ca9ff81633b7741dd")),
            ("shop-prod", Some("shop-prod")),
            ("", None),
            ("arn:aws", None),
            ("a b", None),
            ("a/b", None),
        ] {
            assert_eq!(short_name(text), name, "{text:?}");
        }
    }

    #[test]
    fn a_report_carries_the_arn_as_its_text_and_refuses_another() {
        let text = format!("\"arn:aws:ecs:eu-west-1:111122223333:task/shop-prod/{ID}\"");
        let arn: TaskArn = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&arn).unwrap(), text);
        assert!(serde_json::from_str::<TaskArn>("\"arn:aws:ecs\"").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(arn|aws|ecs|:|task|/|[0-9]{12}|[0-9a-f]{32}|é|[a-z]{0,3}){0,14}") {
            if let Some(arn) = TaskArn::parse(&text) {
                proptest::prop_assert!(arn.as_str().ends_with(arn.id().as_str()));
            }
        }
    }
}
