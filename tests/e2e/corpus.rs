//! Every seed of the fuzzer, played as an ordinary test: what once broke a parser never does again.

use std::fs;
use std::path::Path;

#[path = "../fuzz/targets.rs"]
mod targets;

#[test]
fn no_kept_seed_breaks_a_parser() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let seeds: Vec<_> =
            fs::read_dir(corpus.join(name)).unwrap_or_else(|e| panic!("{name} has no corpus: {e}")).map(|entry| entry.unwrap().path()).collect();
        assert!(!seeds.is_empty(), "{name} has no seed");
        for seed in seeds {
            let bytes = fs::read(&seed).unwrap();
            assert!(std::panic::catch_unwind(|| target(&bytes)).is_ok(), "{} breaks {name}", seed.display());
        }
    }
    let known = fs::read_dir(&corpus).unwrap().all(|entry| targets::TARGETS.iter().any(|(name, _)| entry.as_ref().unwrap().file_name() == *name));
    assert!(known, "a corpus without a target");
}
