//! Sends frames, the oldest first, each in pieces, one request after the other, so that no series is ever out of order.
//!
//! What may work later is tried again for as long as the queue holds the frame; what is refused is dropped and counted. A request that got no answer may have been
//! taken: the same sample twice is no error to any receiver.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use jiff::Timestamp;

use super::encode::{Encoder, SERIES, Version};
use super::verdict::{Speech, Verdict, advice, judge};
use super::{Auth, SINK, Settings, Sign};
use crate::metrics::agent::SinkFigures;
use crate::metrics::packed::Packed;
use crate::sinks::backlog::Backlog;
use crate::sinks::post::{Answer, Failed, Post};
use crate::sinks::trust;

/// How often 1.0 is told what the metrics are.
const METADATA: Duration = Duration::from_secs(600);
/// A reason is spoken of again after this.
const SILENCE: Duration = Duration::from_secs(3600);
/// A password or a token is shorter.
const SECRET: u64 = 64 << 10;

/// How long it waits before it tries again: twice as long each time, up to a bound.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The first time.
    pub first: Duration,
    /// At most.
    pub most: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { first: Duration::from_millis(500), most: Duration::from_secs(30) }
    }
}

impl Pace {
    /// The wait before try number `tries`, which is 1 for the second one; `chance` in 0 to 1 spreads a thousand senders that failed together.
    fn wait(self, tries: u32, chance: f64) -> Duration {
        self.first.saturating_mul(1 << (tries - 1).min(20)).min(self.most).mul_f64(0.5 + chance / 2.0)
    }
}

/// The sink.
pub struct Sender {
    settings: Settings,
    signer: Option<Arc<dyn Sign>>,
    figures: SinkFigures,
    pace: Pace,
    post: Post,
    encoder: Encoder,
    packer: snap::raw::Encoder,
    speech: Speech,
    /// The most series of one request that the far end takes.
    most: usize,
    /// The look of the last frame of which something was taken.
    last: Option<Timestamp>,
    /// When 1.0 was last told what the metrics are.
    told: Option<Instant>,
    /// Since when nothing gets through, and why in a few words.
    trouble: Option<(Instant, String)>,
    spoken: HashMap<&'static str, Instant>,
}

impl Sender {
    /// Nothing is opened yet. Errors: the file of certificates; a signature is wanted and nobody can sign.
    pub fn new(settings: Settings, signer: Option<Arc<dyn Sign>>, figures: SinkFigures, pace: Pace) -> Result<Sender, String> {
        if matches!(settings.auth, Auth::Signed { .. }) && signer.is_none() {
            return Err("remote_write.auth is \"sigv4\", and this Tare was built without AWS".into());
        }
        let tls = trust::client(settings.ca_file.as_deref()).map_err(|problem| format!("remote_write.ca_file: {problem}"))?;
        Ok(Sender {
            signer: signer.filter(|_| matches!(settings.auth, Auth::Signed { .. })),
            figures,
            pace,
            post: Post::new(settings.target.clone(), Some(tls)),
            encoder: Encoder::new(settings.wanted.clone(), settings.external.clone()),
            packer: snap::raw::Encoder::new(),
            speech: Speech::of(settings.version),
            most: SERIES,
            last: None,
            told: None,
            trouble: None,
            spoken: HashMap::new(),
            settings,
        })
    }

    /// Sends what the queue holds, for ever. It may be dropped at any moment; what it was at is sent again by the next one.
    pub async fn run(mut self, queue: &Backlog) -> Infallible {
        loop {
            let frame = queue.next(SINK).await;
            if !self.is_in_order(&frame) || self.send(frame, queue).await {
                queue.done(SINK);
            }
        }
    }

    /// Both specifications want a series in the order of time, to the millisecond, and a receiver would refuse it else.
    fn is_in_order(&mut self, frame: &Packed) -> bool {
        let is = self.last.is_none_or(|last| frame.at.as_millisecond() > last.as_millisecond());
        if !is {
            self.drop("clock", self.encoder.count(frame), "the clock was set back; samples are sent again once it has caught up");
        }
        is
    }

