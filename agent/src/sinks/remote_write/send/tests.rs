//! A far end that does what it is told: all of what it may do ends with every sample taken in order, or counted.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};
use hyper::header::HeaderName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::super::encode::{ENDED, Wanted};
use super::super::fake;
use super::*;
use crate::metrics::agent::Agent;
use crate::metrics::choice::Choice;
use crate::metrics::packed::{Labels, Named, PackedFamily, Point};
use crate::metrics::schema::{Kind, Tier, Value};
use crate::sinks::backlog;
use crate::sinks::post::Target;

/// What the far end does about one request.
enum Do {
    /// Says this, whatever it was asked.
    Say(&'static str),
    /// The same once it is let.
    Wait(Arc<Notify>, &'static str),
    /// Nothing, for ever.
    Hang,
    /// Closes the connection without a word.
    Reset,
    /// Takes it, then says words without end.
    Talk,
    /// Takes it, and closes the connection though nobody said so.
    Leave,
}

/// One request as the far end had it.
#[derive(Clone)]
struct Asked {
    connection: usize,
    head: String,
    version: Version,
    series: Vec<fake::Series>,
    metadata: usize,
    was_taken: bool,
}

/// What is still to do, and what was asked.
type State = (VecDeque<Do>, Vec<Asked>);

/// A receiver that does what it is told, and after that takes everything in the version that it speaks.
#[derive(Clone)]
struct FarEnd {
    speaks: Version,
    url: String,
    state: Arc<Mutex<State>>,
    more: Arc<Notify>,
}

impl FarEnd {
    async fn new(speaks: Version, script: impl IntoIterator<Item = Do>) -> FarEnd {
        FarEnd::over(speaks, script, None).await
    }

    async fn over(speaks: Version, script: impl IntoIterator<Item = Do>, tls: Option<TlsAcceptor>) -> FarEnd {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https://localhost" } else { "http://127.0.0.1" };
        let url = format!("{scheme}:{}/api/v1/write", listener.local_addr().unwrap().port());
        let far = FarEnd { speaks, url, state: Arc::new(Mutex::new((script.into_iter().collect(), Vec::new()))), more: Arc::default() };
        let serving = far.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                let (far, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => drop(far.serve(connection, tls.accept(socket).await?).await),
                        None => drop(far.serve(connection, socket).await),
                    }
                    std::io::Result::Ok(())
                });
            }
        });
        far
    }

    async fn serve(&self, connection: usize, mut socket: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
        loop {
            let (head, body) = request(&mut socket).await?;
            let asked = self.read(connection, head, &body);
            let (samples, version) = (asked.series.len(), asked.version);
            let next = self.locked().0.pop_front();
            let kept = |was_taken: bool| {
                self.locked().1.push(Asked { was_taken, ..asked });
                self.more.notify_waiters();
            };
            let taken = || match (self.speaks, version) {
                (Version::Two, Version::Two) => format!("HTTP/1.1 204 No Content\r\nx-prometheus-remote-write-samples-written: {samples}\r\n\r\n"),
                _ => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            };
            match next {
                Some(Do::Hang) => {
                    kept(false);
                    std::future::pending::<()>().await;
                }
                Some(Do::Reset) => {
                    kept(false);
                    return Ok(());
                }
                Some(Do::Say(words)) => {
                    kept(false);
                    socket.write_all(words.as_bytes()).await?;
                }
                Some(Do::Wait(go, words)) => {
                    kept(false);
                    go.notified().await;
                    socket.write_all(words.as_bytes()).await?;
                }
                Some(Do::Talk) => {
                    kept(true);
                    socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                    while socket.write_all(&[b'x'; 4096]).await.is_ok() {}
                    return Ok(());
                }
                Some(Do::Leave) => {
                    kept(true);
                    return socket.write_all(taken().as_bytes()).await;
                }
                None => {
                    kept(self.speaks == version);
                    socket.write_all(taken().as_bytes()).await?;
                }
            }
        }
    }

    /// Reads it by the letter of its version.
    fn read(&self, connection: usize, head: String, body: &[u8]) -> Asked {
        let body = snap::raw::Decoder::new().decompress_vec(body).unwrap();
        let says = |line: &str| head.lines().any(|there| there == line);
        assert!(says("content-encoding: snappy") && says(concat!("user-agent: Tare/", env!("CARGO_PKG_VERSION"))), "{head}");
        let (version, series, metadata) = if says("x-prometheus-remote-write-version: 2.0.0") {
            assert!(says("content-type: application/x-protobuf;proto=io.prometheus.write.v2.Request"), "{head}");
            (Version::Two, fake::read_two(&body).unwrap(), 0)
        } else {
            assert!(says("x-prometheus-remote-write-version: 0.1.0") && says("content-type: application/x-protobuf"), "{head}");
            let (series, metadata) = fake::read_one(&body).unwrap();
            (Version::One, series, metadata.len())
        };
        Asked { connection, head, version, series, metadata, was_taken: false }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All requests once this holds of them.
    async fn once(&self, holds: impl Fn(&[Asked]) -> bool) -> Vec<Asked> {
        let wait = async {
            loop {
                let more = self.more.notified();
                let asked = self.locked().1.clone();
                if holds(&asked) {
                    return asked;
                }
                more.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it is asked in the end")
    }
}

async fn request(socket: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8(head)
        .unwrap()
        .to_ascii_lowercase()
        .replace("user-agent: tare", "user-agent: Tare")
        .replace("proto=io.prometheus.write.v2.request", "proto=io.prometheus.write.v2.Request");
    let size = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; size];
    socket.read_exact(&mut body).await?;
    Ok((head, body))
}

fn settings(far: &FarEnd, version: Option<Version>) -> Settings {
    Settings {
        target: Target::parse(&far.url).unwrap(),
        version,
        every: Duration::from_secs(1),
        timeout: Duration::from_secs(20),
        auth: Auth::None,
        ca_file: None,
        headers: vec![(HeaderName::from_static("x-scope-orgid"), HeaderValue::from_static("team"))],
        wanted: Wanted { tier: Tier::Detail, choice: Choice::default() },
        external: Vec::new(),
    }
}

/// A frame of the second `at`, with one series for each of these containers.
fn frame(at: i64, containers: &[u32]) -> Packed {
    let labels = |name: &u32| Labels([("container".into(), format!("c{name}").into())].into());
    let about =
        Named { otel: "up".into(), prometheus: "up".into(), unit: String::new(), kind: Kind::Gauge, tier: Tier::Detail, help: "Up.".into(), split: None };
    let points = (0..containers.len() as u32).map(|row| Point { row, word: 0, value: Value::Count(at as u64) }).collect();
    Packed {
        at: Timestamp::from_second(at).unwrap(),
        rows: containers.iter().map(labels).collect(),
        families: vec![PackedFamily { about: about.into(), points, peaks: Vec::new() }],
    }
}

/// So many frames may wait.
fn in_memory(frames: usize) -> backlog::Settings {
    let (patience, age) = (Duration::from_secs(30), Duration::from_secs(86_400));
    backlog::Settings { state: None, spool: backlog::Writes::Outage, patience, memory: 1 << 30, disk: 1 << 30, frames, age }
}

/// A sender on its way, its queue and its figures.
fn start(settings: Settings, most: usize, signer: Option<Arc<dyn Sign>>) -> (Arc<Backlog>, Agent) {
    let agent = Agent::new();
    let queue = Arc::new(Backlog::open(&in_memory(most), &[SINK], agent.backlog.clone()).unwrap());
    let pace = Pace { first: Duration::from_millis(1), most: Duration::from_millis(8) };
    let sender = Sender::new(settings, signer, agent.sink(SINK), pace).unwrap();
    let frames = Arc::clone(&queue);
    tokio::spawn(async move { match sender.run(&frames).await {} });
    (queue, agent)
}

/// A counter of the sink, with this word in its labels.
fn count(agent: &Agent, name: &str, word: &str) -> f64 {
    let families = agent.families();
    let all = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
    all.filter(|metric| metric.get_label().iter().any(|label| label.value() == word)).map(|metric| metric.get_counter().get_value()).sum()
}

/// The seconds of the requests that were taken, metadata left out.
fn taken(asked: &[Asked]) -> Vec<i64> {
    let all = asked.iter().filter(|one| one.was_taken);
    all.filter_map(|one| one.series.first()).map(|series| series.samples[0].0 / 1000).collect()
}

const ONE: Option<Version> = Some(Version::One);
const TWO: Option<Version> = Some(Version::Two);
const LATER: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_receiver_of_two_is_spoken_to_in_two_over_one_connection() {
    let far = FarEnd::new(Version::Two, []).await;
    let (queue, agent) = start(settings(&far, None), 9, None);
    queue.push(frame(1, &[1, 2]));
    queue.push(frame(2, &[2]));
    let asked = far.once(|asked| asked.len() == 2).await;
    assert!(asked.iter().all(|one| one.version == Version::Two && one.connection == 0 && one.head.contains("x-scope-orgid: team")));
    let ended: Vec<u64> = asked[1].series.iter().map(|series| series.samples[0].1).collect();
    assert_eq!(ended, [2f64.to_bits(), ENDED]);
    queue.push(frame(3, &[2]));
    far.once(|asked| asked.len() == 3).await;
    assert!(count(&agent, "tare_sink_samples_total", SINK) >= 4.0);
    assert_eq!(count(&agent, "tare_sink_retries_total", SINK), 0.0);
}

#[tokio::test]
async fn a_receiver_of_one_gets_the_same_again_in_one_and_what_the_metrics_are() {
    let far = FarEnd::new(Version::One, []).await;
    let (queue, _agent) = start(settings(&far, None), 9, None);
    queue.push(frame(1, &[1, 2]));
    let asked = far.once(|asked| asked.len() == 3).await;
    assert_eq!(
        asked.iter().map(|one| (one.version, one.series.len(), one.metadata)).collect::<Vec<_>>(),
        [(Version::Two, 2, 0), (Version::One, 2, 0), (Version::One, 0, 1)]
    );
    // It stays there, and tells what the metrics are once in a while.
    queue.push(frame(2, &[1]));
    queue.push(frame(3, &[1]));
    let asked = far.once(|asked| asked.len() == 5).await;
    assert_eq!(taken(&asked), [1, 2, 3]);
}

#[tokio::test]
async fn what_one_refuses_too_is_dropped_and_two_is_tried_again() {
    let bad = Do::Say("HTTP/1.1 400 Bad Request\r\ncontent-length: 13\r\n\r\nout of bounds");
    let same = Do::Say("HTTP/1.1 400 Bad Request\r\ncontent-length: 13\r\n\r\nout of bounds");
    let far = FarEnd::new(Version::Two, [bad, same]).await;
    let (queue, agent) = start(settings(&far, None), 9, None);
    queue.push(frame(1, &[1, 2]));
    queue.push(frame(2, &[1, 2]));
    let asked = far.once(|asked| asked.len() == 3).await;
    assert_eq!(asked.iter().map(|one| one.version).collect::<Vec<_>>(), [Version::Two, Version::One, Version::Two]);
    assert_eq!(taken(&asked), [2]);
    assert_eq!(count(&agent, "tare_sink_dropped_total", "too_old"), 2.0);
}

#[tokio::test]
async fn whatever_the_far_end_does_all_is_taken_in_order() {
    let again = [
        "HTTP/1.1 429 Too Many\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n",
        "no HTTP at all\r\n\r\n",
        "HTTP/1.1 500 X\r\ncontent-length: 9\r\n\r\nhalf",
        LATER,
    ];
    let script = again.map(Do::Say).into_iter().chain([Do::Reset, Do::Hang, Do::Leave, Do::Reset, Do::Talk, Do::Leave]);
    let far = FarEnd::new(Version::One, script).await;
    let (queue, agent) = start(Settings { timeout: Duration::from_millis(500), ..settings(&far, ONE) }, 99, None);
    (1..=9).for_each(|at| queue.push(frame(at, &[1])));
    let asked = far.once(|asked| taken(asked).contains(&9)).await;
    let mut all = taken(&asked);
    // What was taken and not heard of is sent twice, and that is all.
    all.dedup();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert!(asked.iter().any(|one| one.head.contains("retry-attempt: 3")), "it says that it tries again");
    assert!(count(&agent, "tare_sink_retries_total", SINK) >= 4.0);
    assert_eq!(count(&agent, "tare_sink_dropped_total", SINK), 0.0);
}

#[tokio::test]
async fn what_is_refused_is_counted_by_reason_and_the_rest_goes_on() {
    let script = [
        "HTTP/1.1 400 Bad\r\nx-prometheus-remote-write-samples-written: 1\r\ncontent-length: 20\r\n\r\nout of order sample\n",
        "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n",
    ];
    let far = FarEnd::new(Version::Two, script.map(Do::Say)).await;
    let (queue, agent) = start(settings(&far, TWO), 9, None);
    (1..=4).for_each(|at| queue.push(frame(at, &[1, 2, 3])));
    let asked = far.once(|asked| asked.len() == 4).await;
    assert_eq!(taken(&asked), [4]);
    for (reason, samples) in [("out_of_order", 2.0), ("unauthorized", 3.0), ("redirected", 3.0)] {
        assert_eq!(count(&agent, "tare_sink_dropped_total", reason), samples, "{reason}");
    }
    assert_eq!(["400", "401", "302"].map(|code| count(&agent, "tare_sink_requests_total", code)), [1.0; 3]);
}

#[tokio::test]
async fn a_frame_is_cut_into_requests_and_into_smaller_ones_where_they_are_too_large() {
    let far = FarEnd::new(Version::Two, [Do::Say("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")]).await;
    let (queue, agent) = start(settings(&far, TWO), 9, None);
    queue.push(frame(1, &(0..5000).collect::<Vec<_>>()));
    let asked = far.once(|asked| asked.len() == 6).await;
    assert_eq!(asked.iter().map(|one| one.series.len()).collect::<Vec<_>>(), [2000, 1000, 1000, 1000, 1000, 1000]);
    assert_eq!(count(&agent, "tare_sink_dropped_total", SINK), 0.0);
}

#[tokio::test]
async fn a_frame_that_fell_off_the_queue_is_let_go() {
    let go = Arc::new(Notify::new());
    let far = FarEnd::new(Version::One, [Do::Wait(Arc::clone(&go), LATER)]).await;
    let (queue, _agent) = start(settings(&far, ONE), 1, None);
    queue.push(frame(1, &[1]));
    far.once(|asked| asked.len() == 1).await;
    queue.push(frame(2, &[1]));
    queue.push(frame(3, &[1]));
    go.notify_one();
    let asked = far.once(|asked| asked.iter().any(|one| one.was_taken)).await;
    assert_eq!(taken(&asked), [3]);
}

#[tokio::test]
async fn frames_out_of_time_are_left_out() {
    let far = FarEnd::new(Version::One, []).await;
    let (queue, agent) = start(settings(&far, ONE), 99, None);
    for at in [100, 90, 100, 101] {
        queue.push(frame(at, &[1]));
    }
    let asked = far.once(|asked| taken(asked).contains(&101)).await;
    assert_eq!(taken(&asked), [100, 101]);
    assert_eq!(count(&agent, "tare_sink_dropped_total", "clock"), 2.0);
}

#[tokio::test]
async fn it_says_who_it_is_by_what_the_file_holds_now() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let basic = Auth::Basic { user: "me".into(), password_file: file.clone() };
    for (auth, first, second) in [
        (basic, "authorization: basic bwu6b25l", "authorization: basic bwu6dhdv"),
        (Auth::Bearer(file.clone()), "authorization: bearer one", "authorization: bearer two"),
    ] {
        let _ = fs::remove_file(&file);
        let far = FarEnd::new(Version::Two, []).await;
        let (queue, _agent) = start(Settings { auth, ..settings(&far, TWO) }, 9, None);
        // A file that is not there yet is no reason to lose anything.
        queue.push(frame(1, &[1]));
        fs::write(&file, "one\n").unwrap();
        far.once(|asked| asked.len() == 1).await;
        fs::write(&file, "two").unwrap();
        queue.push(frame(2, &[1]));
        let asked = far.once(|asked| asked.len() == 2).await;
        assert!(asked[0].head.contains(first) && asked[1].head.contains(second), "{}{}", asked[0].head, asked[1].head);
    }
}

