//! The fuzzer's histories without a fuzzer: its seeds, and bytes made by chance, the same in every run.

#[path = "../../../fuzz/play/mod.rs"]
mod play;

use std::fs;

use client_tests::folder;
use client_tests::messages::Rng;

#[test]
fn every_seed_of_the_fuzzer_ends_well() {
    let seeds = fs::read_dir(folder().join("../../fuzz/seeds/guard")).unwrap();
    let seeds: Vec<_> = seeds.map(|seed| seed.unwrap().path()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        play::play(&fs::read(seed).unwrap());
    }
}

#[test]
fn histories_made_by_chance_end_well() {
    let mut rng = Rng::new(1);
    for _ in 0..2_000 {
        play::play(&rng.bytes(400));
    }
}
