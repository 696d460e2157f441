//! `--filter 'workload=web memory>50%'`: terms that must all hold. Pure: text in, a judge of rows out.

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::nearest::nearest;

use super::field::{Field, Row, Unit, Value, find};

/// Bytes of a filter, and terms in it.
const LONGEST: usize = 4096;
const MOST: usize = 32;
/// Bytes that one compiled expression may take.
const REGEX: usize = 1 << 20;

/// Terms that must all hold of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Vec<Term>);

#[derive(Clone, Debug)]
struct Term {
    field: &'static Field,
    op: Op,
    /// As it was written, without its quotes.
    value: String,
    quoted: bool,
    test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Is,
    IsNot,
    Like,
    Unlike,
    Over,
    AtLeast,
    Under,
    AtMost,
}

/// The longer ones first, so that `>=` is not read as `>`.
const OPS: [(&str, Op); 8] =
    [("!=", Op::IsNot), ("!~", Op::Unlike), (">=", Op::AtLeast), ("<=", Op::AtMost), ("=", Op::Is), ("~", Op::Like), (">", Op::Over), ("<", Op::Under)];

#[derive(Clone, Debug)]
enum Test {
    Words,
    Matches(Regex),
    /// In the unit of this field, which is the term's own or its share of the limit.
    Figure(&'static Field, f64),
    /// The word `unknown`.
    Known,
}

impl PartialEq for Term {
    fn eq(&self, other: &Term) -> bool {
        (self.field, self.op, &self.value, self.quoted) == (other.field, other.op, &other.value, other.quoted)
    }
}

impl Eq for Term {}

impl Filter {
    /// Reads terms between spaces: a field, an operator, a value; spaces around the operator do no harm. A value with spaces stands in double quotes,
    /// in which `\"` and `\\` stand for `"` and `\`. Errors: what is wrong, and what was probably meant.
    pub fn read(text: &str) -> Result<Filter, String> {
        if text.len() > LONGEST {
            return Err(format!("a filter has at most {LONGEST} bytes"));
        }
        let mut rest = text.trim_start();
        let mut terms = Vec::new();
        while !rest.is_empty() {
            if terms.len() == MOST {
                return Err(format!("a filter has at most {MOST} terms"));
            }
            let (term, after) = Term::read(rest)?;
            terms.push(term);
            rest = after.trim_start();
        }
        if terms.is_empty() { Err("a filter has terms: 'workload=web memory>50%'".into()) } else { Ok(Filter(terms)) }
    }

    /// Whether every term holds. A figure that is not known meets only `=unknown`.
    pub fn meets(&self, row: &Row<'_>) -> bool {
        self.0.iter().all(|term| term.meets(row))
    }
}

impl fmt::Display for Filter {
    /// What [`Filter::read`] reads to the same filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.0.iter().enumerate() {
            let op = OPS.iter().find(|(_, op)| *op == term.op).map_or("", |(text, _)| text);
            write!(f, "{}{}{op}", if at > 0 { " " } else { "" }, term.field.name)?;
            match term.quoted {
                true => write!(f, "\"{}\"", term.value.replace('\\', "\\\\").replace('"', "\\\""))?,
                false => f.write_str(&term.value)?,
            }
        }
        Ok(())
    }
}

impl Term {
    fn read(text: &str) -> Result<(Term, &str), String> {
        let name_ends = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
        let (name, rest) = text.split_at(name_ends);
        let rest = rest.trim_start();
        if name.is_empty() {
            return Err(format!("a term begins with a name: 'memory>50%', not {:?}", start(text)));
        }
        let field = find(name)?;
        let Some((written, op)) = OPS.into_iter().find(|(written, _)| rest.starts_with(written)) else {
            return Err(format!("after {name:?} stands one of = != ~ !~ > >= < <=, not {:?}", start(rest)));
        };
        let (value, quoted, rest) = value(rest[written.len()..].trim_start())?;
        // `cpu==1`, `cpu=>1`, `cpu=<1`.
        if !quoted && value.starts_with(['=', '>', '<', '~']) {
            return Err(format!("{written}{} is no operator; there are = != ~ !~ > >= < <=", value.chars().next().unwrap_or_default()));
        }
        let test = test(field, op, &value, quoted)?;
        Ok((Term { field, op, value, quoted, test }, rest))
    }

    fn meets(&self, row: &Row<'_>) -> bool {
        match (&self.test, self.field.of(row)) {
            (Test::Known, value) => (self.op == Op::Is) == (value == Value::Unknown),
            (Test::Words, Value::Text(text)) => (self.op == Op::Is) == (*text == self.value),
            (Test::Matches(pattern), Value::Text(text)) => (self.op == Op::Like) == pattern.is_match(&text),
            (Test::Figure(field, bound), _) => match field.of(row) {
                Value::Number(figure) => compare(self.op, figure, *bound),
                _ => false,
            },
            _ => false,
        }
    }
}