/// Signs with a number that goes up when a signature was refused.
struct Counting(Mutex<u32>);

impl Sign for Counting {
    fn sign<'a>(&'a self, url: &'a str, body: &'a Bytes) -> BoxFuture<'a, Result<Vec<(HeaderName, HeaderValue)>, String>> {
        assert!(url.ends_with("/api/v1/write") && snap::raw::decompress_len(body).unwrap() > 0, "what is signed is what is sent");
        let number = *self.0.lock().unwrap();
        async move { Ok(vec![(header::AUTHORIZATION, HeaderValue::from(number))]) }.boxed()
    }

    fn hear(&self, said: &str, _date: Option<&str>) -> bool {
        *self.0.lock().unwrap() += 1;
        said.contains("Expired")
    }
}

#[tokio::test]
async fn a_signature_that_is_refused_is_made_anew_once() {
    let expired = "HTTP/1.1 403 No\r\ncontent-length: 7\r\n\r\nExpired";
    let far = FarEnd::new(Version::One, [expired, expired, expired].map(Do::Say)).await;
    let auth = Auth::Signed { region: "eu-west-1".into() };
    let (queue, agent) = start(Settings { auth, ..settings(&far, ONE) }, 9, Some(Arc::new(Counting(Mutex::new(0)))));
    queue.push(frame(1, &[1]));
    queue.push(frame(2, &[1]));
    let asked = far.once(|asked| !taken(asked).is_empty()).await;
    assert_eq!(taken(&asked), [2]);
    assert_eq!(count(&agent, "tare_sink_dropped_total", "unauthorized"), 1.0);
    assert!(asked[1].head.contains("authorization: 1"), "{}", asked[1].head);
}

