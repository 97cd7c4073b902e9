//! Whatever clients and the inner service do, in whatever order: the inner service sees only what it
//! may, refusals are the contract's, and nothing is left behind. See `play/mod.rs`.
#![no_main]

#[path = "../play/mod.rs"]
mod play;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| play::play(input));
