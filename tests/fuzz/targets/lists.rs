//! Data files: the first byte chooses the kind. Entries are sorted and each once, places are in the file.

#![no_main]

use edict_compiler::ast::ListType;
use edict_compiler::data::{parse_aliases, parse_list};
use edict_compiler::span::FileId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let diagnostics = match kind % 5 {
        4 => {
            let (aliases, diagnostics) = parse_aliases(bytes, FileId(0));
            for word in aliases.iter().flat_map(|a| a.targets.iter().chain([&a.name])) {
                assert!(word.span.start <= word.span.end && word.span.end as usize <= bytes.len());
            }
            diagnostics
        }
        kind => {
            let ty = [ListType::Address, ListType::Domain, ListType::Network, ListType::Text][usize::from(kind)];
            let (entries, diagnostics) = parse_list(ty, bytes, FileId(0));
            let all: Vec<&str> = entries.iter().collect();
            assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
            diagnostics
        }
    };
    for diagnostic in diagnostics {
        assert!(diagnostic.span.start <= diagnostic.span.end && diagnostic.span.end as usize <= bytes.len());
    }
});