#[tokio::test]
async fn over_tls_only_who_is_trusted_is_sent_anything() {
    let folder = tempfile::tempdir().unwrap();
    let issue = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (ours, other) = (issue(), issue());
    for (name, issued) in [("ours.pem", &ours), ("other.pem", &other)] {
        fs::write(folder.path().join(name), issued.cert.pem()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(ours.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![ours.cert.der().clone()], key.into()).unwrap();
    let far = FarEnd::over(Version::Two, [], Some(Arc::new(config).into())).await;
    let with = |name: &str| Settings { ca_file: Some(folder.path().join(name)), ..settings(&far, TWO) };
    let (queue, _agent) = start(with("ours.pem"), 9, None);
    queue.push(frame(1, &[1]));
    assert_eq!(taken(&far.once(|asked| asked.len() == 1).await), [1]);
    let mut post = Post::new(settings(&far, TWO).target, Some(trust::client(Some(&folder.path().join("other.pem"))).unwrap()));
    let failed = post.send(HeaderMap::new(), Bytes::new(), Duration::from_secs(20)).await.unwrap_err();
    assert!(!failed.in_doubt && failed.why.starts_with("TLS: invalid peer certificate"), "{failed:?}");
    let new = |name| Sender::new(with(name), None, Agent::new().sink(SINK), Pace::default()).map(drop).unwrap_err();
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    assert!(
        new("empty.pem").ends_with("empty.pem: no certificate in PEM") && new("none.pem").contains("none.pem: "),
        "{} {}",
        new("empty.pem"),
        new("none.pem")
    );
}

#[tokio::test]
async fn a_name_that_leads_nowhere_says_so() {
    let mut post = Post::new(Target::parse("http://tare.invalid/").unwrap(), None);
    let failed = post.send(HeaderMap::new(), Bytes::new(), Duration::from_secs(2)).await.unwrap_err();
    assert!(!failed.was_open && !failed.in_doubt && (failed.why.starts_with("tare.invalid: ") || failed.why.starts_with("no answer")), "{failed:?}");
}

#[test]
fn a_wait_doubles_up_to_its_bound_and_no_two_are_alike() {
    let pace = Pace::default();
    assert_eq!([1, 2, 3, 7, 99].map(|tries| pace.wait(tries, 1.0).as_millis()), [500, 1000, 2000, 30_000, 30_000]);
    assert_eq!(pace.wait(99, 0.0), Duration::from_secs(15));
    assert!((0..100).all(|_| (0.0..=1.0).contains(&chance())) && chance() != chance());
}
