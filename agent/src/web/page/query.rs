//! What the address asks of the page: order, filter, one workload. Unknown words are said and passed over: an old link still opens.

use std::fmt::Write;

use collector::identity::{CgroupPath, ContainerId, Key, PodUid, TaskId};

/// The view that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Order of the rows; `None`: as `tare ps`.
    pub(super) sort: Option<Sort>,
    /// The other way round.
    pub(super) back: bool,
    /// Rows whose name, project, image or state has this in it.
    pub(super) filter: String,
    /// Every quiet unit has its row.
    pub(super) all: bool,
    /// The first word that nothing is known by, as it stands in the address; no part of the view.
    pub(super) unknown: Option<String>,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Cpu,
    Memory,
    Network,
    Restarts,
    Cost,
    Fargate,
}

impl Sort {
    const ALL: [(Sort, &'static str); 7] = [
        (Sort::Name, "name"),
        (Sort::Cpu, "cpu"),
        (Sort::Memory, "memory"),
        (Sort::Network, "network"),
        (Sort::Restarts, "restarts"),
        (Sort::Cost, "cost"),
        (Sort::Fargate, "fargate"),
    ];

    pub(super) fn word(self) -> &'static str {
        Sort::ALL.iter().find(|(sort, _)| *sort == self).map_or("", |(_, word)| word)
    }
}

/// A filter is not read beyond this.
const LONGEST: usize = 200;

impl Query {
    /// Reads what stands behind the question mark.
    pub(super) fn read(text: &str) -> Query {
        let mut query = Query::default();
        for (name, value) in pairs(text) {
            match &*name {
                "sort" => {
                    let (word, back) = value.strip_prefix('-').map_or((&*value, false), |word| (word, true));
                    query.sort = Sort::ALL.iter().find(|(_, known)| *known == word).map(|(sort, _)| *sort);
                    query.back = back && query.sort.is_some();
                    if query.sort.is_none() && !word.is_empty() {
                        query.wonder(&name, &value);
                    }
                }
                "q" => query.filter = value.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect(),
                "all" => query.all = value == "1",
                _ => query.wonder(&name, &value),
            }
        }
        query
    }

    fn wonder(&mut self, name: &str, value: &str) {
        let word = if value.is_empty() { name.to_owned() } else { format!("{name}={value}") };
        self.unknown.get_or_insert_with(|| word.chars().filter(|c| !c.is_control()).take(40).collect());
    }

    /// What can be sorted by, for people.
    pub(super) fn sorts() -> String {
        Sort::ALL.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
    }

    /// The address of the view with another order: the same once more turns it round.
    pub(super) fn sorted_by(&self, sort: Sort) -> String {
        Query { sort: Some(sort), back: self.sort == Some(sort) && !self.back, ..self.clone() }.address()
    }

    /// The address of this view.
    pub(super) fn address(&self) -> String {
        let mut parts = Vec::new();
        if let Some(sort) = self.sort {
            parts.push(format!("sort={}{}", if self.back { "-" } else { "" }, sort.word()));
        }
        if !self.filter.is_empty() {
            parts.push(format!("q={}", escaped(&self.filter)));
        }
        if self.all {
            parts.push("all=1".into());
        }
        if parts.is_empty() { "/".into() } else { format!("/?{}", parts.join("&")) }
    }
}

/// The address of one workload's page.
pub(super) fn workload(key: &Key) -> String {
    let (kind, name) = match key {
        Key::Task(id) => ("task", id.as_str()),
        Key::Pod(uid) => ("pod", uid.as_str()),
        Key::Loose(id) => ("container", id.as_str()),
        Key::Unit(path) => ("unit", path.as_str()),
        Key::System => ("system", ""),
    };
    format!("/workload?{kind}={}", escaped(name))
}

/// The workload that such an address names.
pub(super) fn key(text: &str) -> Option<Key> {
    pairs(text).find_map(|(kind, name)| match &*kind {
        "task" => Some(Key::Task(TaskId::from(&*name))),
        "pod" => Some(Key::Pod(PodUid::from(&*name))),
        "container" => Some(Key::Loose(ContainerId::from(&*name))),
        "unit" => Some(Key::Unit(CgroupPath::from(&*name))),
        "system" => Some(Key::System),
        _ => None,
    })
}

/// `application/x-www-form-urlencoded` (WHATWG URL, 5.1).
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (plain(name), plain(value))
    })
}

fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
                continue;
            }
            (b'+', ..) => bytes.push(b' '),
            (byte, ..) => bytes.push(*byte),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(byte.into());
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_asks_for_a_view() {
        for (text, address) in [
            ("", "/"),
            ("sort=cpu", "/?sort=cpu"),
            ("sort=-cost&q=a+b%26&all=1", "/?sort=-cost&q=a%20b%26&all=1"),
            ("sort=nothing&frob=1&q=%zz%", "/?q=%25zz%25"),
            ("q=%0a%00", "/"),
        ] {
            assert_eq!(Query::read(text).address(), address, "{text}");
        }
        for (text, unknown) in
            [("sort=cpu&q=x&all=1", None), ("sort=", None), ("sort=-size&frob", Some("sort=-size")), ("frob", Some("frob")), ("a%0a=%00b", Some("a=b"))]
        {
            assert_eq!(Query::read(text).unknown.as_deref(), unknown, "{text}");
        }
        assert_eq!(Query::read("sort=cpu").sorted_by(Sort::Cpu), "/?sort=-cpu");
        assert_eq!(Query::read("sort=-cpu").sorted_by(Sort::Cpu), "/?sort=cpu");
        assert_eq!(Query::read("sort=-cpu&q=x").sorted_by(Sort::Name), "/?sort=name&q=x");
    }

    proptest! {
        #[test]
        fn a_view_survives_its_address(text in "\\PC{0,80}") {
            let query = Query::read(&format!("sort=name&q={}", escaped(&text)));
            let address = query.address();
            prop_assert_eq!(Query::read(address.split_once('?').unwrap().1), query);
        }

        #[test]
        fn any_address_is_read(text in any::<Vec<u8>>()) {
            let text = String::from_utf8_lossy(&text);
            let _ = (Query::read(&text), key(&text));
        }

        #[test]
        fn a_workload_is_found_by_its_address(name in "\\PC{1,80}") {
            for key in [Key::Task(TaskId::from(&*name)), Key::Unit(CgroupPath::from(&*name)), Key::Loose(ContainerId::from(&*name)), Key::System] {
                let address = workload(&key);
                prop_assert_eq!(super::key(address.split_once('?').unwrap().1), Some(key));
            }
        }
    }
}
