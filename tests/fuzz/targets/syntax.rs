//! Any bytes as a rule file: lexer, parser and layout.

#![no_main]
#![expect(dead_code, reason = "no target uses the whole kit")]

mod kit;

use kit::{properties, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| within(bytes.len(), || properties::syntax(bytes)));
