//! `[remote_write]`: where to push, and who Tare says it is there.

use std::time::Duration;

use hyper::header::{self, HeaderName, HeaderValue};

use super::{Values, choice, globs, metrics, optional, path, region};
use crate::metrics::choice::Choice;
use crate::metrics::schema::Tier;
use crate::sinks::post::Target;
use crate::sinks::remote_write::encode::{Version, Wanted};
use crate::sinks::remote_write::{Auth, Settings};

impl Values {
    /// The section; inner `None`: nothing is pushed. `everywhere`: labels that stand on every series wherever it is told.
    pub(super) fn remote_write(&mut self, everywhere: Option<&[(String, String)]>) -> Option<Option<Settings>> {
        let second = Duration::from_secs;
        let target = self.read("remote_write.url", |text| optional(text, Target::parse));
        let version = self.read("remote_write.version", |text| {
            Ok(match choice(text, &["auto", "1", "2"])? {
                "1" => Some(Version::One),
                "2" => Some(Version::Two),
                _ => None,
            })
        });
        let every = self.span("remote_write.every", second(1)..=second(3600));
        let timeout = self.span("remote_write.timeout", second(1)..=second(300));
        let user = self.read("remote_write.user", |text| optional(text, user));
        let password_file = self.read("remote_write.password_file", |text| optional(text, path));
        let token_file = self.read("remote_write.token_file", |text| optional(text, path));
        let region = self.read("remote_write.region", |text| optional(text, region));
        let url = target.clone().flatten();
        let auth = self.read("remote_write.auth", |text| match choice(text, &["none", "basic", "bearer", "sigv4"])? {
            "basic" => match (user.clone().flatten(), password_file.clone().flatten()) {
                (Some(user), Some(password_file)) => Ok(Auth::Basic { user, password_file }),
                _ => Err("it needs remote_write.user and remote_write.password_file".into()),
            },
            "bearer" => token_file.clone().flatten().map(Auth::Bearer).ok_or_else(|| "it needs remote_write.token_file".into()),
            "sigv4" if cfg!(not(feature = "aws")) => Err("this Tare was built without AWS".into()),
            "sigv4" => {
                let of_url = || url.as_ref().and_then(|target| amazon(&target.host));
                let region = region.clone().flatten().map(|region| region.to_string()).or_else(of_url);
                region.map(|region| Auth::Signed { region }).ok_or_else(|| "it needs remote_write.region".into())
            }
            _ => Ok(Auth::None),
        });
        let ca_file = self.read("remote_write.ca_file", |text| optional(text, path));
        let headers = self.list("remote_write.headers", extra_header);
        let tier = self.read("remote_write.tier", |text| {
            Ok(match choice(text, &["essential", "standard", "detail"])? {
                "essential" => Tier::Essential,
                "standard" => Tier::Standard,
                _ => Tier::Detail,
            })
        });
        let allow = self.list("remote_write.allow", metrics::glob);
        let deny = self.list("remote_write.deny", metrics::glob);
        let own = self.list("remote_write.external_labels", metrics::external_label);
        self.refuse_twice("remote_write.external_labels", own.as_deref().unwrap_or_default());
        let mut external = own?;
        let shadowed = external.clone();
        external.extend(everywhere?.iter().filter(|(name, _)| shadowed.iter().all(|(own, _)| own != name)).cloned());
        let wanted = Wanted { tier: tier?, choice: Choice::new(globs(allow?), globs(deny?), Vec::new(), &[]) };
        let (version, every, timeout, auth, ca_file, headers) = (version?, every?, timeout?, auth?, ca_file?, headers?);
        Some(target?.map(|target| Settings { target, version, every, timeout, auth, ca_file, headers, wanted, external }))
    }
}

fn user(text: &str) -> Result<String, String> {
    // RFC 7617: the first colon ends it.
    if text.contains(':') || text.chars().any(char::is_control) { Err("allowed is a name without a colon".into()) } else { Ok(text.into()) }
}

