//! The EC2 instance metadata service, version 2: which instance this is, of which type, where, and how it is bought.
//!
//! It is asked once an hour; while it does not answer as `probe` says. A Spot instance is asked every few seconds whether EC2 wants it back. AWS: "Use the Instance Metadata Service to access instance metadata".

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join, join_all};
use jiff::Timestamp;
use serde::Deserialize;

use super::probe::Probe;
use super::{Reading, Source, Told};
use crate::error::Error;
use crate::http::Client;
use crate::roots::{Address, Clock};
use crate::snapshot::{Gap, Instance, Market, Notice, SourceName};

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long one answer may take. On an instance it takes milliseconds.
    pub deadline: Duration,
    /// How often what was learnt is asked for again.
    pub refresh: Duration,
}

/// The metadata service at one address.
#[derive(Debug)]
pub struct Imds {
    client: Client,
    clock: Clock,
    settings: Settings,
    learnt: Option<Instance>,
    gaps: Vec<Gap>,
    /// What was learnt is good until then; `None`: nothing is, or not all.
    next: Option<Instant>,
    probe: Probe,
    /// The last token. It is good for six hours.
    token: Option<String>,
    notices: Notices,
    /// How often in a row the notices could not be read, and why at last.
    unheard: u32,
    deaf: Option<String>,
}

/// What EC2 has announced.
type Notices = (Option<Notice>, Option<Timestamp>);

pub(crate) const TOKEN: &str = "/latest/api/token";
pub(crate) const META_DATA: &str = "/latest/meta-data/";
/// What is asked for below it.
pub(crate) const DATA: [&str; 5] = ["instance-id", "instance-type", "placement/region", "placement/availability-zone", "instance-life-cycle"];
pub(crate) const INTERRUPTION: &str = "/latest/meta-data/spot/instance-action";
pub(crate) const REBALANCE: &str = "/latest/meta-data/events/recommendations/rebalance";
/// A notice comes two minutes ahead. AWS: "we recommend that you check for these interruption notices every 5 seconds".
const NOTICED_WITHIN: Duration = Duration::from_secs(5);
/// After so many failures in a row the notices are left alone until the instance is asked for the rest.
const GIVE_UP: u32 = 3;
const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";
/// An identity document has 0.5 KiB, all else is a word.
pub(crate) const ANSWER_LIMIT: usize = 16 << 10;
/// No word of ours is longer; what is, is no answer of this service.
const WORD_LIMIT: usize = 256;

impl Imds {
    /// A source; nothing is asked before the first read.
    pub fn new(address: Address, clock: Clock, settings: Settings) -> Imds {
        Imds {
            client: Client::new(address),
            clock,
            settings,
            learnt: None,
            gaps: Vec::new(),
            next: None,
            probe: Probe::default(),
            token: None,
            notices: (None, None),
            unheard: 0,
            deaf: None,
        }
    }

    async fn look(&mut self, by: Instant) -> Reading {
        let now = Instant::now();
        if self.next.is_none_or(|next| next <= now) && self.probe.asks(now) {
            self.ask(by).await;
        }
        if self.is_watching() {
            self.watch(by).await;
        }
        let (interruption, rebalance) = self.notices;
        let told = self.learnt.clone().map(|learnt| Told::Instance(Instance { interruption, rebalance, ..learnt }));
        let deaf = self.deaf.as_ref().filter(|_| self.unheard >= GIVE_UP).map(|why| Gap {
            from: SourceName::Imds,
            what: "spot notices".into(),
            why: format!("whether EC2 wants this instance back is not asked any more for an hour: {why}").into(),
        });
        Reading { from: SourceName::Imds, at: self.clock.now(), told, gaps: self.gaps.iter().cloned().chain(deaf).collect() }
    }

    /// Whether EC2 may want the instance back: it is Spot, or nobody knows how it is bought.
    fn is_watching(&self) -> bool {
        self.learnt.as_ref().is_some_and(|learnt| matches!(learnt.market, None | Some(Market::Spot))) && self.unheard < GIVE_UP
    }

