//! libFuzzer's entry: `fuzz -runs=… CORPUS` throws bytes at the target that the variable `TARGET` names.

#![no_main]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|data: &[u8]| TARGET.get_or_init(chosen)(data));

fn chosen() -> Target {
    let name = std::env::var("TARGET").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    TARGETS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("TARGET must be one of {names:?}")).1
}