/// The region in the name of an Amazon Managed Prometheus: `aps-workspaces.eu-west-1.amazonaws.com`.
fn amazon(host: &str) -> Option<String> {
    let mut parts = host.split('.');
    let region = parts.next().filter(|first| first.starts_with("aps-workspaces")).and(parts.next())?;
    parts.any(|part| part == "amazonaws").then(|| region.to_owned())
}

/// `X-Scope-OrgID=team`. What Tare sets itself is refused.
fn extra_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let allowed = || "allowed is \"Name=value\" of a header".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(allowed)?;
    let (name, value) = (HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| allowed())?, HeaderValue::from_str(value.trim()).map_err(|_| allowed())?);
    let ours = [
        header::HOST,
        header::AUTHORIZATION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::USER_AGENT,
    ];
    if ours.contains(&name) || name.as_str().starts_with("x-prometheus-remote-write") || name.as_str().starts_with("x-amz-") {
        return Err("Tare sets this header itself".into());
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn told(lines: &str) -> Result<Option<Settings>, String> {
        let text = format!("[remote_write]\n{lines}");
        load(None, [("TARE_CONFIG_CONTENT".into(), text.into())], &[]).map(|loaded| loaded.settings.remote_write).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn nothing_is_pushed_until_there_is_a_url() {
        assert_eq!(told("auth = \"none\"").unwrap(), None);
        let settings =
            told("url = \"https://mimir.example/api/v1/push\"\nheaders = [\"X-Scope-OrgID=a=b\"]\nexternal_labels = [\"job=tare\"]").unwrap().unwrap();
        assert_eq!((settings.target.to_string().as_str(), settings.version), ("https://mimir.example/api/v1/push", None));
        assert_eq!(settings.headers, [(HeaderName::from_static("x-scope-orgid"), HeaderValue::from_static("a=b"))]);
        assert_eq!(settings.external, [("job".to_owned(), "tare".to_owned())]);
    }

    #[test]
    fn an_authentication_needs_what_it_is_made_of() {
        let url = "url = \"https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write\"\n";
        let auth = |lines: &str| told(&format!("{url}{lines}")).map(|settings| settings.unwrap().auth);
        let basic = "auth = \"basic\"\nuser = \"u\"\npassword_file = \"/p\"";
        assert_eq!(auth(basic).unwrap(), Auth::Basic { user: "u".into(), password_file: "/p".into() });
        assert_eq!(auth("auth = \"bearer\"\ntoken_file = \"/t\"").unwrap(), Auth::Bearer("/t".into()));
        #[cfg(feature = "aws")]
        assert_eq!(auth("auth = \"sigv4\"").unwrap(), Auth::Signed { region: "eu-west-1".into() });
        #[cfg(feature = "aws")]
        assert_eq!(auth("auth = \"sigv4\"\nregion = \"us-east-2\"").unwrap(), Auth::Signed { region: "us-east-2".into() });
        for (lines, said) in [
            ("auth = \"basic\"\nuser = \"u\"", "it needs remote_write.user and remote_write.password_file"),
            ("auth = \"basic\"\nuser = \"u:v\"\npassword_file = \"/p\"", "allowed is a name without a colon"),
            ("auth = \"bearer\"", "it needs remote_write.token_file"),
            ("headers = [\"authorization=x\"]", "Tare sets this header itself"),
            ("headers = [\"a b=x\"]", "allowed is \"Name=value\" of a header"),
        ] {
            let problem = auth(lines).unwrap_err();
            assert!(problem.contains(said), "{lines}: {problem}");
        }
    }

    #[test]
    fn a_label_of_its_own_beats_the_one_of_every_series() {
        let text = "[metrics]\nexternal_labels = [\"team=a\", \"stage=prod\"]\n[remote_write]\nurl = \"http://h\"\nexternal_labels = [\"team=b\"]";
        let settings = load(None, [("TARE_CONFIG_CONTENT".into(), text.into())], &[]).unwrap().settings.remote_write.unwrap();
        assert_eq!(settings.external, [("team", "b"), ("stage", "prod")].map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
