//! A page of the last report as Prometheus reads it: encoded and packed once for each format, shared by all scrapers until the next report. What nobody asks for is
//! not made, and the plain text is not kept where all take gzip.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::Published;
use super::answer::{Pieces, plain, typed};
use super::negotiate::{self, Coding};
use crate::metrics::agent::Agent;
use crate::metrics::page::Page;
use crate::sinks::gzip::{Beginning, Blocks, Gzip};
use crate::sinks::prometheus::{Format, encode_in_blocks};

/// Holds the page, and what was made of the last report.
pub(super) struct Scrape<P>(Mutex<Inner<P>>);

struct Inner<P> {
    /// Its values are there only while it is written down.
    page: P,
    /// The report that was last asked about, by the moment it was made.
    of: Option<Instant>,
    /// The report whose rows without a series are counted.
    counted: Option<Instant>,
    /// Rows of that page without a series.
    cut: usize,
    /// By the number of the format.
    made: [Made; 2],
}

/// One format of one report, as far as it was asked for.
#[derive(Default)]
struct Made {
    plain: Option<Bytes>,
    packed: Option<Beginning>,
    /// What the packed one is made of.
    blocks: Blocks,
    /// Bytes of the last plain one: what to make room for.
    room: usize,
}

impl<P: Page> Scrape<P> {
    pub(super) fn new(page: P) -> Scrape<P> {
        Scrape(Mutex::new(Inner { page, of: None, counted: None, cut: 0, made: Default::default() }))
    }

    /// The answer to one scraper. `own` adds what is made for each, behind the report's own lines.
    pub(super) fn answer(&self, published: Option<&Published>, agent: &Agent, headers: &HeaderMap, own: impl FnOnce(Format, &mut Vec<u8>)) -> Response<Pieces> {
        let format = negotiate::format(headers);
        let Some(coding) = negotiate::coding(headers) else {
            return varying(plain(StatusCode::NOT_ACCEPTABLE, "served are gzip and identity; Accept-Encoding takes neither\n"));
        };
        let mut end = Vec::new();
        own(format, &mut end);
        end.extend_from_slice(format.end());
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.turn_to(published);
        let pieces = match coding {
            Coding::Identity => [inner.plain(format, published, agent), end.into()],
            Coding::Gzip => inner.packed(format, published, agent, &end),
        };
        let mut answer = varying(typed(StatusCode::OK, format.content_type(), Pieces(pieces)));
        if coding == Coding::Gzip {
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        answer
    }
}

impl<P: Page> Inner<P> {
    /// What was made of an earlier report is not told any more.
    fn turn_to(&mut self, published: Option<&Published>) {
        let Some(at) = published.map(|published| published.at).filter(|at| self.of != Some(*at)) else { return };
        self.of = Some(at);
        for made in &mut self.made {
            (made.plain, made.packed) = (None, None);
        }
    }

    /// Names the report; rows that have no series are counted once.
    fn fill(&mut self, published: Option<&Published>, agent: &Agent) {
        let Some(published) = published else { return };
        self.page.fill(&published.report);
        if self.counted != Some(published.at) {
            agent.count_cut("same_labels", self.page.cut().saturating_sub(self.cut) as u64);
            (self.counted, self.cut) = (Some(published.at), self.page.cut());
        }
    }

    fn plain(&mut self, format: Format, published: Option<&Published>, agent: &Agent) -> Bytes {
        if let Some(bytes) = &self.made[format as usize].plain {
            return bytes.clone();
        }
        self.fill(published, agent);
        let made = &mut self.made[format as usize];
        let mut encoded = Vec::with_capacity(made.room + made.room / 8);
        encode_in_blocks(&self.page, format, &mut encoded, |_| {});
        self.page.empty();
        made.room = encoded.len();
        encoded.shrink_to_fit();
        made.plain.insert(encoded.into()).clone()
    }