    async fn watch(&mut self, by: Instant) {
        // Counted before it is asked: whoever ends us at the deadline hears no answer either.
        self.unheard += 1;
        match self.announced(by).await {
            Ok(notices) => (self.notices, self.unheard, self.deaf) = (notices, 0, None),
            Err(why) => (self.token, self.deaf) = (None, Some(why)),
        }
    }

    /// Both notices; one that was not given is `None`. Errors: what was last announced still stands.
    async fn announced(&mut self, by: Instant) -> Result<Notices, String> {
        let token = match self.token.take() {
            Some(token) => token,
            None => self.token(by).await?,
        };
        let headers = [("x-aws-ec2-metadata-token", token.as_str())];
        let until = self.until(by);
        let get = |path| self.client.get(path, &headers, until, ANSWER_LIMIT);
        let (interruption, rebalance) = join(get(INTERRUPTION), get(REBALANCE)).await;
        let notices =
            (notice::<Action>(INTERRUPTION, interruption)?.map(Notice::from), notice::<Rebalance>(REBALANCE, rebalance)?.map(|notice| notice.notice_time));
        self.token = Some(token);
        Ok(notices)
    }

    async fn ask(&mut self, by: Instant) {
        let asked = match self.token(by).await {
            Ok(token) => {
                let instance = self.instance(&token, by).await;
                self.token = Some(token);
                instance
            }
            Err(why) => Err(why),
        };
        self.gaps.clear();
        match asked {
            Ok((instance, trouble)) => {
                self.learnt = Some(instance);
                self.unheard = 0;
                self.gaps.extend(trouble.map(gap));
            }
            // What an instance is does not change while it runs, so what was learnt is still told.
            Err(why) => self.gaps.push(gap(why)),
        }
        self.next = None;
        if self.gaps.is_empty() {
            let now = Instant::now();
            self.probe.answered(now);
            self.next = now.checked_add(self.settings.refresh);
        }
    }

    /// The token that every other request needs. Errors: words for a person.
    async fn token(&self, by: Instant) -> Result<String, String> {
        let headers = [("x-aws-ec2-metadata-token-ttl-seconds", "21600")];
        match self.client.put_token(TOKEN, &headers, self.until(by), ANSWER_LIMIT).await {
            Ok(body) => word(&body).map(str::to_owned).ok_or_else(|| {
                "what answers at the metadata address gives no token: a proxy stands in between; fix: exempt 169.254.169.254 from the proxy".into()
            }),
            Err(error @ Error::Late { .. }) => Err(self.silence(&error, by).await),
            Err(error) => Err(explain(&error)),
        }
    }

    /// The token never came. An instance still refuses at once whoever asks without one: then only the token's answer is lost on its way.
    async fn silence(&self, error: &Error, by: Instant) -> String {
        match self.client.get(META_DATA, &[], self.until(by), ANSWER_LIMIT).await {
            Ok(_) | Err(Error::Status { .. }) => "the metadata service answers, but the token never came: the instance's hop limit is 1, \
                so its answer ends before this container; fix: aws ec2 modify-instance-metadata-options --instance-id ID \
                --http-put-response-hop-limit 2, or run with host network, or set the instance type and region"
                .into(),
            Err(_) => format!(
                "{error}: not EC2, or blocked by a firewall rule or network policy; fix: on EC2 allow 169.254.169.254, elsewhere set the instance type and region"
            ),
        }
    }

