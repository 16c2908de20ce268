//! Rule sets grown out of the grammar by the bytes of the fuzzer, some of them damaged: lexer, parser, layout, list
//! files and the whole compiler.

#![no_main]
#![expect(dead_code, reason = "no target uses the whole kit")]

mod kit;

use kit::{grammar, properties, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let files = grammar::rule_set(bytes);
    let total = files.iter().map(|(_, text)| text.len()).sum();
    for (path, text) in &files {
        if path.ends_with(".edict") {
            within(text.len(), || properties::syntax(text));
        } else {
            let kind = bytes.first().copied().unwrap_or(0);
            within(text.len(), || properties::list(kind, text));
        }
    }
    within(total, || properties::whole(&files));
});
