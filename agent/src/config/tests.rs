//! Files that must load, files that must not and what is said of each, and the order of the layers.

use std::fs;

use proptest::prelude::*;

use super::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/settings");

fn files(kind: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(format!("{FOLDER}/{kind}")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = all.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

fn env(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn settings(variables: &[(&str, &str)]) -> Settings {
    load(None, env(variables), &[]).unwrap().settings
}

#[test]
fn the_manual_is_read_to_the_last_line_and_says_what_we_run_with() {
    let mut values = Values { layers: Layers::defaults().unwrap(), wrong: Vec::new() };
    let settings = values.settings().unwrap();
    assert_eq!((values.wrong, values.layers.unread()), (Vec::new(), Vec::<&str>::new()));
    assert_eq!(settings.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(settings.interval, Duration::from_secs(10));
    assert_eq!(settings.cluster, None);
    assert_eq!(settings.cost.weights, cost::Weights::SCAD);
}

/// Kubernetes sets variables that would read as these (design of the settings' names).
#[test]
fn no_setting_has_a_name_that_kubernetes_takes() {
    for line in MANUAL.lines().filter(|line| !line.starts_with('#')) {
        assert!(!line.starts_with("port") && !line.starts_with("service") && !line.starts_with("[port") && !line.starts_with("[service"), "{line}");
    }
}

#[test]
fn good_files_load_in_silence() {
    for path in files("good") {
        let loaded = load(Some(&path), env(&[]), &[]).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()));
        assert_eq!(loaded.warnings, [], "{}", path.display());
        if path.ends_with("every.toml") {
            let mut unchanged = loaded.layers.names();
            unchanged.retain(|name| !loaded.layers.changed().any(|(key, ..)| key == name));
            assert_eq!(unchanged, Vec::<String>::new(), "every.toml sets every setting");
        }
    }
}

#[test]
fn bad_files_are_told_what_is_wrong_with_them() {
    for path in files("bad") {
        let wrong = load(Some(&path), env(&[]), &[]).map(|_| ()).expect_err(&path.display().to_string());
        let said = wrong.to_string().replace(&*path.to_string_lossy(), &path.file_name().unwrap().to_string_lossy());
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        assert_eq!(said, expected.trim_end(), "{}", path.display());
    }
}

#[test]
fn what_is_no_file_of_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: &Path| load(Some(path), env(&[]), &[]).map(|_| ()).unwrap_err().to_string().replace(&*folder.path().to_string_lossy(), "");
    assert_eq!(said(folder.path()), ": is a directory");
    assert_eq!(said(&folder.path().join("none")), "/none: No such file or directory (os error 2)");
    let huge = folder.path().join("huge");
    fs::write(&huge, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(said(&huge), "/huge: larger than 1 MiB");
    let latin = folder.path().join("latin");
    fs::write(&latin, b"interval = \"5s\"\ncluster = \"K\xf6ln\"\n").unwrap();
    assert_eq!(said(&latin), "/latin line 2: not UTF-8");
}

#[test]
fn the_later_layer_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tare.toml");
    fs::write(&file, "interval = \"20s\"\ncluster = \"file\"\nlinger = \"1m\"\n").unwrap();
    let flags = [Flag { key: "interval", value: "40s".into(), flag: "--interval" }];
    let loaded = load(Some(&file), env(&[("TARE_INTERVAL", "30s"), ("TARE_CLUSTER", "variable")]), &flags).unwrap();
    assert_eq!(loaded.settings.interval, Duration::from_secs(40));
    assert_eq!(loaded.settings.cluster.as_deref(), Some("variable"));
    assert_eq!(loaded.settings.linger, Duration::from_secs(60));
    let origins: Vec<_> = loaded.layers.changed().map(|(key, _, origin)| format!("{key} {origin}").replace(&*file.to_string_lossy(), "file")).collect();
    assert_eq!(origins, ["cluster the variable TARE_CLUSTER", "interval --interval", "linger file line 3"]);
}

#[test]
fn a_variable_has_the_type_of_its_default() {
    let settings = settings(&[
        ("TARE_LISTEN", "0.0.0.0:9464"),
        ("TARE_HOST_INSTANCE_TYPE", "m7i.large"),
        ("TARE_WEB_EXPOSE", "true"),
        ("TARE_WEB_HOSTS", "Tare.internal.example, other"),
        ("TARE_CGROUP_KEEP_OPEN", "0"),
        ("TARE_DOCKER_SOCKET", ""),
        ("TARE_LOG_LEVEL", "debug"),
    ]);
    assert_eq!(settings.listen.to_string(), "0.0.0.0:9464");
    assert_eq!(settings.host.instance_type.as_deref(), Some("m7i.large"));
    assert!(settings.web.expose);
    assert_eq!(settings.web.hosts, ["tare.internal.example", "other"]);
    assert_eq!(settings.cgroup.keep_open, 0);
    assert_eq!(settings.docker.socket, None);
    assert_eq!(settings.log.level, tracing::Level::DEBUG);
}

#[test]
fn a_whole_file_may_come_in_a_variable() {
    let loaded = load(None, env(&[("TARE_CONFIG_CONTENT", "interval = \"5s\"\n[web]\nexpose = true"), ("TARE_INTERVAL", "7s")]), &[]).unwrap();
    assert_eq!((loaded.settings.interval, loaded.settings.web.expose), (Duration::from_secs(7), true));
    let wrong = load(None, env(&[("TARE_CONFIG_CONTENT", "\ninterval = 5")]), &[]).unwrap_err();
    assert_eq!(wrong.to_string(), "TARE_CONFIG_CONTENT line 2: interval is 5; allowed is a text, like \"10s\"");
}

#[test]
fn unknown_variables_are_warned_of_and_those_of_kubernetes_are_not() {
    let injected = [
        ("TARE_PORT", "tcp://10.0.0.1:9464"),
        ("TARE_PORT_9464_TCP_ADDR", "10.0.0.1"),
        ("TARE_SERVICE_HOST", "10.0.0.1"),
        ("TARE_SERVICE_PORT_METRICS", "9464"),
        ("OTHER", "x"),
        ("tare_listen", "x"),
    ];
    assert_eq!(load(None, env(&injected), &[]).unwrap().warnings, []);
    let warnings = load(None, env(&[("TARE_INTERVALL", "x"), ("TARE_COLOUR", "x")]), &[]).unwrap().warnings;
    let said: Vec<_> = warnings.iter().map(Warning::to_string).collect();
    assert_eq!(said, ["unknown variable TARE_COLOUR", "unknown variable TARE_INTERVALL, did you mean TARE_INTERVAL?"]);
}

#[test]
fn wrong_variables_and_flags_say_where_they_came_from() {
    let flags = [Flag { key: "interval", value: "soon".into(), flag: "--interval" }];
    let wrong = load(None, env(&[("TARE_CGROUP_KEEP_OPEN", "many"), ("TARE_WEB_EXPOSE", "yes"), ("TARE_LISTEN", ":9464")]), &flags).unwrap_err();
    assert_eq!(
        wrong.0,
        [
            r#"the variable TARE_CGROUP_KEEP_OPEN: cgroup.keep_open is "many"; allowed is a whole number"#,
            r#"the variable TARE_WEB_EXPOSE: web.expose is "yes"; allowed is true or false"#,
            r#"the variable TARE_LISTEN: listen is ":9464"; allowed is an address and a port: "127.0.0.1:9464", "0.0.0.0:9464", "[::1]:9464""#,
            r#"--interval: interval is "soon"; a span of time is a whole number and a unit: "250ms", "10s", "5m", "1h""#,
        ]
    );
}

#[test]
fn spans_read_and_write() {
    for (text, milliseconds) in [("0s", 0), ("250ms", 250), ("1s", 1_000), ("90s", 90_000), ("5m", 300_000), ("1h", 3_600_000), ("1500ms", 1_500)] {
        assert_eq!(span(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        assert_eq!(span(&span_text(Duration::from_millis(milliseconds))), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in ["", "10", "s", "-1s", "1.5s", "1 s", "10S", "1d", "99999999999999999999s", "18446744073709551615h", "１s"] {
        assert!(span(text).is_err(), "{text}");
    }
    assert_eq!(span_text(Duration::from_secs(90)), "90s");
    assert_eq!(span_text(Duration::from_secs(3600)), "1h");
}

proptest! {
    #[test]
    fn no_text_makes_us_stumble(text in "(listen|interval|log|web|host|[a-z\\[\\]{}=.\"'#\n0-9 \\-]{0,6}){0,30}", value in ".{0,40}") {
        let _ = load(None, env(&[("TARE_CONFIG_CONTENT", &text), ("TARE_LISTEN", &value)]), &[]);
    }

    #[test]
    fn any_value_of_any_setting_is_taken_or_refused_by_name(which in any::<prop::sample::Index>(), value in "\"[a-z0-9:./-]{0,12}\"|-?[1-9][0-9]{0,19}|true|\\[\"[a-z]{0,3}\"\\]|\\[1\\]|1979-05-27|\\{a=1\\}|1e9") {
        let names = Layers::defaults().unwrap().names();
        let name = which.get(&names);
        let (section, key) = name.split_once('.').unwrap_or(("", name));
        let text = if section.is_empty() { format!("{key} = {value}") } else { format!("[{section}]\n{key} = {value}") };
        if let Err(wrong) = load(None, env(&[("TARE_CONFIG_CONTENT", &text)]), &[]) {
            prop_assert_eq!(wrong.0.len(), 1);
            prop_assert!(wrong.0[0].starts_with("TARE_CONFIG_CONTENT line ") && wrong.0[0].contains(&format!(": {name} is ")), "{}", wrong);
        }
    }
}
