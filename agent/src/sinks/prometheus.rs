//! A frame as Prometheus text, format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). No timestamps; what is not known has no line.

use std::time::Duration;

use crate::cost::UsdPerHour;
use crate::metrics::frame::Frame;
use crate::metrics::schema::Value;

/// The `Content-Type` of what [`encode`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Appends every series to `out`: help and type once, the lines of one metric together. Allocates only while `out` grows.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    for block in frame.blocks() {
        for column in block.columns().iter().filter(|column| !column.samples.is_empty()) {
            out.extend_from_slice(column.head.as_bytes());
            for sample in &column.samples {
                out.extend_from_slice(column.name.as_bytes());
                let labels = block.labels(sample).block();
                let mut before = b'{';
                if !labels.is_empty() {
                    out.push(before);
                    out.extend_from_slice(labels.as_bytes());
                    before = b',';
                }
                // The words of a split are our own and need no escape.
                if let Some((label, words)) = &column.split {
                    out.push(before);
                    out.extend_from_slice(label.as_bytes());
                    out.extend_from_slice(b"=\"");
                    out.extend_from_slice(words[sample.word as usize].as_bytes());
                    out.push(b'"');
                    before = b',';
                }
                out.extend_from_slice(if before == b',' { b"} " } else { b" " });
                number(sample.value, out);
                out.push(b'\n');
            }
        }
    }
}

fn number(value: Value, out: &mut Vec<u8>) {
    match value {
        Value::Count(count) => whole(count, out),
        Value::Real(real) => {
            let mut buffer = zmij::Buffer::new();
            let text = buffer.format(real);
            out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        }
        Value::Time(time) => seconds(time, out),
        Value::Usd(rate) => dollars(rate, out),
    }
}

fn whole(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Every nanosecond, and no digit more.
fn seconds(time: Duration, out: &mut Vec<u8>) {
    whole(time.as_secs(), out);
    billionths(time.subsec_nanos(), out);
}

fn dollars(rate: UsdPerHour, out: &mut Vec<u8>) {
    if rate.0 < 0 {
        out.push(b'-');
    }
    let nano_dollars = rate.0.unsigned_abs();
    whole(nano_dollars / 1_000_000_000, out);
    billionths((nano_dollars % 1_000_000_000) as u32, out);
}

/// `.5` for 500,000,000; nothing for 0.
fn billionths(mut part: u32, out: &mut Vec<u8>) {
    if part == 0 {
        return;
    }
    let mut digits = [b'0'; 9];
    for digit in digits.iter_mut().rev() {
        *digit += (part % 10) as u8;
        part /= 10;
    }
    let end = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    out.push(b'.');
    out.extend_from_slice(&digits[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_short() {
        for (value, text) in [
            (Value::Count(0), "0"),
            (Value::Count(u64::MAX), "18446744073709551615"),
            (Value::Real(0.25), "0.25"),
            (Value::Real(3.0), "3"),
            (Value::Real(-1.0), "-1"),
            (Value::Real(0.1 + 0.2), "0.30000000000000004"),
            (Value::Time(Duration::ZERO), "0"),
            (Value::Time(Duration::new(2, 500_000_000)), "2.5"),
            (Value::Time(Duration::new(0, 1)), "0.000000001"),
            // As a float this one would end in .12345679.
            (Value::Time(Duration::new(1_760_000_000, 123_456_789)), "1760000000.123456789"),
            (Value::Time(Duration::MAX), "18446744073709551615.999999999"),
            (Value::Usd(UsdPerHour(100_800_000)), "0.1008"),
            (Value::Usd(UsdPerHour(-1_000_000_001)), "-1.000000001"),
            (Value::Usd(UsdPerHour(i64::MIN)), "-9223372036.854775808"),
        ] {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn reals_read_back_as_themselves() {
        for real in [1e300, 1e-300, f64::MIN_POSITIVE, f64::MAX, 123_456_789.123, 1e15, 1e16, -0.0] {
            let mut out = Vec::new();
            number(Value::Real(real), &mut out);
            assert_eq!(String::from_utf8(out).unwrap().parse::<f64>().unwrap(), real);
        }
    }
}
