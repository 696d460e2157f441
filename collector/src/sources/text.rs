//! Numbers out of kernel text, byte by byte: nothing is allocated, and what does not fit is unknown, never zero.

/// The number at the start of a one-number file: `52428800\n`. Blanks around it are allowed, anything else is not.
pub fn number(text: &[u8]) -> Option<u64> {
    digits(text.trim_ascii())
}

/// Decimal digits and nothing else, up to `u64::MAX`.
pub fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })
}

/// The lines of a text, without their ends; whether the last one is whole is for the caller to ask.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    })
}

/// The `key number` lines of a flat file. Lines of another shape are left out.
pub fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    keyed(text).filter_map(|(key, number)| Some((key, digits(number)?)))
}

/// The same lines, their numbers not read yet: of a long file few are wanted.
pub fn keyed(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(text).filter_map(|line| {
        let blank = line.iter().position(|byte| *byte == b' ')?;
        Some((&line[..blank], &line[blank + 1..]))
    })
}

/// The blank-separated words of a line.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// How many CPUs a list names: `0-3,8` is five. An empty list is unknown (v1 shows one where the set was never made).
/// Format: kernel, Documentation/admin-guide/cputopology.rst.
pub fn cpu_list(text: &[u8]) -> Option<u32> {
    let mut count = 0_u64;
    for range in text.trim_ascii().split(|byte| *byte == b',') {
        let (first, last) = match range.iter().position(|byte| *byte == b'-') {
            Some(dash) => (digits(&range[..dash])?, digits(&range[dash + 1..])?),
            None => (digits(range)?, digits(range)?),
        };
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    u32::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        for (text, expected) in [
            ("52428800\n", Some(52_428_800)),
            ("0", Some(0)),
            (" 7 \n", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("\n", None),
            ("max\n", None),
            ("-1\n", None),
            ("+1", None),
            ("1 2", None),
            ("1\0", None),
            ("1.5", None),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_flat_file_loses_only_the_lines_that_do_not_fit() {
        let text = b"usage_usec 12\nodd\n\nuser_usec x\nsystem_usec 5 6\nnr_periods 3";
        assert_eq!(pairs(text).collect::<Vec<_>>(), [(&b"usage_usec"[..], 12), (b"nr_periods", 3)]);
    }

    #[test]
    fn a_cpu_list_is_counted() {
        for (text, count) in [
            ("0-3,8\n", Some(5)),
            ("0\n", Some(1)),
            ("0-3,8,10-11\n", Some(7)),
            ("0-4294967295", None),
            ("\n", None),
            ("3-0", None),
            ("0-", None),
            ("0-18446744073709551615", None),
            ("a", None),
        ] {
            assert_eq!(cpu_list(text.as_bytes()), count, "{text:?}");
        }
    }
}
