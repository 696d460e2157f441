//! `tare config`: the manual, with the values in force in place of the defaults.

use std::path::Path;

use toml::Value;

use crate::config::{Layers, MANUAL, Wrong, load};

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

/// Only what differs from the defaults, each line with where it came from: a settings file, too. Empty where nothing does.
pub fn diff(layers: &Layers) -> String {
    let mut changed: Vec<_> = layers.changed().filter(|(key, value, _)| default(key).is_none_or(|default| default != written(value))).collect();
    // A key without a section stands before all sections, or it would belong to one.
    changed.sort_by_key(|(key, ..)| (key.contains('.'), *key));
    let mut out = String::new();
    let mut section = "";
    for (key, value, origin) in changed {
        let (of, name) = key.rsplit_once('.').unwrap_or(("", key));
        if of != section {
            section = of;
            out.push_str(&format!("{}[{section}]\n", if out.is_empty() { "" } else { "\n" }));
        }
        let was = default(key).unwrap_or_default();
        out.push_str(&format!("# The default is {was}; this is from {}.\n{name} = {}\n", printable(&origin.to_string()), written(value)));
    }
    out
}

/// What the manual says of a setting, as it is written there.
fn default(key: &str) -> Option<&'static str> {
    let mut section = "";
    for line in MANUAL.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        }
        let (name, default) = line.split_once(" = ").filter(|_| !line.starts_with('#')).unwrap_or_default();
        let of = key.strip_suffix(name).map(|of| of.trim_end_matches('.'));
        if !name.is_empty() && of == Some(section) && key.len() == section.len() + usize::from(!section.is_empty()) + name.len() {
            return Some(default);
        }
    }
    None
}

/// Whether a file is right, alone. Gives a sentence. Errors: everything wrong with it.
pub fn check(file: &Path) -> Result<String, Wrong> {
    Ok(verdict(&file.display().to_string(), &load(Some(file), [], &[])?.layers))
}

/// The same of settings that were loaded, and so are right.
pub fn in_force(layers: &Layers) -> String {
    verdict("the settings in force", layers)
}

fn verdict(what: &str, layers: &Layers) -> String {
    let said = match diff(layers).lines().filter(|line| line.starts_with("# The default")).count() {
        0 => "nothing differs from the defaults".into(),
        1 => "1 setting differs from the defaults".into(),
        count => format!("{count} settings differ from the defaults"),
    };
    format!("{}: well; {said}\n", printable(what))
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
    fn what_differs_is_a_settings_file_of_its_own() {
        let loaded = |text: &str| load(None, [("TARE_CONFIG_CONTENT".into(), text.into())], &[]).unwrap();
        let text = "interval = \"10s\"\nlinger = \"7m\"\n[host]\nregion = \"eu-central-1\"\n[log]\nlevel = \"debug\"";
        let printed = diff(&loaded(text).layers);
        assert_eq!(
            printed.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>(),
            ["linger = \"7m\"", "", "[host]", "region = \"eu-central-1\"", "", "[log]", "level = \"debug\"",]
        );
        assert_eq!(loaded(&printed).settings, loaded(text).settings);
        let every = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/settings/good/every.toml")).unwrap();
        assert_eq!(loaded(&diff(&loaded(&every).layers)).settings, loaded(&every).settings);
        assert_eq!(diff(&load(None, [], &[]).unwrap().layers), "");
    }

    #[test]
    fn a_file_is_checked_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tare.toml");
        let in_force = load(None, [], &[]).unwrap().layers;
        fs::write(&path, "linger = \"7m\"").unwrap();
        assert_eq!(check(&path).unwrap(), format!("{}: well; 1 setting differs from the defaults\n", path.display()));
        fs::write(&path, "lingr = \"7m\"").unwrap();
        assert!(check(&path).unwrap_err().0[0].contains("did you mean linger?"));
        assert_eq!(super::in_force(&in_force), "the settings in force: well; nothing differs from the defaults\n");
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
