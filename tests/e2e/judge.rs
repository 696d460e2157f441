//! Whether a figure is what was expected of it. One arm an operation of the case format.

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use crate::case::Expectation;

/// What became of one expectation.
#[derive(Debug)]
pub enum Verdict {
    /// It holds.
    Held,
    /// It does not; what was seen instead.
    Broken(String),
    /// It cannot be judged here, and why.
    Skipped(String),
}

/// The figure of one row.
#[derive(Debug)]
pub struct Found {
    /// The row's name.
    pub of: String,
    /// `None` is not known.
    pub value: Option<Value>,
    /// What is said of it in words.
    pub sentences: Vec<String>,
}

/// The figures of all rows that are meant. `all`: every row was meant (`*`), so rows that do not know the figure are no evidence.
pub fn judge(expected: &Expectation, found: &[Found], all: bool) -> Verdict {
    let nothing = [Found { of: "nothing of that name was seen".into(), value: None, sentences: Vec::new() }];
    let rows = if found.is_empty() { &nothing[..] } else { found };
    match expected.op.as_str() {
        "marked" | "warns" => return words(expected, rows),
        "unique_per_series" => return unique(rows),
        _ => {}
    }
    let positive = !matches!(expected.op.as_str(), "absent" | "must_not" | "must_not_contain" | "must_not_match" | "finite");
    let (mut held, mut seen) = (0, Vec::new());
    for row in rows {
        if all && positive && row.value.is_none() {
            continue;
        }
        match holds(&expected.op, row.value.as_ref(), &expected.value, expected.tol, &row.sentences) {
            Ok(true) => held += 1,
            Ok(false) => seen.push(format!("{}: {}", row.of, show(row.value.as_ref()))),
            Err(problem) => return Verdict::Broken(problem),
        }
    }
    // `ge`, `le` and the like over every row are limits on what is there; that something is there is said by other expectations.
    let vacuous = all && held == 0 && !matches!(expected.op.as_str(), "ge" | "le" | "one_of");
    if seen.is_empty() && !vacuous { Verdict::Held } else { Verdict::Broken(if seen.is_empty() { "no row knows it".into() } else { seen.join("; ") }) }
}

/// One operation on one value.
fn holds(op: &str, value: Option<&Value>, expected: &Value, tol: Option<f64>, sentences: &[String]) -> Result<bool, String> {
    let any = |test: &dyn Fn(&Value) -> bool| expected.as_array().map_or_else(|| test(expected), |members| members.iter().any(test));
    let every = |test: &dyn Fn(&Value) -> bool| expected.as_array().map_or_else(|| test(expected), |members| members.iter().all(test));
    Ok(match op {
        "eq" => same(value, expected),
        "approx" => match (value.and_then(as_number), as_number(expected)) {
            (Some(value), Some(expected)) => (value - expected).abs() <= tol.unwrap_or(1e-6) * expected.abs().max(f64::MIN_POSITIVE),
            _ => false,
        },
        "ge" => value.and_then(|value| compare(value, expected)).is_some_and(|order| order.is_ge()),
        "le" => value.and_then(|value| compare(value, expected)).is_some_and(|order| order.is_le()),
        "gt" => value.and_then(|value| compare(value, expected)).is_some_and(|order| order.is_gt()),
        "lt" => value.and_then(|value| compare(value, expected)).is_some_and(|order| order.is_lt()),
        "match" => value.is_some_and(|value| texts(value).iter().any(|text| matches(text, expected))),
        "must_not_match" => !value.is_some_and(|value| any(&|pattern| texts(value).iter().any(|text| matches(text, pattern)))),
        "absent" => value.is_none(),
        "present" | "done" => value.is_some(),
        // A text is valid when its strict reader took it: the caller hands on the reader's complaint instead.
        "valid" => value.is_some_and(|value| !value.is_null()),
        "finite" => value.is_none_or(|value| as_number(value).is_some_and(f64::is_finite)),
        "one_of" => any(&|member| one_of(value, member, sentences)),
        "must_not" => !any(&|wrong| value.is_some() && same(value, wrong)),
        "contains" => value.is_some_and(|value| every(&|part| contains(value, part))),
        "must_not_contain" => !value.is_some_and(|value| any(&|part| contains(value, part))),
        other => return Err(format!("the operation {other} is not known here")),
    })
}

/// A member of `one_of`: the word `absent`, a condition, or a value.
fn one_of(value: Option<&Value>, member: &Value, sentences: &[String]) -> bool {
    match member {
        Value::String(word) if word == "absent" => value.is_none() || same(value, member),
        Value::Object(conditions) if !conditions.is_empty() => conditions.iter().all(|(op, expected)| match op.as_str() {
            "marked" | "warns" => !sentences.is_empty(),
            "tol" | "note" => true,
            op => holds(op, value, expected, conditions.get("tol").and_then(Value::as_f64), sentences).unwrap_or(false),
        }),
        _ => same(value, member),
    }
}

