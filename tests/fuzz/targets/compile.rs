//! Any bytes as a rule set in the form of the golden cases (`=== path` begins a further file).

#![no_main]
#![expect(dead_code, reason = "no target uses the whole kit")]

mod kit;

use kit::{properties, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let files = properties::split(bytes);
    within(bytes.len(), || properties::whole(&files));
});
