//! A receiver of remote write as strict as its specifications: it reads a request by the letter and says what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

/// One series of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Names and values, `__name__` among them.
    pub labels: Vec<(String, String)>,
    /// Times in milliseconds, and the bits of the values.
    pub samples: Vec<(i64, u64)>,
    /// In 2.0 what it is: type, help, unit.
    pub about: Option<(u64, String, String)>,
}

/// What a request of 1.0 says of a metric: type, help, unit.
pub type Metadata = BTreeMap<String, (u64, String, String)>;

/// One field of a message: its number, and what it holds.
enum Field<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Field<'_>)>, String> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            1 => {
                let (fixed, rest) = bytes.split_first_chunk::<8>().ok_or("a number is cut")?;
                bytes = rest;
                Field::Fixed(u64::from_le_bytes(*fixed))
            }
            2 => {
                let size = usize::try_from(varint(&mut bytes)?).map_err(|e| e.to_string())?;
                let (inner, rest) = bytes.split_at_checked(size).ok_or("a field is cut")?;
                bytes = rest;
                Field::Bytes(inner)
            }
            kind => return Err(format!("no such wire type: {kind}")),
        };
        all.push((tag >> 3, field));
    }
    Ok(all)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0u64;
    for at in 0..10 {
        let (&byte, rest) = bytes.split_first().ok_or("a varint is cut")?;
        *bytes = rest;
        if at == 9 && byte > 1 {
            return Err("a varint is longer than 64 bits".into());
        }
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return if byte == 0 && at > 0 { Err("a varint is longer than it need be".into()) } else { Ok(number) };
        }
    }
    Err("a varint is longer than ten bytes".into())
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string())
}

/// A `prometheus.WriteRequest`.
pub fn read_one(body: &[u8]) -> Result<(Vec<Series>, Metadata), String> {
    let (mut all, mut metadata) = (Vec::new(), Metadata::new());
    for field in fields(body)? {
        match field {
            (1, Field::Bytes(series)) => {
                let (mut labels, mut samples) = (Vec::new(), Vec::new());
                for field in fields(series)? {
                    match field {
                        (1, Field::Bytes(label)) => match &fields(label)?[..] {
                            [(1, Field::Bytes(name)), (2, Field::Bytes(value))] => labels.push((text(name)?, text(value)?)),
                            _ => return Err("a label is a name and a value".into()),
                        },
                        (2, Field::Bytes(one)) => samples.push(sample(one)?),
                        (number, _) => return Err(format!("field {number} of a series")),
                    }
                }
                all.push(Series { labels, samples, about: None });
            }
            (3, Field::Bytes(about)) => match &fields(about)?[..] {
                [(1, Field::Number(kind)), (2, Field::Bytes(name)), (4, Field::Bytes(help)), (5, Field::Bytes(unit))] => {
                    let twice = metadata.insert(text(name)?, (*kind, text(help)?, text(unit)?));
                    if twice.is_some() {
                        return Err("a metric is told of twice".into());
                    }
                }
                _ => return Err("what a metric is has a type, a name, a help and a unit".into()),
            },
            (number, _) => return Err(format!("field {number} of the request")),
        }
    }
    judge(&all).map(|()| (all, metadata))
}

/// An `io.prometheus.write.v2.Request`.
pub fn read_two(body: &[u8]) -> Result<Vec<Series>, String> {
    let (mut symbols, mut all, mut used) = (Vec::new(), Vec::new(), BTreeSet::from([0]));
    for field in fields(body)? {
        match field {
            (4, Field::Bytes(symbol)) if all.is_empty() => symbols.push(text(symbol)?),
            (5, Field::Bytes(series)) => {
                let mut symbol = |number: u64| {
                    used.insert(number);
                    symbols.get(number as usize).cloned().ok_or(format!("there is no symbol {number}"))
                };
                match &fields(series)?[..] {
                    [(1, Field::Bytes(refs)), (2, Field::Bytes(one)), (5, Field::Bytes(about))] => {
                        let (mut refs, mut labels) = (*refs, Vec::new());
                        while !refs.is_empty() {
                            labels.push((symbol(varint(&mut refs)?)?, symbol(varint(&mut refs)?)?));
                        }
                        let about = match &fields(about)?[..] {
                            [(1, Field::Number(kind)), (3, Field::Number(help)), (4, Field::Number(unit))] => (*kind, symbol(*help)?, symbol(*unit)?),
                            _ => return Err("what a metric is has a type, a help and a unit".into()),
                        };
                        all.push(Series { labels, samples: vec![sample(one)?], about: Some(about) });
                    }
                    _ => return Err("a series has labels, one sample, and what it is".into()),
                }
            }
            (number, _) => return Err(format!("field {number} of the request, or symbols behind series")),
        }
    }
    if symbols.first().is_none_or(|first| !first.is_empty()) {
        return Err("the first symbol is not empty".into());
    }
    if symbols.iter().collect::<BTreeSet<_>>().len() < symbols.len() || used.len() < symbols.len() {
        return Err("a symbol is there twice, or for nothing".into());
    }
    judge(&all).map(|()| all)
}

fn sample(bytes: &[u8]) -> Result<(i64, u64), String> {
    match fields(bytes)?[..] {
        [(1, Field::Fixed(value)), (2, Field::Number(at))] => Ok((at as i64, value)),
        _ => Err("a sample is a value and a time".into()),
    }
}

/// What both specifications ask of series.
fn judge(all: &[Series]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for Series { labels, samples, .. } in all {
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(format!("labels are not sorted, or not unique: {labels:?}"));
        }
        if labels.iter().any(|(name, value)| name.is_empty() || value.is_empty()) || !labels.iter().any(|(name, _)| name == "__name__") {
            return Err(format!("a label is empty, or there is no name: {labels:?}"));
        }
        if samples.is_empty() || !samples.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(format!("no samples, or not in the order of time: {labels:?}"));
        }
        if samples.iter().any(|(_, value)| f64::from_bits(*value).is_nan() && *value != 0x7ff0_0000_0000_0002) {
            return Err(format!("a value that is no number: {labels:?}"));
        }
        if !seen.insert(labels) {
            return Err(format!("a series is there twice: {labels:?}"));
        }
    }
    Ok(())
}