/// A flag or a sentence says so. Words of the expectation are looked for; where none is found, a person has to read what is said.
fn words(expected: &Expectation, rows: &[Found]) -> Verdict {
    let said: Vec<&str> = rows.iter().flat_map(|row| row.sentences.iter().map(String::as_str)).collect();
    if said.is_empty() {
        return Verdict::Broken("nothing is said".into());
    }
    let text = said.join("; ").to_lowercase();
    let wanted: Vec<String> = texts(&expected.value)
        .iter()
        .flat_map(|text| text.to_lowercase().split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let wanted: Vec<String> = wanted.into_iter().filter(|word| word.len() > 3).collect();
    if wanted.is_empty() || wanted.iter().any(|word| text.contains(word.as_str())) {
        return Verdict::Held;
    }
    Verdict::Skipped(format!("a person decides whether this says it: {text}"))
}

/// No two rows have the same value.
fn unique(rows: &[Found]) -> Verdict {
    let mut seen: Vec<String> = rows.iter().filter_map(|row| row.value.as_ref()).map(Value::to_string).collect();
    seen.sort();
    match seen.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Verdict::Broken(format!("{} twice", two[0])),
        None => Verdict::Held,
    }
}

/// Whole numbers are compared exactly, others to nine digits (the report's numbers went through text and division), times as instants.
fn same(value: Option<&Value>, expected: &Value) -> bool {
    let Some(value) = value else { return expected.is_null() || expected == "absent" };
    if let (Some(a), Some(b)) = (whole(value), whole(expected)) {
        return a == b;
    }
    if let (Some(a), Some(b)) = (as_number(value), as_number(expected)) {
        return a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    }
    match (value, expected) {
        (Value::String(a), Value::String(b)) => a == b || a.parse::<Timestamp>().ok().zip(b.parse::<Timestamp>().ok()).is_some_and(|(a, b)| a == b),
        _ => value == expected,
    }
}

fn compare(value: &Value, expected: &Value) -> Option<std::cmp::Ordering> {
    if let (Some(a), Some(b)) = (as_number(value), as_number(expected)) {
        return a.partial_cmp(&b);
    }
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    // A list of instants is as early as its earliest.
    let earliest = match value {
        Value::Array(members) => members.iter().filter_map(time).min(),
        one => time(one),
    };
    earliest.zip(time(expected)).map(|(a, b)| a.cmp(&b))
}

fn whole(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or(value.as_u64().map(i128::from))
}

/// A number, or a text that is one ("1.00" in prices).
fn as_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(members) => members.iter().flat_map(texts).collect(),
        other => vec![other.to_string()],
    }
}

fn matches(text: &str, pattern: &Value) -> bool {
    let pattern = pattern.as_str().unwrap_or_default();
    Regex::new(&format!("(?m){pattern}")).unwrap_or_else(|e| panic!("{pattern}: {e}")).is_match(text)
}

/// A part of a text, or of one member of a list; a list is of sentences, where capitals do not matter.
fn contains(value: &Value, part: &Value) -> bool {
    let fold = |text: String| if value.is_array() { text.to_lowercase() } else { text };
    let parts: Vec<String> = texts(part).into_iter().map(fold).collect();
    texts(value).into_iter().map(fold).any(|text| parts.iter().all(|part| text.contains(part.as_str())))
}

fn show(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "absent".into(), Value::to_string);
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[test]
fn every_operation_holds_and_breaks_as_its_word_says() {
    use serde_json::json;
    let big = json!(18446744073709547520_u64);
    for (op, value, expected, holds) in [
        ("eq", json!(2.5), json!(2.5), true),
        ("eq", json!(18446744073709547521_u64), big.clone(), false),
        ("eq", json!(0.1 + 0.2), json!(0.3), true),
        ("eq", json!("2026-03-02T10:00:00Z"), json!("2026-03-02T10:00:00.000Z"), true),
        ("eq", Value::Null, json!(0), false),
        ("approx", json!(0.6875), json!(0.68750001), true),
        ("approx", json!(0.6875), json!(0.6876), false),
        ("ge", json!(5), json!(5), true),
        ("ge", Value::Null, json!(0), false),
        ("ge", json!(["2026-03-02T10:00:00Z", "0001-01-01T00:00:00Z"]), json!("2026-01-01T00:00:00Z"), false),
        ("le", json!(5.1), json!(5), false),
        ("match", json!("web-1"), json!("^web-\\d$"), true),
        ("must_not_match", json!("a\ntoken=abc"), json!("^token="), false),
        ("absent", Value::Null, Value::Null, true),
        ("absent", json!(0), Value::Null, false),
        ("present", json!(0), Value::Null, true),
        ("finite", json!("inf"), Value::Null, false),
        ("finite", Value::Null, Value::Null, true),
        ("one_of", Value::Null, json!(["absent", 5]), true),
        ("one_of", json!(7), json!(["absent", {"le": 6}]), false),
        ("one_of", json!(5), json!([{"ge": 4, "le": 6}]), true),
        ("must_not", json!(0), json!([0, -1]), false),
        ("must_not", Value::Null, json!(""), true),
        ("contains", json!(["no PSI", "pressure is off"]), json!("pressure"), true),
        ("must_not_contain", json!("key=abc"), json!(["abc", "def"]), false),
    ] {
        let value = (!value.is_null()).then_some(value);
        assert_eq!(self::holds(op, value.as_ref(), &expected, None, &[]), Ok(holds), "{value:?} {op} {expected}");
    }
    assert!(self::holds("is", None, &big, None, &[]).is_err());
}
