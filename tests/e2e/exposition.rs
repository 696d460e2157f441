//! A strict reader of the Prometheus text format (version 0.0.4), written from its description and sharing nothing with our encoder.

use std::collections::{BTreeMap, HashSet};

/// Every family of one answer, in order.
#[derive(Debug, Default)]
pub struct Exposition {
    /// In the order of the text.
    pub families: Vec<Family>,
}

/// One name with its help, kind and samples.
#[derive(Debug, Default)]
pub struct Family {
    /// `tare_container_cpu_time_seconds_total`.
    pub name: String,
    /// The `# HELP` line's text.
    pub help: Option<String>,
    /// The `# TYPE` line's word.
    pub kind: Option<String>,
    /// In the order of the text.
    pub samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The family's name; histograms and summaries add a suffix.
    pub name: String,
    /// Label name to value.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

impl Exposition {
    /// Reads a whole answer. Errors name the line and what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Exposition, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| format!("no UTF-8: {e}"))?;
        if !text.is_empty() && !text.ends_with('\n') {
            return Err("the last line has no end".into());
        }
        let mut reader = Reader::default();
        for (number, line) in text.lines().enumerate() {
            reader.line(line).map_err(|problem| format!("line {}: {problem}: {line}", number + 1))?;
        }
        reader.finish()
    }

    /// All samples.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.families.iter().flat_map(|family| &family.samples)
    }
}

#[derive(Default)]
struct Reader {
    exposition: Exposition,
    names: HashSet<String>,
    series: HashSet<(String, Vec<(String, String)>)>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() {
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            let help = unescape(help, false)?;
            let family = self.family(name)?;
            return if family.help.replace(help).is_some() { Err("a second HELP".into()) } else { Ok(()) };
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("a TYPE without a kind")?;
            if !["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind) {
                return Err(format!("no such kind: {kind}"));
            }
            let family = self.family(name)?;
            if !family.samples.is_empty() {
                return Err("TYPE after a sample".into());
            }
            return if family.kind.replace(kind.into()).is_some() { Err("a second TYPE".into()) } else { Ok(()) };
        }
        if line.starts_with('#') {
            return Ok(());
        }
        self.sample(line)
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let sample = sample(line)?;
        let family = self.family(&base(&sample.name, self.exposition.families.last()))?;
        if family.kind.as_deref() == Some("counter") && (sample.value < 0.0 || sample.value.is_nan()) {
            return Err("a counter below zero or NaN".into());
        }
        family.samples.push(sample.clone());
        if !self.series.insert((sample.name, sample.labels.into_iter().collect())) {
            return Err("the same series twice".into());
        }
        Ok(())
    }

    /// The family in hand, or a new one. A name that comes back later is an error: the lines of a family stand together.
    fn family(&mut self, name: &str) -> Result<&mut Family, String> {
        if self.exposition.families.last().is_none_or(|last| last.name != name) {
            if !is_name(name, true) {
                return Err(format!("no metric name: {name}"));
            }
            if !self.names.insert(name.into()) {
                return Err(format!("the lines of {name} do not stand together"));
            }
            self.exposition.families.push(Family { name: name.into(), ..Family::default() });
        }
        Ok(self.exposition.families.last_mut().expect("one was pushed if there was none"))
    }

    fn finish(self) -> Result<Exposition, String> {
        for family in &self.exposition.families {
            let empty = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
            if empty(&family.help) || family.kind.is_none() {
                return Err(format!("{} has no HELP or no TYPE", family.name));
            }
            if (family.kind.as_deref() == Some("counter")) != family.name.ends_with("_total") {
                return Err(format!("{}: counters and only they end in _total", family.name));
            }
        }
        Ok(self.exposition)
    }
}