    /// Whether it was sent to its end; else it fell off the queue meanwhile.
    async fn send(&mut self, frame: Arc<Packed>, queue: &Backlog) -> bool {
        let at = frame.at;
        self.encoder.turn(frame);
        // What was too large at one time need not be for ever.
        self.most = (self.most * 2).min(SERIES);
        let mut from = 0;
        while from < self.encoder.series() {
            let to = self.encoder.write(self.speech.now, from, self.most);
            match self.push(to - from, at, queue).await {
                None => return false,
                Some(Verdict::Taken { written, but }) => {
                    self.figures.taken(written);
                    self.last = Some(at);
                    if let Some(reason) = but {
                        self.drop(reason, to - from - written, advice(reason));
                    }
                    from = to;
                }
                Some(Verdict::Refused { reason }) => {
                    self.drop(reason, to - from, advice(reason));
                    from = to;
                }
                Some(Verdict::Speak { .. }) => tracing::info!("remote_write: {} does not take version 2: version 1 is spoken", self.settings.target),
                Some(Verdict::Smaller) => self.most = ((to - from) / 2).max(1),
                Some(Verdict::Again { .. }) => {}
            }
        }
        let is_one = self.speech.now == Version::One && self.speech.is_sure;
        if is_one && self.told.is_none_or(|told| told.elapsed() >= METADATA) && self.encoder.write_metadata() > 0 {
            // Once and not again: nothing is lost if it is refused, for the figures mean the same without.
            let body = Bytes::from(self.packer.compress_vec(self.encoder.body()).expect("a piece is smaller than the 4 GiB of a block"));
            let answer = self.once(&body, 0).await;
            match &answer {
                Ok(answer) => self.figures.request(itoa::Buffer::new().format(answer.status)),
                Err(_) => self.figures.request("none"),
            }
            if answer.is_ok_and(|answer| (200..300).contains(&answer.status)) {
                self.told = Some(Instant::now());
            }
        }
        self.figures.done(at);
        true
    }

    /// Sends what the encoder has written until there is a verdict that holds. `None`: the frame fell off the queue meanwhile.
    async fn push(&mut self, samples: usize, at: Timestamp, queue: &Backlog) -> Option<Verdict> {
        let body = Bytes::from(self.packer.compress_vec(self.encoder.body()).expect("a piece is smaller than the 4 GiB of a block"));
        let (mut tries, mut signed_again) = (0, false);
        loop {
            let (after, why) = match self.once(&body, tries).await {
                Ok(answer) => {
                    self.figures.request(itoa::Buffer::new().format(answer.status));
                    if !signed_again
                        && matches!(answer.status, 400 | 401 | 403)
                        && self.signer.as_ref().is_some_and(|signer| signer.hear(&answer.text, answer.header("date")))
                    {
                        signed_again = true;
                        continue;
                    }
                    let verdict = judge(self.speech, samples, &answer, Timestamp::now());
                    self.speech.learn(&verdict);
                    match verdict {
                        Verdict::Again { after } => (after, words(&answer)),
                        verdict => {
                            if let Verdict::Refused { .. } | Verdict::Taken { but: Some(_), .. } = verdict {
                                self.figures.failed(Timestamp::now());
                                tracing::debug!("remote_write: {}", words(&answer));
                            }
                            self.recover();
                            return Some(verdict);
                        }
                    }
                }
                Err(Failed { why, was_open, in_doubt }) => {
                    self.figures.request("none");
                    if in_doubt {
                        queue.doubt(SINK);
                    }
                    if was_open {
                        // Closed while it was idle, most likely. The next connection is a new one.
                        continue;
                    }
                    (None, why)
                }
            };
            tries += 1;
            self.figures.failed(Timestamp::now());
            self.figures.retry();
            self.complain(why);
            let wait = self.pace.wait(tries, chance()).max(after.unwrap_or_default());
            // What waits too long falls off the queue, and then another one is the oldest.
            let (oldest, ()) = tokio::join!(tokio::time::timeout(wait, queue.next(SINK)), tokio::time::sleep(wait));
            if oldest.is_ok_and(|oldest| oldest.at != at) {
                return None;
            }
        }
    }

