//! Chunks of any length and content (RFC 3030).

#![no_main]

#[path = "../../../runtime/tests/fuzzed/front.rs"]
#[expect(dead_code, reason = "each target takes one property")]
mod front;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| front::bdat(bytes));
