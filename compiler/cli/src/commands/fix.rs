//! Applies the edits that diagnostics carry, as far as they leave no choice.
//!
//! A diagnostic with several fixes offers a choice, and nobody but its author can make it. Edits that
//! overlap wait for the next round. Files are replaced whole.

use crate::console::Failure;
use crate::files::write_whole;
use edict_compiler::diag::{Diagnostic, Fix};
use edict_compiler::source::Sources;
use edict_compiler::span::FileId;
use std::collections::BTreeMap;
use std::path::Path;

/// When to stop, should edits undo each other: a round mends all that is told at once, and the next one what was behind it.
pub const MAX_ROUNDS: usize = 100;

/// Applies one round. None where there was nothing to apply.
pub fn apply(root: &Path, sources: &Sources, all: &[Diagnostic]) -> Result<Option<usize>, Failure> {
    let mut by_file: BTreeMap<FileId, Vec<&Fix>> = BTreeMap::new();
    for d in all {
        if let [only] = d.fixes.as_slice() {
            by_file.entry(only.span.file).or_default().push(only);
        }
    }
    let mut count = 0;
    for (file, mut fixes) in by_file {
        fixes.sort_by_key(|fix| (fix.span.start, fix.span.end));
        let (edited, applied) = edit(sources.bytes(file), &fixes);
        if applied > 0 && edited != sources.bytes(file) {
            write_whole(&root.join(sources.path(file)), &edited)?;
            count += applied;
        }
    }
    Ok(if count == 0 { None } else { Some(count) })
}

/// The bytes with those edits (sorted) that do not overlap an earlier one, and how many they were.
fn edit(bytes: &[u8], fixes: &[&Fix]) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut applied) = (0, 0);
    let mut last: Option<&Fix> = None;
    for fix in fixes {
        let (start, end) = (fix.span.start as usize, fix.span.end as usize);
        // Two insertions at one place would depend on their order; the same edit twice is one edit.
        let twice = last.is_some_and(|before| before.span.start == fix.span.start);
        if twice || start < at || end < start || end > bytes.len() {
            continue;
        }
        out.extend_from_slice(bytes.get(at..start).unwrap_or_default());
        out.extend_from_slice(fix.text.as_bytes());
        at = end;
        applied += 1;
        last = Some(fix);
    }
    out.extend_from_slice(bytes.get(at..).unwrap_or_default());
    (out, applied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edict_compiler::span::Span;

    fn fix(start: u32, end: u32, text: &str) -> Fix {
        Fix { title: String::new(), span: Span { file: FileId(0), start, end }, text: text.to_owned() }
    }

    #[test]
    fn edits_that_overlap_wait() {
        let all = [
            fix(0, 1, "A"),
            fix(2, 4, "XYZ"),
            fix(3, 5, "?"),
            fix(6, 6, "!"),
            fix(6, 6, "?"),
            fix(9, 20, ""),
        ];
        let (edited, applied) = edit(b"abcdef", &all.iter().collect::<Vec<_>>());
        assert_eq!(String::from_utf8(edited).unwrap(), "AbXYZef!");
        assert_eq!(applied, 3);
    }

    #[test]
    fn a_choice_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("main.edict"), "abc").unwrap();
        let mut sources = Sources::default();
        sources.insert("main.edict", "abc");
        let span = Span { file: FileId(0), start: 0, end: 1 };
        let d = Diagnostic::error("E0001", "m", span).fix("x", span, "x").fix("y", span, "y");
        assert_eq!(apply(dir.path(), &sources, std::slice::from_ref(&d)).unwrap(), None);
        let d = Diagnostic::error("E0001", "m", span).fix("x", span, "x");
        assert_eq!(apply(dir.path(), &sources, &[d.clone(), d]).unwrap(), Some(1));
        assert_eq!(std::fs::read_to_string(dir.path().join("main.edict")).unwrap(), "xbc");
    }
}
