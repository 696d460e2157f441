//! `tare generate`: what must be set elsewhere for Tare, made of the settings in force.

use anyhow::{Context, Result, bail};

use crate::aws;
use crate::config::Settings;

/// The least IAM policy, as JSON. Errors: the settings ask AWS nothing, and IAM takes no policy without a statement.
pub fn iam(settings: &Settings) -> Result<String> {
    let policy = aws::policy(&settings.aws, settings.host.region.as_deref());
    if policy["Statement"].as_array().is_none_or(Vec::is_empty) {
        bail!("AWS is asked nothing, as set (ecs.api is \"off\"): no policy is needed");
    }
    let text = serde_json::to_string_pretty(&policy).context("the policy cannot be written")?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Wanted;

    #[test]
    fn the_policy_is_json_that_iam_takes() {
        let mut settings = crate::config::load(None, [], &[]).unwrap().settings;
        let policy: serde_json::Value = serde_json::from_str(&iam(&settings).unwrap()).unwrap();
        assert_eq!((&policy["Version"], &policy["Statement"][0]["Action"][0]), (&"2012-10-17".into(), &"ecs:DescribeTasks".into()));
        settings.aws.ecs = Wanted::Off;
        assert!(iam(&settings).unwrap_err().to_string().contains("no policy is needed"));
    }
}