    async fn once(&mut self, body: &Bytes, tries: u32) -> Result<Answer, Failed> {
        let patience = self.settings.timeout;
        let headers = match tokio::time::timeout(patience, self.headers(body, tries)).await {
            Ok(headers) => headers,
            Err(_) => Err(format!("no credentials within {} s", patience.as_secs_f64())),
        };
        let headers = headers.map_err(|why| Failed { why, was_open: false, in_doubt: false })?;
        self.post.send(headers, body.clone(), patience).await
    }

    async fn headers(&self, body: &Bytes, tries: u32) -> Result<HeaderMap, String> {
        let (kind, version) = match self.speech.now {
            Version::One => ("application/x-protobuf", "0.1.0"),
            Version::Two => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        let mut headers: HeaderMap = self.settings.headers.iter().cloned().collect();
        for (name, value) in [
            (header::USER_AGENT.as_str(), concat!("Tare/", env!("CARGO_PKG_VERSION"))),
            (header::CONTENT_TYPE.as_str(), kind),
            (header::CONTENT_ENCODING.as_str(), "snappy"),
            ("x-prometheus-remote-write-version", version),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if tries > 0 {
            headers.insert("retry-attempt", HeaderValue::from(tries));
        }
        match (&self.settings.auth, &self.signer) {
            (Auth::None, _) => {}
            (Auth::Basic { user, password_file }, _) => {
                headers.insert(header::AUTHORIZATION, secret("Basic", &STANDARD.encode(format!("{user}:{}", read_secret(password_file)?)))?);
            }
            (Auth::Bearer(file), _) => {
                let token = read_secret(file)?;
                headers.insert(header::AUTHORIZATION, secret("Bearer", &token).map_err(|why| format!("{}: {why}", file.display()))?);
            }
            (Auth::Signed { .. }, None) => return Err("nobody can sign".into()),
            (Auth::Signed { .. }, Some(signer)) => {
                headers.extend(signer.sign(&self.settings.target.url, body).await?.into_iter().map(|(name, value)| (Some(name), value)))
            }
        }
        Ok(headers)
    }

    fn drop(&mut self, reason: &'static str, samples: usize, advice: &str) {
        self.figures.dropped(reason, samples);
        if self.spoken.get(reason).is_none_or(|spoken| spoken.elapsed() >= SILENCE) {
            self.spoken.insert(reason, Instant::now());
            tracing::warn!("remote_write: {samples} samples for {} are dropped ({reason}): {advice}; tare_sink_dropped_total counts on", self.settings.target);
        }
    }

    /// Trouble is spoken of when it begins and when its reason changes; a number in the reason that goes up and down is no change.
    fn complain(&mut self, why: String) {
        let kind: String = why.split(|letter: char| letter.is_ascii_digit()).collect();
        if self.trouble.as_ref().is_none_or(|(_, before)| *before != kind) {
            tracing::warn!("remote_write: {}: {why}; what is new waits and is sent later", self.settings.target);
        }
        let since = self.trouble.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        self.trouble = Some((since, kind));
    }

    fn recover(&mut self) {
        if let Some((since, _)) = self.trouble.take() {
            tracing::info!("remote_write: {} answers again after {} s", self.settings.target, since.elapsed().as_secs());
        }
    }
}

fn words(answer: &Answer) -> String {
    format!("HTTP {}: {}", answer.status, answer.text)
}

/// One line of a file, without what ends it.
fn read_secret(file: &Path) -> Result<String, String> {
    let problem = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
    let about = fs::metadata(file).map_err(|e| problem(&e))?;
    if !about.is_file() || about.len() > SECRET {
        return Err(problem(&"no file that holds one password or token"));
    }
    let text = fs::read_to_string(file).map_err(|e| problem(&e))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn secret(kind: &str, text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("{kind} {text}")).map_err(|_| "it holds what no header can".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// From 0 to 1, another one each time.
fn chance() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests;
