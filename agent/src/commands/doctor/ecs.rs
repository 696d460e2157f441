//! What doctor says of the machine's ECS agent: which it is, and what one of its age does not tell.

use super::{Finding, codes};
use crate::report::Report;

type Version = [u32; 3];

/// Since this one the bytes of tasks in network mode awsvpc are whole (github.com/aws/amazon-ecs-agent, pull request 4618).
const WHOLE_TRAFFIC: Version = [1, 100, 0];
/// What the task metadata endpoint tells since which version besides (the same project's CHANGELOG.md).
const TELLS: [(Version, &str); 3] = [([1, 45, 0], "launch types"), ([1, 63, 1], "services"), ([1, 86, 0], "restarts by a restart policy")];

/// What there is to say of the agent that answers here, if one does.
pub(super) fn agent(report: &Report) -> Option<Finding> {
    let host = &report.host.seen;
    let version = host.ecs_agent.as_deref()?;
    let Some(is) = parse(version).filter(|is| *is < WHOLE_TRAFFIC) else {
        let cluster = host.cluster.as_ref().map(|cluster| format!(", cluster {cluster}")).unwrap_or_default();
        return Some(codes::AGENT.found(format!("ECS agent {version}{cluster}")));
    };
    let untold: Vec<&str> = TELLS.into_iter().filter(|(since, _)| is < *since).map(|(_, what)| what).collect();
    let untold = if untold.is_empty() { String::new() } else { format!(", and does not tell {}", untold.join(", ")) };
    let words = "its task metadata endpoint tells too few bytes of tasks in network mode awsvpc";
    Some(codes::OLD_AGENT.found(format!("ECS agent {version} is older than 1.100.0: {words}{untold}")))
}

/// `1.105.1`; what is missing is zero. `None` for what is no version.
fn parse(version: &str) -> Option<Version> {
    let mut numbers = [0; 3];
    let mut places = numbers.iter_mut();
    for part in version.split('.') {
        *places.next()? = part.parse().ok()?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn said(version: &str) -> Option<(&'static str, String)> {
        let mut report = sample::report();
        (report.host.seen.ecs_agent, report.host.seen.cluster) = (Some(version.into()), Some("shop".into()));
        agent(&report).map(|finding| (finding.code, finding.what))
    }

    #[test]
    fn an_agent_is_as_old_as_its_numbers_say() {
        for (version, code) in [
            ("1.105.1", "TARE-075"),
            ("1.100.0", "TARE-075"),
            ("1.100", "TARE-075"),
            ("2.0.0", "TARE-075"),
            ("1.99.9", "TARE-074"),
            ("1.9.100", "TARE-074"),
            ("1", "TARE-074"),
            // Of what cannot be compared nothing is claimed.
            ("1.2.3.4", "TARE-075"),
            ("1..2", "TARE-075"),
            ("99999999999.0.0", "TARE-075"),
        ] {
            assert_eq!(said(version).map(|(code, _)| code), Some(code), "{version}");
        }
        assert_eq!(agent(&sample::report()), None, "no agent answers");
    }

    #[test]
    fn what_it_lacks_is_named() {
        assert_eq!(said("1.105.1").unwrap().1, "ECS agent 1.105.1, cluster shop");
        let words = "ECS agent 1.99.0 is older than 1.100.0: its task metadata endpoint tells too few bytes of tasks in network mode awsvpc";
        assert_eq!(said("1.99.0").unwrap().1, words);
        let untold = "does not tell launch types, services, restarts by a restart policy";
        assert!(said("1.44.4").unwrap().1.ends_with(untold) && said("1.63.1").unwrap().1.ends_with("does not tell restarts by a restart policy"));
    }
}
