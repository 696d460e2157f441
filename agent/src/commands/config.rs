//! `tare config`: the manual, with the values in force in place of the defaults.

use toml::Value;

use crate::config::{Layers, MANUAL};

/// The whole settings file: every explanation, and each line that differs with where it came from. It is a settings file itself.
pub fn print(layers: &Layers) -> String {
    let mut section = String::new();
    let mut out = String::new();
    for line in MANUAL.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        }
        let (key, default) = line.split_once(" = ").filter(|_| !line.starts_with('#')).unwrap_or_default();
        match layers.changed().find(|(name, ..)| !key.is_empty() && *name == format!("{section}{key}")) {
            Some((_, value, origin)) => {
                out.push_str(&format!("# The default is {default}; this is from {}.\n{key} = {}\n", printable(&origin.to_string()), written(value)));
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

/// One line of TOML.
fn written(value: &Value) -> String {
    match value {
        // Several lines would break what reads line by line; a basic string says the same in one.
        Value::String(text) => {
            let mut out = String::from("\"");
            for c in text.chars() {
                match c {
                    '"' | '\\' => out.extend(['\\', c]),
                    c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                    c => out.push(c),
                }
            }
            out.push('"');
            out
        }
        Value::Array(all) => format!("[{}]", all.iter().map(written).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Flag, load};

    fn printed(content: &str, flags: &[Flag]) -> String {
        print(&load(None, [("TARE_CONFIG_CONTENT".into(), content.into())], flags).unwrap().layers)
    }

    #[test]
    fn untouched_settings_print_the_manual() {
        assert_eq!(print(&load(None, [], &[]).unwrap().layers), MANUAL);
    }

    #[test]
    fn a_changed_line_says_where_it_came_from() {
        let printed = printed("[host]\ninstance_type = \"m7i.large\"", &[Flag { key: "interval", value: "5s".into(), flag: "--interval" }]);
        let changed: Vec<&str> = printed.lines().filter(|line| !MANUAL.lines().any(|same| same == *line)).collect();
        assert_eq!(
            changed,
            [
                "# The default is \"10s\"; this is from --interval.",
                "interval = \"5s\"",
                "# The default is \"\"; this is from TARE_CONFIG_CONTENT line 2.",
                "instance_type = \"m7i.large\"",
            ]
        );
    }

    #[test]
    fn what_is_printed_loads_to_the_same_settings() {
        let every = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/settings/good/every.toml")).unwrap();
        let load = |text: &str| load(None, [("TARE_CONFIG_CONTENT".into(), text.into())], &[]).unwrap().settings;
        assert_eq!(load(&printed(&every, &[])), load(&every));
        let odd = "cluster = 'a \"b\" \\ = [c]'";
        assert_eq!(load(&printed(odd, &[])), load(odd));
    }
}
