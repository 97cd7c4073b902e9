//! The fuzzer's scenarios without a fuzzer: its seeds, and random bytes that are the same in every
//! run.

#[path = "../../../fuzz/scenario/mod.rs"]
mod scenario;

use std::fs;

use client_tests::folder;
use client_tests::messages::Rng;

#[test]
fn every_seed_of_the_fuzzer_passes() {
    let seeds = fs::read_dir(folder().join("../../fuzz/seeds/guard")).unwrap();
    let seeds: Vec<_> = seeds.map(|seed| seed.unwrap().path()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        scenario::run(&fs::read(seed).unwrap());
    }
}

#[test]
fn random_scenarios_pass() {
    let mut rng = Rng::new(1);
    for _ in 0..2_000 {
        scenario::run(&rng.bytes(400));
    }
}