/// The family a sample belongs to: its own name, less the suffix of the histogram or summary in hand.
fn base(name: &str, last: Option<&Family>) -> String {
    let inside = |family: &&Family| {
        let suffixes: &[&str] = match family.kind.as_deref() {
            Some("histogram") => &["_bucket", "_sum", "_count"],
            Some("summary") => &["_sum", "_count"],
            _ => &[],
        };
        suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(&family.name))
    };
    last.filter(inside).map_or_else(|| name.to_owned(), |family| family.name.clone())
}

/// Reads one line of a series.
pub fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err(format!("no metric name: {name}"));
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = self::labels(inside, &mut labels)?;
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    if value.contains(' ') {
        return Err("a timestamp, or more than one space".into());
    }
    let value = match value {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number if number.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')) => number.parse().map_err(|_| "no number")?,
        _ => return Err("no number".into()),
    };
    Ok(Sample { name: name.into(), labels, value })
}

/// Reads `name="value",…}` and returns what follows.
fn labels<'a>(mut rest: &'a str, labels: &mut BTreeMap<String, String>) -> Result<&'a str, String> {
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return if labels.is_empty() { Err("empty braces".into()) } else { Ok(after) };
        }
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name, false) {
            return Err(format!("no label name: {name:?}"));
        }
        let end = closing_quote(after).ok_or("a label value without an end")?;
        if labels.insert(name.into(), unescape(&after[..end], true)?).is_some() {
            return Err(format!("the label {name} twice"));
        }
        rest = &after[end + 1..];
        rest = match rest.strip_prefix(',') {
            Some(next) if !next.starts_with('}') => next,
            None if rest.starts_with('}') => rest,
            _ => return Err("no comma between labels".into()),
        };
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// Takes the escapes of a help text or a quoted value back.
pub fn unescape(text: &str, quoted: bool) -> Result<String, String> {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if quoted => '"',
                other => return Err(format!("no such escape: \\{}", other.unwrap_or(' '))),
            },
            other => other,
        });
    }
    Ok(plain)
}

/// Whether it names a metric, or a label, which has no colons.
pub fn is_name(name: &str, colons: bool) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || colons && byte == b':';
    name.bytes().all(fits) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[test]
fn the_strict_reader_takes_what_is_right_and_names_what_is_wrong() {
    let head = "# HELP a_bytes Bytes.\n# TYPE a_bytes gauge\n";
    let right = [head, r#"a_bytes{b="c\"\\\n}"} 1e3"#, "\na_bytes{b=\"d\"} +Inf\n"].concat();
    let read = Exposition::read(right.as_bytes()).unwrap();
    assert_eq!(read.families[0].samples[0].labels["b"], "c\"\\\n}");
    assert_eq!(read.families[0].samples[0].value, 1000.0);
    for (wrong, problem) in [
        ("a_bytes 1", "no end"),
        ("a_bytes{} 1\n", "empty braces"),
        ("a_bytes{b=\"c\"} 1\na_bytes{b=\"c\"} 2\n", "same series twice"),
        ("a_bytes{b=\"c\",b=\"d\"} 1\n", "twice"),
        ("a_bytes{b=\"c\"d=\"e\"} 1\n", "no comma"),
        ("a_bytes 1 1700000000000\n", "a timestamp"),
        ("a_bytes 1\n# TYPE b_total counter\n# HELP b_total B.\nb_total -1\n", "below zero"),
        ("a_bytes 1\n# TYPE b_total counter\n# HELP b_total B.\nb_total 1\na_bytes{c=\"d\"} 1\n", "stand together"),
        ("a_bytes inf\n", "no number"),
        ("a_bytes{b=\"\\t\"} 1\n", "no such escape"),
        ("b 1\n", "no HELP"),
        ("# HELP b B.\n# TYPE b counter\nb 1\n", "_total"),
        ("# HELP a_bytes again\n", "second HELP"),
        ("a-b 1\n", "no metric name"),
    ] {
        let said = Exposition::read(format!("{head}{wrong}").as_bytes()).unwrap_err();
        assert!(said.contains(problem), "{wrong:?}: {said}");
    }
    assert!(Exposition::read(b"a\xff 1\n").is_err());
}
