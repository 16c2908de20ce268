//! Any bytes as a data file; the first byte chooses the kind.

#![no_main]
#![expect(dead_code, reason = "no target uses the whole kit")]

mod kit;

use kit::{properties, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    within(bytes.len(), || properties::list(*kind, bytes));
});