    /// Everything there is to learn, and why some of it is missing. Errors: nothing could be learnt.
    async fn instance(&self, token: &str, by: Instant) -> Result<(Instance, Option<String>), String> {
        let headers = [("x-aws-ec2-metadata-token", token)];
        let paths: Vec<String> = DATA.iter().map(|name| format!("{META_DATA}{name}")).chain([DOCUMENT.to_owned()]).collect();
        let by = self.until(by);
        let answers = join_all(paths.iter().map(|path| self.client.get(path, &headers, by, ANSWER_LIMIT))).await;

        let mut trouble = None;
        let mut bodies = answers.into_iter().zip(&paths).map(|(answer, path)| match answer {
            Ok(body) if path == DOCUMENT || word(&body).is_some_and(|word| fits(path, word)) => Some(body),
            Ok(_) => {
                trouble.get_or_insert_with(|| format!("{path}: what the metadata service says is no such word"));
                None
            }
            // Older emulators and outposts lack some of them: not known, and nothing to mend.
            Err(Error::Status { status: 404, .. }) => None,
            Err(error) => {
                trouble.get_or_insert_with(|| error.to_string());
                None
            }
        });
        let mut next = || bodies.next().flatten();
        let (id, kind, region, zone, market, document) = (next(), next(), next(), next(), next(), next());
        let document: Document = document.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
        let say = |body: Option<bytes::Bytes>, else_: Option<String>| -> Option<Arc<str>> {
            let body = body.or(else_.map(bytes::Bytes::from))?;
            word(&body).map(Arc::from)
        };
        let instance = Instance {
            id: say(id, document.instance_id),
            kind: say(kind, document.instance_type),
            region: say(region, document.region),
            zone: say(zone, document.availability_zone),
            account: say(None, document.account_id).filter(|account| account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())),
            market: market.and_then(|body| serde_json::from_value(word(&body)?.into()).ok()),
            interruption: None,
            rebalance: None,
        };
        if instance == Instance::default() {
            return Err(trouble.unwrap_or_else(|| "the metadata service gives a token but says nothing of the instance".into()));
        }
        Ok((instance, trouble))
    }

    fn until(&self, by: Instant) -> Instant {
        Instant::now().checked_add(self.settings.deadline).map_or(by, |own| own.min(by))
    }
}

impl Source for Imds {
    fn name(&self) -> SourceName {
        SourceName::Imds
    }

    /// A turn asks nothing unless it is time to.
    fn every(&self) -> Duration {
        if self.is_watching() { NOTICED_WITHIN } else { Duration::from_secs(30) }
    }

    /// The token, and the question whether it was lost or the rest and the notices.
    fn deadline(&self) -> Duration {
        self.settings.deadline.saturating_mul(3)
    }

    fn read(&mut self, by: Instant) -> BoxFuture<'_, Reading> {
        if *self.client.address() == Address::Nowhere {
            // Nobody asked for it, or the recorded host has none: nothing is missing.
            let nothing = Reading { from: SourceName::Imds, at: self.clock.now(), told: None, gaps: Vec::new() };
            return Box::pin(async move { nothing });
        }
        Box::pin(self.look(by))
    }
}

/// The signed document of the instance; here its word is taken without the signature.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    account_id: Option<String>,
    region: Option<String>,
    instance_id: Option<String>,
    instance_type: Option<String>,
    availability_zone: Option<String>,
}

/// `{"action": "stop", "time": "2017-09-18T08:22:00Z"}`
#[derive(Deserialize)]
struct Action {
    #[serde(default)]
    action: serde_json::Value,
    time: Timestamp,
}

impl From<Action> for Notice {
    fn from(Action { action, time }: Action) -> Notice {
        Notice { what: serde_json::from_value(action).ok(), at: time }
    }
}

/// `{"noticeTime": "2020-10-27T08:22:00Z"}`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rebalance {
    notice_time: Timestamp,
}

