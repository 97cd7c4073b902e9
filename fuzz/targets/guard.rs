//! In any order of actions of clients and the inner service, the inner service sees only permitted
//! requests, refusals follow the contract, and nothing is left behind. See `scenario/mod.rs`.
#![no_main]

#[path = "../scenario/mod.rs"]
mod scenario;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| scenario::run(input));
