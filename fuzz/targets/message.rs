//! Other parsers read every message that the guard accepts in the same way. See `agree.rs`.
#![no_main]

#[path = "../agree.rs"]
mod agree;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    agree::read_alike(body);
});