/// One notice; `None` where the service has none: it says so with 404. Errors: words for a person.
fn notice<T: serde::de::DeserializeOwned>(path: &str, answer: Result<bytes::Bytes, Error>) -> Result<Option<T>, String> {
    match answer {
        Ok(body) => serde_json::from_slice(&body).map(Some).map_err(|_| format!("{path}: what the metadata service says is no notice")),
        Err(Error::Status { status: 404, .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// A printable ASCII word without blanks or markup; a page of a proxy is none.
pub(crate) fn word(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.trim_end_matches(['\r', '\n']);
    let fine = |b: u8| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'{' | b'}');
    (!text.is_empty() && text.len() <= WORD_LIMIT && text.bytes().all(fine)).then_some(text)
}

/// Whether a word looks like what was asked for: a portal that wants a login answers every question alike.
fn fits(path: &str, word: &str) -> bool {
    match path.strip_prefix(META_DATA) {
        Some("instance-id") => word.starts_with("i-"),
        Some("instance-type") => word.contains('.'),
        Some("placement/region" | "placement/availability-zone") => word.contains('-'),
        _ => true,
    }
}

fn explain(error: &Error) -> String {
    let (what, fix) = match error {
        Error::Status { status: 403, .. } => {
            ("it is switched off for this instance", "aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled")
        }
        Error::Status { status: 404 | 405, .. } => {
            ("what answers knows no token, so it is no IMDSv2", "let 169.254.169.254 reach the instance's own service, or set the instance type and region")
        }
        Error::TooLarge { .. } => ("a proxy stands in between", "exempt 169.254.169.254 from the proxy"),
        Error::Endpoint { .. } => ("not EC2, or blocked by a firewall rule", "on EC2 allow 169.254.169.254, elsewhere set the instance type and region"),
        _ => ("the metadata service does not work", "set the instance type and region"),
    };
    format!("{error}: {what}; fix: {fix}")
}

fn gap(why: String) -> Gap {
    Gap { from: SourceName::Imds, what: "instance".into(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshot::Interruption;
    use crate::sources::metadata::{Answer, Service};

    fn imds(address: Address) -> Imds {
        Imds::new(address, Clock::Fixed(Default::default()), Settings { deadline: Duration::from_millis(300), refresh: Duration::from_secs(3600) })
    }

    /// Live ones get as long as a busy machine needs, for it is not their speed that is looked at.
    fn patient(address: Address) -> Imds {
        let mut imds = imds(address);
        imds.settings.deadline = Duration::from_secs(20);
        imds
    }

    async fn read(imds: &mut Imds) -> Reading {
        imds.read(Instant::now() + Duration::from_secs(60)).await
    }

    fn instance(reading: &Reading) -> &Instance {
        match &reading.told {
            Some(Told::Instance(instance)) => instance,
            other => panic!("{other:?} {:?}", reading.gaps),
        }
    }

    #[tokio::test]
    async fn an_instance_is_read_once_and_then_hourly() {
        let service = Service::start().await;
        let mut imds = patient(Address::Http(service.url()));
        let reading = read(&mut imds).await;
        assert_eq!(reading.gaps, []);
        let all = Instance {
            id: Some("i-1234567890abcdef0".into()),
            kind: Some("m4.xlarge".into()),
            region: Some("us-east-1".into()),
            zone: Some("us-east-1a".into()),
            account: Some("111122223333".into()),
            market: Some(Market::Spot),
            interruption: None,
            rebalance: None,
        };
        assert_eq!(instance(&reading), &all);
        assert_eq!((service.asked().len(), imds.every()), (9, NOTICED_WITHIN));
        assert_eq!(instance(&read(&mut imds).await), &all);
        assert_eq!(service.asked().len(), 2, "a Spot instance is asked for its notices, with the same token");
        assert!(imds.next.unwrap() > Instant::now() + Duration::from_secs(3000));
    }

    #[tokio::test]
    async fn what_ec2_announces_is_heard_and_can_be_taken_back() {
        let service = Service::start().await;
        let mut imds = patient(Address::Http(service.url()));
        assert_eq!(read(&mut imds).await.gaps, []);
        let at: Timestamp = "2026-09-18T08:22:00Z".parse().unwrap();
        for (action, notice, what, since) in [
            (r#"{"action": "stop", "time": "2026-09-18T08:22:00Z"}"#, r#"{"noticeTime": "2026-09-18T08:22:00Z"}"#, Some(Interruption::Stop), Some(at)),
            (r#"{"action": "terminate", "time": "2026-09-18T08:22:00Z"}"#, "", Some(Interruption::Terminate), None),
            (r#"{"action": 7, "time": "2026-09-18T08:22:00Z"}"#, "", None, None),
            (r#"{"time": "2026-09-18T08:22:00Z"}"#, "", None, None),
        ] {
            let say = |text: &str| if text.is_empty() { Answer::Status(404) } else { Answer::Text(text.into()) };
            service.says(INTERRUPTION, say(action));
            service.says(REBALANCE, say(notice));
            let reading = read(&mut imds).await;
            assert_eq!((instance(&reading).interruption, instance(&reading).rebalance), (Some(Notice { what, at }), since), "{action}");
        }
        service.says(INTERRUPTION, Answer::Status(404));
        assert_eq!(instance(&read(&mut imds).await).interruption, None);
    }

    #[tokio::test]
    async fn notices_are_left_alone_after_three_failures_and_what_was_announced_stands() {
        let service = Service::start().await;
        let mut imds = patient(Address::Http(service.url()));
        service.says(INTERRUPTION, Answer::Text(r#"{"action": "hibernate", "time": "2026-09-18T08:22:00Z"}"#.into()));
        let announced = instance(&read(&mut imds).await).interruption;
        assert_eq!(announced.unwrap().what, Some(Interruption::Hibernate));
        for (failure, gaps) in [(Answer::Text("<html>login</html>".into()), 0), (Answer::Status(401), 0), (Answer::Text(r#"{"time": "soon"}"#.into()), 1)] {
            service.says(INTERRUPTION, failure);
            let reading = read(&mut imds).await;
            assert_eq!((instance(&reading).interruption, reading.gaps.len()), (announced, gaps));
        }
        service.asked();
        assert_eq!(&*read(&mut imds).await.gaps[0].what, "spot notices");
        assert_eq!((service.asked(), imds.every()), (Vec::new(), Duration::from_secs(30)));
        // The next time the instance is asked for everything, it is asked for its notices too.
        service.says(INTERRUPTION, Answer::Status(404));
        imds.next = None;
        let reading = read(&mut imds).await;
        assert_eq!((instance(&reading).interruption, reading.gaps), (None, vec![]));
    }

    #[tokio::test]
    async fn only_one_that_may_be_spot_is_asked_for_notices() {
        for (market, asked) in [(Answer::Text("on-demand".into()), false), (Answer::Text("scheduled".into()), true), (Answer::Status(404), true)] {
            let service = Service::start().await;
            service.says("/latest/meta-data/instance-life-cycle", market);
            read(&mut patient(Address::Http(service.url()))).await;
            assert_eq!(service.asked().iter().any(|path| path.ends_with(INTERRUPTION)), asked);
        }
    }

    #[tokio::test]
    async fn a_portal_that_answers_every_question_alike_is_no_instance() {
        let service = Service::start().await;
        for path in DATA.iter().map(|name| format!("{META_DATA}{name}")).chain([TOKEN.into(), DOCUMENT.into()]) {
            service.says(&path, Answer::Text("OK".into()));
        }
        let reading = read(&mut patient(Address::Http(service.url()))).await;
        assert!(reading.told.is_none() && reading.gaps[0].why.contains("no such word"), "{reading:?}");
    }

    #[tokio::test]
    async fn each_silence_has_its_own_reason() {
        for (token, plain, words) in [
            (Answer::Never, Answer::Status(401), "hop limit is 1"),
            (Answer::Never, Answer::Never, "not EC2, or blocked"),
            (Answer::Status(403), Answer::Status(403), "switched off"),
            (Answer::Status(404), Answer::Status(404), "no IMDSv2"),
            (Answer::Status(405), Answer::Status(405), "no IMDSv2"),
            (Answer::Status(500), Answer::Status(500), "does not work"),
            (Answer::Text("<html>login</html>".into()), Answer::Status(200), "proxy"),
            (Answer::Text("x".repeat(1 << 20)), Answer::Status(200), "proxy"),
            (Answer::Text("a\u{7f}b".into()), Answer::Status(200), "proxy"),
        ] {
            let service = Service::start().await;
            service.says("/latest/api/token", token.clone());
            service.says("/latest/meta-data/", plain);
            let mut imds = if matches!(token, Answer::Never) { imds(Address::Http(service.url())) } else { patient(Address::Http(service.url())) };
            let reading = read(&mut imds).await;
            assert!(reading.told.is_none());
            let why = &reading.gaps[0].why;
            assert!(why.contains(words) && why.contains("; fix: "), "{token:?}: {why}");
            // Until the pause is over nothing more is asked, and the gap stands.
            service.asked();
            assert_eq!(read(&mut imds).await.gaps, reading.gaps);
            assert_eq!(service.asked(), Vec::<String>::new());
        }
        let mut refused = patient(Address::Http("http://127.0.0.1:1".into()));
        assert!(read(&mut refused).await.gaps[0].why.contains("not EC2, or blocked"));
    }

    #[tokio::test]
    async fn it_recovers_and_keeps_what_it_learnt() {
        let service = Service::start().await;
        service.says("/latest/api/token", Answer::Status(503));
        let mut imds = patient(Address::Http(service.url()));
        assert!(read(&mut imds).await.told.is_none());
        service.says("/latest/api/token", Answer::Text("TOKEN==".into()));
        imds.probe = Probe::default();
        let reading = read(&mut imds).await;
        assert_eq!((instance(&reading).kind.as_deref(), reading.gaps.len()), (Some("m4.xlarge"), 0));
        service.says("/latest/api/token", Answer::Status(503));
        imds.next = None;
        let reading = read(&mut imds).await;
        assert_eq!((instance(&reading).kind.as_deref(), reading.gaps.len()), (Some("m4.xlarge"), 1));
    }

    #[tokio::test]
    async fn garbage_is_refused_value_by_value() {
        let service = Service::start().await;
        service.says("/latest/meta-data/instance-type", Answer::Text("<html>m5.large</html>".into()));
        service.says("/latest/meta-data/instance-life-cycle", Answer::Text("scheduled".into()));
        service.says("/latest/meta-data/placement/region", Answer::Status(404));
        service.says("/latest/dynamic/instance-identity/document", Answer::Text(json!({"accountId": "12", "region": "eu-west-1"}).to_string()));
        let reading = read(&mut patient(Address::Http(service.url()))).await;
        let instance = instance(&reading);
        assert_eq!((&instance.kind, &instance.account, instance.market), (&None, &None, None));
        assert_eq!((instance.region.as_deref(), instance.id.as_deref()), (Some("eu-west-1"), Some("i-1234567890abcdef0")));
        assert!(reading.gaps[0].why.contains("instance-type"));
    }

    #[test]
    fn what_is_a_word() {
        for (body, is) in [("m7i.large", true), ("i-0abc\n", true), ("", false), ("a b", false), ("<p>", false), ("é", false), ("{}", false), ("a\0b", false)]
        {
            assert_eq!(word(body.as_bytes()).is_some(), is, "{body:?}");
        }
        assert!(word(&[b'x'; WORD_LIMIT]).is_some() && word(&[b'x'; WORD_LIMIT + 1]).is_none() && word(b"\xff").is_none());
    }

    #[tokio::test]
    async fn a_recorded_instance_is_read_like_a_live_one_and_none_is_quiet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.json");
        let answers = json!({
            "PUT /latest/api/token": {"status": 200, "body": "TOKEN"},
            "GET /latest/meta-data/instance-type": {"status": 200, "body": "m7i.large"},
            "GET /latest/dynamic/instance-identity/document": {"status": 200, "body": {"accountId": "111122223333"}}
        });
        std::fs::write(&path, answers.to_string()).unwrap();
        let reading = read(&mut patient(Address::Answers(path))).await;
        let told = instance(&reading);
        assert_eq!((told.kind.as_deref(), told.account.as_deref(), told.id.as_deref(), reading.gaps.len()), (Some("m7i.large"), Some("111122223333"), None, 0));
        let reading = read(&mut imds(Address::Nowhere)).await;
        assert!(reading.told.is_none() && reading.gaps.is_empty());
    }
}