    /// The deflater holds more than a third of a MiB, so it is made for each who asks and kept by nobody.
    fn packed(&mut self, format: Format, published: Option<&Published>, agent: &Agent, end: &[u8]) -> [Bytes; 2] {
        let mut gzip = Gzip::new();
        if self.made[format as usize].packed.is_none() {
            self.fill(published, agent);
            let made = &mut self.made[format as usize];
            let (mut writer, mut block) = (gzip.begin(&mut made.blocks), Vec::new());
            encode_in_blocks(&self.page, format, &mut block, |block| {
                writer.write(block);
                block.clear();
            });
            writer.write(&block);
            made.packed = Some(writer.finish());
            self.page.empty();
        }
        let beginning = self.made[format as usize].packed.get_or_insert_default();
        [beginning.bytes.clone(), gzip.end(beginning, end)]
    }
}

/// Caches between us and the asker must know what the answer hangs on.
fn varying(mut answer: Response<Pieces>) -> Response<Pieces> {
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    answer
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;
    use std::time::Duration;

    use hyper::body::Body;

    use super::*;
    use crate::metrics::frame::Frame;
    use crate::sample;

    fn headers(accept: &'static str, coding: &'static str) -> HeaderMap {
        [(header::ACCEPT, accept), (header::ACCEPT_ENCODING, coding)].map(|(name, value)| (name, HeaderValue::from_static(value))).into_iter().collect()
    }

    fn ask(scrape: &Scrape<Frame>, published: &Published, headers: &HeaderMap) -> Response<Pieces> {
        scrape.answer(Some(published), &Agent::new(), headers, |_, out| out.extend_from_slice(b"own 1\n"))
    }

    fn read(answer: Response<Pieces>) -> String {
        let length = answer.body().size_hint().exact().unwrap();
        let packed = answer.headers().contains_key(header::CONTENT_ENCODING);
        let bytes = answer.into_body().0.concat();
        assert_eq!(bytes.len() as u64, length);
        let mut text = String::new();
        if packed {
            flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(bytes).unwrap();
        }
        text
    }

    #[test]
    fn every_coding_of_a_format_is_the_same_text_and_is_made_once() {
        let mut published = Published { report: Arc::new(sample::report()), at: Instant::now() };
        let scrape = Scrape::new(Frame::new());
        for (accept, kind, end) in [
            ("*/*", "text/plain; version=0.0.4; charset=utf-8", "own 1\n"),
            ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8", "own 1\n# EOF\n"),
        ] {
            for _ in 0..2 {
                let [first, second] = [0, 1].map(|_| ask(&scrape, &published, &headers(accept, "gzip")));
                assert!(scrape.0.lock().unwrap().made[Format::Text as usize].plain.is_none(), "nobody asked for the plain text");
                assert_eq!(first.body().0[0].as_ptr(), second.body().0[0].as_ptr(), "packed twice");
                assert_eq!(
                    (&first.headers()[header::CONTENT_TYPE], &first.headers()[header::VARY]),
                    (&HeaderValue::from_static(kind), &HeaderValue::from_static("Accept, Accept-Encoding"))
                );
                published.at += Duration::from_secs(1);
                let packed = read(second);
                let plain = ask(&scrape, &published, &headers(accept, "identity"));
                assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
                assert_eq!(packed, read(plain));
                // Now the plain text is there to be packed.
                assert_eq!(packed, read(ask(&scrape, &published, &headers(accept, "gzip"))));
                assert!(packed.ends_with(end) && packed.len() > 10_000, "{packed}");
                published.at += Duration::from_secs(1);
            }
        }
    }

    #[test]
    fn who_takes_neither_coding_is_told() {
        let published = Published { report: Arc::new(sample::report()), at: Instant::now() };
        let answer = ask(&Scrape::new(Frame::new()), &published, &headers("*/*", "identity;q=0, br"));
        assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE);
    }
}
