//! The whole compiler: a rule set in the form of the golden cases (`=== path` begins a further file).

#![no_main]

use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut sources = Sources::default();
    let (mut path, mut body) = ("main.edict".to_owned(), Vec::new());
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        match line.strip_prefix(b"=== ") {
            Some(next) => {
                sources.insert(path, std::mem::take(&mut body));
                path = String::from_utf8_lossy(next).trim().to_owned();
            }
            None => body.extend_from_slice(line),
        }
    }
    sources.insert(path, body);
    let first = compile(&sources, &Options::default());
    assert_eq!(first.table.is_none(), first.failed());
    for diagnostic in &first.diagnostics {
        let spans = diagnostic.labels.iter().map(|(span, _)| span).chain([&diagnostic.span]);
        for span in spans {
            assert!(span.start <= span.end);
        }
    }
});
