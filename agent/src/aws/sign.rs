//! Signs requests by Signature Version 4, with the credentials that the SDK finds, for far ends of AWS that the SDK has no client for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use hyper::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::sync::OnceCell;

use super::http;
use crate::sinks::remote_write::Sign;

/// Amazon Managed Service for Prometheus.
pub const PROMETHEUS: &str = "aps";
/// Credentials are looked for anew so long before they end.
const EARLY: Duration = Duration::from_secs(120);
/// What has no end is looked for anew after this: files change.
const KEEP: Duration = Duration::from_secs(900);
/// A signature holds for five minutes; a clock that is nearer than this is not why one was refused.
const OFF: i64 = 60;

/// A signer for one service in one region.
pub struct Signer {
    region: String,
    service: &'static str,
    provider: OnceCell<Option<SharedCredentialsProvider>>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    credentials: Option<(Credentials, Instant)>,
    /// How many seconds the far end's clock is ahead of ours.
    ahead: i64,
}

impl Signer {
    /// Credentials are looked for when the first request is signed.
    pub fn new(region: String, service: &'static str) -> Signer {
        Signer { region, service, provider: OnceCell::new(), kept: Mutex::default() }
    }

    /// With these, for ever.
    #[cfg(test)]
    fn given(region: &str, service: &'static str, credentials: Credentials) -> Signer {
        let provider = Some(SharedCredentialsProvider::new(credentials));
        Signer { provider: OnceCell::new_with(Some(provider)), ..Signer::new(region.to_owned(), service) }
    }

    async fn credentials(&self) -> Result<Credentials, String> {
        if let Some((credentials, since)) = &self.kept().credentials {
            let holds = match credentials.expiry() {
                Some(end) => SystemTime::now() + EARLY < end,
                None => since.elapsed() < KEEP,
            };
            if holds {
                return Ok(credentials.clone());
            }
        }
        let provider = self.provider.get_or_init(|| async {
            let loader = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(self.region.clone())).http_client(http::client());
            loader.load().await.credentials_provider()
        });
        let provider = provider.await.as_ref().ok_or("no credentials of AWS are to be had here")?;
        let credentials = provider.provide_credentials().await.map_err(|e| format!("no credentials of AWS: {e}"))?;
        self.kept().credentials = Some((credentials.clone(), Instant::now()));
        Ok(credentials)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign_at(&self, url: &str, body: &[u8], credentials: Credentials, time: SystemTime) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let identity = credentials.into();
        let params = SigningParams::builder().identity(&identity).region(&self.region).name(self.service).time(time).settings(SigningSettings::default());
        let params = params.build().map_err(|e| e.to_string())?.into();
        let request = SignableRequest::new("POST", url, std::iter::empty(), SignableBody::Bytes(body)).map_err(|e| e.to_string())?;
        let (instructions, _) = sign(request, &params).map_err(|e| e.to_string())?.into_parts();
        let header = |(name, value): (&str, &str)| {
            let mut value = HeaderValue::from_str(value).map_err(|e| e.to_string())?;
            value.set_sensitive(true);
            Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?, value))
        };
        instructions.headers().map(header).collect()
    }
}

impl Sign for Signer {
    fn sign<'a>(&'a self, url: &'a str, body: &'a Bytes) -> BoxFuture<'a, Result<Vec<(HeaderName, HeaderValue)>, String>> {
        async move {
            let credentials = self.credentials().await?;
            let ahead = self.kept().ahead;
            let by = Duration::from_secs(ahead.unsigned_abs());
            let now = SystemTime::now();
            self.sign_at(url, body, credentials, if ahead < 0 { now - by } else { now + by })
        }
        .boxed()
    }

    /// AWS: "Common errors". A signature that is refused may be one of a wrong clock, or of credentials that have ended.
    fn hear(&self, said: &str, date: Option<&str>) -> bool {
        let says = |words: &[&str]| words.iter().any(|word| said.to_ascii_lowercase().contains(word));
        let mut kept = self.kept();
        if says(&["expiredtoken", "security token", "unrecognizedclient"]) {
            return kept.credentials.take().is_some();
        }
        if says(&["requesttimetooskewed", "invalidsignature", "signaturedoesnotmatch", "signature expired", "signature not yet current"]) {
            let Some(theirs) = date.and_then(|date| rfc2822::parse(date).ok()) else { return false };
            let ahead = theirs.timestamp().as_second() - Timestamp::now().as_second();
            let moved = (ahead - kept.ahead).abs() >= OFF;
            if moved {
                kept.ahead = ahead;
            }
            return moved;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(expires: Option<SystemTime>) -> Credentials {
        Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, expires, "test")
    }

    fn value<'a>(headers: &'a [(HeaderName, HeaderValue)], name: &str) -> &'a str {
        headers.iter().find(|(there, _)| there == name).unwrap().1.to_str().unwrap()
    }

    /// `post-vanilla` of AWS's Signature Version 4 test suite.
    #[test]
    fn a_signature_is_the_one_that_aws_publishes() {
        let signer = Signer::given("us-east-1", "service", credentials(None));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let headers = signer.sign_at("https://example.amazonaws.com/", b"", credentials(None), time).unwrap();
        assert_eq!(value(&headers, "x-amz-date"), "20150830T123600Z");
        assert_eq!(
            value(&headers, "authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
    }

    #[tokio::test]
    async fn the_body_and_the_token_are_signed() {
        let token = Credentials::new("AKID", "secret", Some("token".into()), None, "test");
        let signer = Signer::given("eu-west-1", PROMETHEUS, token);
        let url = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write";
        let headers = signer.sign(url, &Bytes::from_static(b"a")).await.unwrap();
        assert_eq!(value(&headers, "x-amz-security-token"), "token");
        let signed = value(&headers, "authorization");
        assert!(signed.contains("/eu-west-1/aps/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, "), "{signed}");
        let time = SystemTime::now();
        let of = |body: &[u8]| value(&signer.sign_at(url, body, credentials(None), time).unwrap(), "authorization").to_owned();
        assert_ne!(of(b"a"), of(b"b"));
    }

    #[tokio::test]
    async fn a_wrong_clock_is_set_right_and_ended_credentials_are_looked_for_anew() {
        let signer = Signer::given("us-east-1", PROMETHEUS, credentials(None));
        let skewed = "{\"message\":\"Signature expired: 20150830T123600Z is now earlier than …\"}";
        assert!(!signer.hear(skewed, None) && !signer.hear("AccessDenied", None));
        let theirs = Timestamp::now() + jiff::SignedDuration::from_hours(2);
        let date = rfc2822::to_string(&theirs.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
        assert!(signer.hear(skewed, Some(&date)));
        // Once it is right there is nothing more to learn.
        assert!(!signer.hear(skewed, Some(&date)));
        let headers = signer.sign("https://h/", &Bytes::new()).await.unwrap();
        let expected = theirs.strftime("%Y%m%dT%H").to_string();
        assert!(value(&headers, "x-amz-date").starts_with(&expected[..9]), "{expected}");
        assert!(signer.hear("ExpiredTokenException", None) && !signer.hear("ExpiredTokenException", None));
        let ended = credentials(Some(SystemTime::now() + Duration::from_secs(60)));
        signer.kept().credentials = Some((ended, Instant::now()));
        assert_eq!(signer.credentials().await.unwrap().expiry(), None, "what is about to end is looked for anew");
    }
}
