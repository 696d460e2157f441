//! What the asker takes, and what of it we have: `Accept` and `Accept-Encoding` of RFC 9110, 12.5. A header that makes no sense asks for nothing special.

use hyper::header::{self, HeaderMap, HeaderName};

use crate::sinks::prometheus::Format;

/// How the body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
}

/// The format of a scrape. Prometheus asks for OpenMetrics first, a person with a browser for neither: then it is the text format.
/// What nothing of ours fits gets the text format too, as RFC 9110, 12.5.1 allows: a text is more use than a refusal.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let (mut open, mut text) = (Best::default(), Best::default());
    for (range, quality) in members(headers, header::ACCEPT) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let version = parts.find_map(|part| part.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("version")));
        let version = version.map(|(_, version)| version.trim().trim_matches('"'));
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        if is("application/openmetrics-text") && matches!(version, None | Some("1.0.0")) {
            open.consider(2 + u8::from(version.is_some()), quality);
        // For names like ours the text format 1.0.0 of Prometheus 3 is 0.0.4.
        } else if is("text/plain") && matches!(version, None | Some("0.0.4" | "1.0.0")) {
            text.consider(2 + u8::from(version.is_some()), quality);
        } else if is("application/*") {
            open.consider(1, quality);
        } else if is("text/*") {
            text.consider(1, quality);
        } else if is("*/*") {
            open.consider(0, quality);
            text.consider(0, quality);
        }
    }
    let asked = open.specific.is_some_and(|specific| specific > 0);
    if asked && open.quality > 0 && open.quality >= text.quality { Format::OpenMetrics } else { Format::Text }
}

/// How to pack the body; `None`: the asker takes neither. The better quality wins, and gzip where they are the same.
pub(super) fn coding(headers: &HeaderMap) -> Option<Coding> {
    let (mut gzip, mut identity) = (Best::default(), Best::default());
    for (name, quality) in members(headers, header::ACCEPT_ENCODING) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("gzip") || is("x-gzip") {
            gzip.consider(1, quality);
        } else if is("identity") {
            identity.consider(1, quality);
        } else if is("*") {
            gzip.consider(0, quality);
            identity.consider(0, quality);
        }
    }
    // What is not named is taken as it is, but only there.
    let plain = if identity.specific.is_some() { identity.quality } else { 1 };
    match (gzip.quality, plain) {
        (0, 0) => None,
        (gzip, plain) if gzip >= plain && gzip > 0 => Some(Coding::Gzip),
        _ => Some(Coding::Identity),
    }
}

/// The quality of the most specific member that fits, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
struct Best {
    specific: Option<u8>,
    quality: u16,
}

impl Best {
    /// Of two that are as specific, the better one counts.
    fn consider(&mut self, specific: u8, quality: u16) {
        if self.specific.is_none_or(|had| (had, self.quality) < (specific, quality)) {
            *self = Best { specific: Some(specific), quality };
        }
    }
}

/// The members of all headers of a name, each with its quality: `text/plain;version=0.0.4;q=0.5` is (`text/plain;version=0.0.4`, 500).
fn members(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = (&str, u16)> {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|member| !member.is_empty()).map(|member| {
        let weight =
            |at: usize| member[at + 1..].split(';').next().and_then(|part| part.split_once('=')).filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let found = member.match_indices(';').find_map(|(at, _)| Some((at, weight(at)?)));
        // Behind the weight stand only its own extensions.
        found.map_or((member, 1000), |(at, (_, weight))| (member[..at].trim_end(), quality(weight.trim())))
    })
}

/// `0.75` in thousandths. What is no weight counts as none given: whole.
fn quality(text: &str) -> u16 {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
    number.map_or(1000, |number| (number * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_format_is_the_one_asked_for() {
        use Format::{OpenMetrics, Text};
        for (accept, expected) in [
            // Prometheus 2.42, 3.0 (with and without protobuf), curl, a browser.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                OpenMetrics,
            ),
            ("*/*", Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", Text),
            // Prometheus before 2.5, and today's with scrape_protocols turned round.
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Text),
            ("text/plain;version=1.0.0;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5", Text),
            ("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.6", OpenMetrics),
            ("text/plain", Text),
            ("application/openmetrics-text", OpenMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\" ; Q=1", OpenMetrics),
            ("application/openmetrics-text;version=0.0.1", Text),
            ("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", Text),
            ("application/openmetrics-text;q=0,*/*", Text),
            ("application/openmetrics-text;q=0.000", Text),
            ("application/openmetrics-text;version=1.0.0;q=0,application/openmetrics-text", Text),
            ("application/*,text/plain;q=0.5", OpenMetrics),
            ("application/*;q=0.5,text/*", Text),
            ("application/openmetrics-text;q=2", OpenMetrics),
            ("application/json", Text),
            ("", Text),
            (",;,;;q=,;q=0.5", Text),
        ] {
            assert_eq!(format(&headers(header::ACCEPT, &[accept])), expected, "{accept}");
        }
        assert_eq!(format(&headers(header::ACCEPT, &["text/plain;q=0.5", "application/openmetrics-text"])), OpenMetrics);
        assert_eq!(format(&HeaderMap::new()), Text);
    }

    #[test]
    fn the_coding_is_the_best_that_both_know() {
        use Coding::{Gzip, Identity};
        for (accept, expected) in [
            ("gzip", Some(Gzip)),
            ("deflate, gzip, br, zstd", Some(Gzip)),
            ("GZIP", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("*", Some(Gzip)),
            ("br, zstd", Some(Identity)),
            ("", Some(Identity)),
            ("identity", Some(Identity)),
            ("gzip;q=0", Some(Identity)),
            ("gzip;q=0, *", Some(Identity)),
            ("gzip;q=0.5", Some(Gzip)),
            ("gzip;q=0.5, identity;q=0.8", Some(Identity)),
            ("gzip;q=0.5, identity;q=0.5", Some(Gzip)),
            ("gzip; q=0.1, identity;q=0", Some(Gzip)),
            ("identity;q=0", None),
            ("*;q=0", None),
            ("*;q=0, gzip", Some(Gzip)),
            ("*;q=0, identity;q=0.1", Some(Identity)),
            ("br;q=1, identity;q=0", None),
            ("gzip;q=0, identity;q=0", None),
            ("identity;q=0, *;q=0.5", Some(Gzip)),
            ("gzip;q=nonsense", Some(Gzip)),
            ("gzipped", Some(Identity)),
        ] {
            assert_eq!(coding(&headers(header::ACCEPT_ENCODING, &[accept])), expected, "{accept}");
        }
        assert_eq!(coding(&HeaderMap::new()), Some(Identity));
        assert_eq!(coding(&headers(header::ACCEPT_ENCODING, &["br", "gzip"])), Some(Gzip));
        assert_eq!(coding(&headers(header::ACCEPT_ENCODING, &[&"br, ".repeat(4_000), "gzip"])), Some(Gzip));
    }

    proptest! {
        #[test]
        fn no_header_makes_us_stumble(value in "(gzip|text/plain|application/openmetrics-text|\\*/\\*|\\*|;|,|q=|Q=|version=|1\\.0\\.0|0?\\.[0-9]{0,4}|[ -~\u{e9}]{0,4}){0,12}") {
            let mut all = HeaderMap::new();
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            all.insert(header::ACCEPT, value.clone());
            all.insert(header::ACCEPT_ENCODING, value);
            let _ = (format(&all), coding(&all));
        }
    }
}
