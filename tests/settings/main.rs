//! The program and its settings: what it says of wrong ones, and how it ends. What each file says is tested beside the settings.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

use std::fs::File;
use std::process::{Command, Output, Stdio};

fn tare(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
    command.args(arguments).env_clear().envs(variables.iter().copied());
    command
}

fn ran(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = tare(arguments, variables).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn file(name: &str) -> String {
    format!("{}/../tests/settings/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn wrong_settings_end_every_command_with_78_and_their_reasons() {
    for command in ["run", "ps", "doctor", "config"] {
        let (code, out, said) = ran(&[command, "--config", &file("bad/too-fast.toml")], &[]);
        assert_eq!((code, out.as_str()), (Some(78), ""), "{command}");
        assert!(said.starts_with("tare: ") && said.ends_with("too-fast.toml line 1: interval is \"250ms\"; allowed is \"1s\" to \"1h\"\n"), "{said}");
    }
    let (code, _, said) = ran(&["--listen", "nowhere"], &[("TARE_LINGER", "long")]);
    assert_eq!((code, said.lines().count()), (Some(78), 2), "{said}");
}

#[test]
fn wrong_arguments_end_with_2() {
    let (code, _, said) = ran(&["ps", "-o", "xml"], &[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("--output"), "{said}");
}

#[test]
fn settings_in_force_are_printed_and_unknown_variables_are_warned_of() {
    let (code, out, said) = ran(&["config"], &[("TARE_HOST_INSTANCE_TYPE", "m7i.large"), ("TARE_INTERVALL", "1s"), ("TARE_PORT", "tcp://10.0.0.1:9464")]);
    assert_eq!(code, Some(0));
    assert!(out.contains("from the variable TARE_HOST_INSTANCE_TYPE.\ninstance_type = \"m7i.large\"\n"), "{out}");
    assert!(said.contains("unknown variable TARE_INTERVALL, did you mean TARE_INTERVAL?") && !said.contains("TARE_PORT"), "{said}");
}

#[test]
fn a_reader_that_left_is_no_failure_and_a_full_disk_is_one() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let Output { status, stderr, .. } = tare(&["config"], &[]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((status.code(), &*String::from_utf8_lossy(&stderr)), (Some(0), ""));

    let full = File::options().write(true).open("/dev/full").unwrap();
    let Output { status, stderr, .. } = tare(&["config"], &[]).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((status.code(), &*String::from_utf8_lossy(&stderr)), (Some(1), "tare: No space left on device (os error 28)\n"));
}