fn compare(op: Op, figure: f64, bound: f64) -> bool {
    match op {
        Op::Is => figure == bound,
        Op::IsNot => figure != bound,
        Op::Over => figure > bound,
        Op::AtLeast => figure >= bound,
        Op::Under => figure < bound,
        Op::AtMost => figure <= bound,
        Op::Like | Op::Unlike => false,
    }
}

/// A value, whether it stood in quotes, and what follows it.
fn value(text: &str) -> Result<(String, bool, &str), String> {
    let Some(inside) = text.strip_prefix('"') else {
        let ends = text.find(char::is_whitespace).unwrap_or(text.len());
        let (value, rest) = text.split_at(ends);
        return match value.contains('"') {
            true => Err(format!("a quote stands around the whole value: \"{}\"", start(&value.replace('"', "")))),
            false => Ok((value.into(), false, rest)),
        };
    };
    let mut value = String::new();
    let mut letters = inside.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                let rest = &inside[at + 1..];
                let apart = rest.is_empty() || rest.starts_with(char::is_whitespace);
                return if apart { Ok((value, true, rest)) } else { Err(format!("a space stands after a quoted value, not {:?}", start(rest))) };
            }
            '\\' => match letters.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                _ => return Err("in quotes \\ stands before \" or \\ alone".into()),
            },
            letter => value.push(letter),
        }
    }
    Err(format!("the quote before {:?} is not closed", start(inside)))
}

fn test(field: &'static Field, op: Op, value: &str, quoted: bool) -> Result<Test, String> {
    let name = field.name;
    match (field.unit, op) {
        (Unit::Text, Op::Is | Op::IsNot) => {
            if !field.words.is_empty() && !field.words.contains(&value) {
                let hint = nearest(value, field.words.iter().copied()).map(|meant| format!("did you mean {meant}?"));
                return Err(format!("no {name} is {:?}; {}", start(value), hint.unwrap_or_else(|| format!("there are {}", field.words.join(", ")))));
            }
            Ok(Test::Words)
        }
        (Unit::Text, Op::Like | Op::Unlike) => {
            let pattern = RegexBuilder::new(value).size_limit(REGEX).build();
            pattern.map(Test::Matches).map_err(|problem| format!("{:?} is no regular expression: {}", start(value), reason(&problem)))
        }
        (Unit::Text, _) => Err(format!("{name} is a word: it goes with = != ~ !~")),
        (_, Op::Like | Op::Unlike) => Err(format!("{name} is a figure: it goes with = != > >= < <=")),
        (_, Op::Is | Op::IsNot) if value == "unknown" && !quoted => Ok(Test::Known),
        (unit, _) => {
            let (field, figure) = match (value.strip_suffix('%'), field.share, unit) {
                (Some(percent), _, Unit::Share) => (field, plain(percent).map(|percent| percent / 100.0)),
                (Some(percent), Some(share), _) => (find(share)?, plain(percent).map(|percent| percent / 100.0)),
                (Some(_), None, _) => return Err(format!("{name} has no limit that % could be of")),
                (None, ..) => (field, figure(value, unit)),
            };
            figure.map(|figure| Test::Figure(field, figure)).ok_or_else(|| format!("{name} is compared with {}, not {:?}", example(unit, field), start(value)))
        }
    }
}

/// The last line of what the parser of expressions says names the fault; those before it draw it.
fn reason(problem: &regex::Error) -> String {
    let text = problem.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn plain(text: &str) -> Option<f64> {
    // No sign, no exponent, no `inf`: what people write.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|figure: &f64| digits && figure.is_finite())
}

/// A figure with the unit people give it.
fn figure(text: &str, unit: Unit) -> Option<f64> {
    if text == "unlimited" {
        return Some(f64::INFINITY);
    }
    let units: &[(&str, f64)] = match unit {
        Unit::Text | Unit::Share | Unit::Count => &[],
        Unit::Cores => &[("m", 1e-3)],
        Unit::UsdPerHour => &[("$", 1.0)],
        Unit::Bytes | Unit::BytesPerSecond => BYTES,
        Unit::Seconds => &[("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)],
    };
    let text = if unit == Unit::BytesPerSecond { text.strip_suffix("/s").unwrap_or(text) } else { text };
    let ends = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, written) = text.split_at(ends);
    let by = if written.is_empty() { 1.0 } else { units.iter().find(|(name, _)| name.eq_ignore_ascii_case(written))?.1 };
    Some(plain(number)? * by)
}

/// As tables show them, as Kubernetes writes them, and the decimal ones.
const BYTES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
];

fn example(unit: Unit, field: &Field) -> &'static str {
    match (unit, field.share) {
        (Unit::Cores, Some(_)) => "cores or a share of the limit: 0.5, 250m, 80%",
        (Unit::Cores, None) => "cores: 0.5, 250m, unlimited",
        (Unit::Bytes, Some(_)) => "bytes or a share of the limit: 200MiB, 1.5GB, 50%",
        (Unit::Bytes, None) => "bytes: 200MiB, 1.5GB, unlimited",
        (Unit::BytesPerSecond, _) => "bytes a second: 200KiB, 1.5MB",
        (Unit::Share, _) => "a share: 5%, 0.05",
        (Unit::UsdPerHour, _) => "dollars an hour: 0.01",
        (Unit::Seconds, _) => "a span of time: 90s, 5m, 2h, 1d",
        (Unit::Text | Unit::Count, _) => "a number: 3",
    }
}

