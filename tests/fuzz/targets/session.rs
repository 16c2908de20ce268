//! Any bytes as a client's side of a session.

#![no_main]

#[path = "../../../runtime/tests/fuzzed/front.rs"]
#[expect(dead_code, reason = "each target takes one property")]
mod front;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| front::session(bytes));
