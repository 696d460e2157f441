//! The name someone probably meant.

/// The candidate that takes the fewest changed letters, if few enough; a dotted name also counts by its last word alone.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    // Beyond this no name is meant, and the time grows with the length.
    if name.len() > 80 {
        return None;
    }
    let near = |candidate: &str| {
        let candidate = &*candidate.to_lowercase();
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        distance(&name, candidate).min(distance(&last(&name), &last(candidate)) + 1)
    };
    candidates.map(|candidate| (near(candidate), candidate)).filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4).min().map(|(_, name)| name)
}

/// How many letters must be put in, left out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_meant() {
        let names = ["listen", "interval", "log.level", "host.instance_type", "docker.socket"];
        for (written, meant) in [
            ("intervall", Some("interval")),
            ("Listen", Some("listen")),
            ("instance_type", Some("host.instance_type")),
            ("host.instance-type", Some("host.instance_type")),
            ("docker.sock", Some("docker.socket")),
            ("colour", None),
            ("LOG_LEVEL", Some("log.level")),
            ("", None),
        ] {
            assert_eq!(nearest(written, names.into_iter()), meant, "{written}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), names.into_iter()), None);
    }
}
