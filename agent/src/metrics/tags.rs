//! Tags of AWS as labels: `tag_` and the key, each letter that a label's name cannot have as `_`.

use std::sync::Arc;

/// Each key and the label that tells its values, in the order of the keys. A key that would take a name that is taken gets a number behind it: `tag_a_b_2`.
/// The names stay as long as the program: they are made once of the settings, which name at most 50 keys.
pub fn labels(keys: &[Arc<str>], is_taken: impl Fn(&str) -> bool) -> Vec<(Arc<str>, &'static str)> {
    let mut labels: Vec<(Arc<str>, &'static str)> = Vec::with_capacity(keys.len());
    for key in keys {
        if labels.iter().any(|(other, _)| other == key) {
            continue;
        }
        let plain = name(key);
        let numbered = (2..).map(|number| format!("{plain}_{number}"));
        let is_free = |name: &String| !is_taken(name) && !labels.iter().any(|(_, other)| other == name);
        let free = std::iter::once(plain.clone()).chain(numbered).find(is_free).expect("numbers do not end");
        labels.push((Arc::clone(key), free.leak()));
    }
    labels
}

/// Prometheus: "Data model", names of labels.
fn name(key: &str) -> String {
    let letters = key.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' });
    "tag_".chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn named(keys: &[&str], taken: &[&str]) -> Vec<&'static str> {
        let keys: Vec<Arc<str>> = keys.iter().map(|key| (*key).into()).collect();
        labels(&keys, |name| taken.contains(&name)).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn a_key_becomes_a_name_and_no_two_the_same() {
        assert_eq!(named(&["team", "Cost-Center", "größe"], &[]), ["tag_team", "tag_Cost_Center", "tag_gr__e"]);
        assert_eq!(named(&["a.b", "a-b", "a.b", "a_b_2"], &[]), ["tag_a_b", "tag_a_b_2", "tag_a_b_2_2"]);
        assert_eq!(named(&["team"], &["tag_team"]), ["tag_team_2"]);
    }

    proptest! {
        #[test]
        fn every_key_has_one_name_that_prometheus_takes(keys in prop::collection::vec("[ab_2.:/é]{1,4}", 0..12)) {
            let keys: Vec<Arc<str>> = keys.iter().map(|key| key.as_str().into()).collect();
            let labels = labels(&keys, |_| false);
            prop_assert_eq!(labels.iter().map(|(key, _)| key).collect::<HashSet<_>>(), keys.iter().collect());
            prop_assert_eq!(labels.iter().map(|(_, label)| label).collect::<HashSet<_>>().len(), labels.len());
            for (_, label) in labels {
                prop_assert!(label.starts_with("tag_") && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            }
        }
    }
}
