//! The labels of one row: the plain pairs, and the same rendered once for Prometheus.

use smallvec::SmallVec;

/// A label value longer than this many bytes is cut: Amazon Managed Prometheus takes 1,024 characters, Mimir 2,048 bytes.
pub const VALUE_LIMIT: usize = 1024;

/// Names and values of one row. Kept between ticks; its buffers are used again when it is rendered anew.
#[derive(Clone, Debug, Default)]
pub struct LabelSet {
    values: String,
    /// Each name, and where its value ends in `values`.
    ends: SmallVec<[(&'static str, usize); 5]>,
    block: String,
}

impl LabelSet {
    /// Adds one label. An empty value is the same as no label, as in Prometheus; a name is given once.
    pub fn push(&mut self, name: &'static str, value: &str) {
        self.push_with(name, |values| values.push_str(value));
    }

    /// Adds one label whose value is written in place.
    pub fn push_with(&mut self, name: &'static str, write: impl FnOnce(&mut String)) {
        let start = self.values.len();
        write(&mut self.values);
        let whole = self.values.len() - start;
        if whole > VALUE_LIMIT {
            self.values.truncate(start + self.values[start..].floor_char_boundary(VALUE_LIMIT));
        }
        if whole == 0 || self.has(name) {
            self.values.truncate(start);
            return;
        }
        self.ends.push((name, self.values.len()));
        render(name, &self.values[start..], &mut self.block);
    }

    /// Whether a label of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.ends.iter().any(|(there, _)| *there == name)
    }

    /// Names and values as they are, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(name, end)| {
            let value = &self.values[start..end];
            start = end;
            (name, value)
        })
    }

    /// As Prometheus prints it between the braces: `workload="web",container="web-1"`.
    pub fn block(&self) -> &str {
        &self.block
    }

    /// Becomes a copy of `other`, in place.
    pub fn copy(&mut self, other: &LabelSet) {
        self.values.clone_from(&other.values);
        self.ends.clear();
        self.ends.extend_from_slice(&other.ends);
        self.block.clone_from(&other.block);
    }

    /// Gives back room beyond what is there: labels stay as they are for long.
    pub fn shrink(&mut self) {
        self.values.shrink_to_fit();
        self.block.shrink_to_fit();
    }

    /// Forgets all labels, keeps the room.
    pub fn clear(&mut self) {
        self.values.clear();
        self.ends.clear();
        self.block.clear();
    }
}

/// `,name="value"` with the three escapes of the text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
pub(super) fn render(name: &str, value: &str, block: &mut String) {
    if !block.is_empty() {
        block.push(',');
    }
    block.push_str(name);
    block.push_str("=\"");
    for letter in value.chars() {
        match letter {
            '\\' => block.push_str("\\\\"),
            '"' => block.push_str("\\\""),
            '\n' => block.push_str("\\n"),
            letter => block.push(letter),
        }
    }
    block.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_for_prometheus_and_plain_for_others() {
        for (value, printed) in [
            ("web", r#"x="web""#),
            (r#"a"b"#, r#"x="a\"b""#),
            (r"a\b", r#"x="a\\b""#),
            ("a\nb", r#"x="a\nb""#),
            ("\\\"\n", r#"x="\\\"\n""#),
            ("ü→\u{fffd}", "x=\"ü→\u{fffd}\""),
            ("", ""),
        ] {
            let mut labels = LabelSet::default();
            labels.push("x", value);
            assert_eq!(labels.block(), printed);
            assert_eq!(labels.pairs().map(|(_, value)| value).collect::<String>(), value);
        }
    }

    #[test]
    fn a_name_is_given_once_and_a_long_value_is_cut_between_letters() {
        let mut labels = LabelSet::default();
        labels.push("a", &"ü".repeat(VALUE_LIMIT));
        labels.push("a", "again");
        labels.push("b", "2");
        let pairs: Vec<_> = labels.pairs().collect();
        assert_eq!(pairs, [("a", &*"ü".repeat(VALUE_LIMIT / 2)), ("b", "2")]);
    }
}