/// As much as an error repeats.
fn start(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::query::field::rows;
    use crate::sample;

    fn met(filter: &str) -> Vec<String> {
        let filter = Filter::read(filter).unwrap_or_else(|problem| panic!("{filter}: {problem}"));
        let report = sample::report();
        let name = |row: &Row<'_>| match row.inner {
            Some(inner) => format!("{}/{}", row.workload.seen.about.name, inner.seen.about.label()),
            None => row.workload.seen.about.name.to_string(),
        };
        rows(&report).filter(|row| filter.meets(row)).map(|row| name(&row)).collect()
    }

    #[test]
    fn terms_choose_rows() {
        for (filter, expected) in [
            ("workload=web", &["web", "web/app", "web/envoy"][..]),
            ("name=web memory>100MiB", &["web", "web/app"]),
            ("memory>65%", &["api"]),
            ("memory>65% memory < 1GiB", &[]),
            ("memory >= 635MiB kind=task", &["web", "api"]),
            ("mem<=0.05GB", &["web/envoy"]),
            ("memory_bytes<60000000", &["web/envoy", "ecs-agent"]),
            ("cpu>200m", &["web", "api"]),
            ("cpu>150%", &["api"]),
            ("throttled>=31%", &["api"]),
            ("throttled<0.01", &["web"]),
            ("cost>0.0213 workload!=api", &["web"]),
            ("cost>0.02$ cost<0.0214", &["web"]),
            ("restarts>0", &["api"]),
            ("workload~^(web|api)$ kind!=container", &["web", "api"]),
            ("workload!~e", &["api"]),
            ("container=envoy", &["web/envoy"]),
            ("net>9MB/s", &["web"]),
            ("warnings~\"31 %\"", &["api"]),
            ("warnings!=\"\"", &["api"]),
            ("restarts=unknown", &["system"]),
            ("restarts!=unknown state=running kind=task", &["web", "api"]),
            ("cpu_limit=unlimited", &[]),
            ("project=\"\" kind=system", &["system"]),
        ] {
            assert_eq!(met(filter), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_was_meant() {
        for (filter, said) in [
            ("", "a filter has terms"),
            ("memry>5", "did you mean memory?"),
            ("zzzzz=5", "there are workload, container"),
            ("memory", "after \"memory\" stands one of ="),
            ("memory?5", "stands one of ="),
            ("memory==5", "== is no operator"),
            ("memory=>5", "=> is no operator"),
            ("=5", "a term begins with a name"),
            ("memory>lots", "memory is compared with bytes or a share of the limit: 200MiB, 1.5GB, 50%, not \"lots\""),
            ("memory>-5", "not \"-5\""),
            ("memory>1e9", "not \"1e9\""),
            ("memory>", "not \"\""),
            ("swap>50%", "swap has no limit that % could be of"),
            ("memory~5", "it goes with = != > >= < <="),
            ("workload>web", "it goes with = != ~ !~"),
            ("state=runing", "did you mean running?"),
            ("state=zzzzzz", "there are running, paused"),
            ("workload~(", "is no regular expression"),
            ("workload~\\w{999}{999}{999}", "is no regular expression"),
            ("workload=\"web", "is not closed"),
            ("workload=w\"eb\"", "around the whole value"),
            ("workload=\"web\"x=1", "a space stands after"),
            ("workload=\"w\\eb\"", "stands before"),
        ] {
            let problem = Filter::read(filter).unwrap_err();
            assert!(problem.contains(said) && problem.len() < 600, "{filter}: {problem}");
        }
        assert!(Filter::read(&"x".repeat(LONGEST + 1)).is_err());
        assert!(Filter::read(&"cpu>1 ".repeat(MOST)).is_ok() && Filter::read(&"cpu>1 ".repeat(MOST + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_read_reads_back(
            text in "((cpu|memory|workload|state|warnings|now|x)( |)(=|!=|~|!~|>|>=|<|<=|\\?)( |)(\"[a-z \\\\\"]{0,5}\"|[a-z0-9.%\"\\\\]{0,6}|50%|running|é|200MiB|unknown|unlimited) ?){0,4}|\\PC{0,40}"
        ) {
            if let Ok(filter) = Filter::read(&text) {
                let again = Filter::read(&filter.to_string());
                prop_assert_eq!(again.as_ref(), Ok(&filter), "{}", filter);
                rows(&sample::report()).for_each(|row| { filter.meets(&row); });
            }
        }
    }
}
