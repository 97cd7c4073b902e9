//! Whatever the guard lets through, other parsers read the same. See `agree.rs`.
#![no_main]

#[path = "../agree.rs"]
mod agree;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    agree::read_alike(body);
});
