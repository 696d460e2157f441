//! What the user wants told, and what he wants to stand on every series. Asked when names and labels are made, so that a tick costs nothing more.

use std::sync::Arc;

use super::labels::render;
use super::tags;

/// Names to tell, names and labels to leave out, labels to add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    allow: Vec<Glob>,
    deny: Vec<Glob>,
    drop_labels: Vec<String>,
    external: String,
    tags: Vec<(Arc<str>, &'static str)>,
}

impl Choice {
    /// Metrics to tell (none is all), those of them to leave out after all, labels to leave out, and names and values to stand on every series.
    pub fn new(allow: Vec<Glob>, deny: Vec<Glob>, drop_labels: Vec<String>, external: &[(String, String)]) -> Choice {
        let mut rendered = String::new();
        for (name, value) in external {
            render(name, value, &mut rendered);
        }
        Choice { allow, deny, drop_labels, external: rendered, tags: Vec::new() }
    }

    /// Tells tags of these keys, by labels that none of `external` is called.
    #[must_use]
    pub fn tagged(self, keys: &[Arc<str>], external: &[(String, String)]) -> Choice {
        Choice { tags: tags::labels(keys, |name| external.iter().any(|(taken, _)| taken == name)), ..self }
    }

    /// Whether the metric of this name in Prometheus is told.
    pub fn keeps(&self, metric: &str) -> bool {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(metric));
        (self.allow.is_empty() || any(&self.allow)) && !any(&self.deny)
    }

    /// Whether it names what is wanted: then nothing is left out by default.
    pub fn names(&self) -> bool {
        !self.allow.is_empty()
    }

    /// Whether a label is left out.
    pub fn drops(&self, label: &str) -> bool {
        self.drop_labels.iter().any(|dropped| dropped == label)
    }

    /// The label that tells the tag of this key, if it is told.
    pub fn tag(&self, key: &str) -> Option<&'static str> {
        self.tags.iter().find(|(told, _)| **told == *key).map(|(_, label)| *label)
    }

    /// The labels on every series as Prometheus prints them; empty where there are none.
    pub fn external(&self) -> &str {
        &self.external
    }
}

/// A name in which `*` stands for any letters, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(pub String);

impl Glob {
    /// Whether the whole name is meant.
    pub fn matches(&self, name: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(mut name) = name.strip_prefix(start) else { return false };
        let mut parts = rest.split('*').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return name.ends_with(part);
            }
            let Some(at) = name.find(part) else { return false };
            name = &name[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_is_any_letters() {
        for (glob, name, is) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "abc", true),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*c", "abc", true),
            ("*c", "abcd", false),
            ("a*c", "ac", true),
            ("a*c", "a", false),
            ("ab*ba", "aba", false),
            ("a*b*c", "a-b-b-c", true),
            ("a**c", "abc", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob(glob.into()).matches(name), is, "{glob} {name}");
        }
    }

    #[test]
    fn what_is_denied_is_left_out_of_what_is_allowed() {
        let globs = |all: &[&str]| all.iter().map(|glob| Glob((*glob).into())).collect::<Vec<_>>();
        let choice = Choice::new(globs(&["a_*", "b"]), globs(&["*_x"]), Vec::new(), &[]);
        assert_eq!(["a_1", "a_x", "b", "c"].map(|name| choice.keeps(name)), [true, false, true, false]);
        assert!(Choice::default().keeps("c"));
    }

    #[test]
    fn added_labels_are_printed_once_for_all() {
        let choice = Choice::new(Vec::new(), Vec::new(), Vec::new(), &[("team", "a\"b"), ("env", "prod")].map(|(name, value)| (name.into(), value.into())));
        assert_eq!(choice.external(), r#"team="a\"b",env="prod""#);
    }

    proptest! {
        #[test]
        fn a_glob_means_what_its_regular_expression_means(glob in "[ab*]{0,6}", name in "[ab]{0,8}") {
            let same = regex::Regex::new(&format!("^{}$", glob.replace('*', ".*"))).unwrap();
            prop_assert_eq!(Glob(glob).matches(&name), same.is_match(&name));
        }
    }
}
