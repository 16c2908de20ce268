//! The short form of fuzzing, without a nightly compiler: rule sets and list files grown out of the grammar by
//! bytes of a fixed seed, and every golden case cut and changed in places. The same properties and the same bound on
//! memory as in `tests/fuzz`. `EDICT_LONG=N` runs N rule sets, of a seed that the clock gives.
//!
//! One test in a process of its own: the allocator counts for all threads.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

#[path = "fuzzed/grammar.rs"]
mod grammar;
#[path = "fuzzed/properties.rs"]
mod properties;

use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use peak_alloc::PeakAlloc;
use std::path::Path;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const RULE_SETS: usize = 400;
/// Each file of the corpus is changed so often.
const CHANGES: usize = 3;

/// Splitmix64: the same bytes on every machine.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }

    fn some(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| u8::try_from(self.next() & 0xff).unwrap()).collect()
    }
}

fn within(input: usize, property: impl FnOnce()) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    property();
    let used = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(used <= properties::room(input), "{used} bytes for {input} bytes of input");
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for folder in ["tests/golden", "tests/syntax/good", "tests/syntax/bad", "../rules"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "edict") {
                out.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
    }
    out.sort();
    out
}

/// A few bytes lost, doubled or replaced.
fn changed(bytes: &[u8], random: &mut Bytes) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(out.len());
        let end = (at + random.below(30)).min(out.len());
        match random.below(4) {
            0 => drop(out.drain(at..end)),
            1 => out = [&out[..end], &out[at..]].concat(),
            2 if at < out.len() => out[at] = u8::try_from(random.next() & 0xff).unwrap(),
            _ => {
                let to = random.below(out.len());
                let piece: Vec<u8> = out.drain(at..end).collect();
                let to = to.min(out.len());
                out.splice(to..to, piece);
            }
        }
    }
    out
}

fn grown(bytes: &[u8]) -> bool {
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
    let mut sources = Sources::default();
    files.into_iter().for_each(|(path, text)| sources.insert(path, text));
    compile(&sources, &Options { proofs: false }).table.is_some()
}

/// Runs a property on some bytes; where it fails, the bytes are shown so that they can become a case.
fn show(what: &str, bytes: &[u8], property: impl FnOnce() + std::panic::UnwindSafe) {
    if let Err(panic) = std::panic::catch_unwind(property) {
        eprintln!("{what} fails for:\n{}\n{bytes:?}", String::from_utf8_lossy(bytes));
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn nothing_breaks() {
    let long: Option<usize> = std::env::var("EDICT_LONG").ok().and_then(|n| n.parse().ok());
    let now = std::time::UNIX_EPOCH.elapsed().map_or(1, |t| t.as_secs());
    let seed = if long.is_some() { now } else { 1 };
    eprintln!("seed {seed}");
    let mut random = Bytes(seed);
    let (mut tables, count) = (0, long.unwrap_or(RULE_SETS));
    for _ in 0..count {
        let bytes = random.some(600);
        let made = std::cell::Cell::new(false);
        show("a grown rule set", &bytes, std::panic::AssertUnwindSafe(|| made.set(grown(&bytes))));
        tables += usize::from(made.get());
    }
    // A generator whose rule sets are all refused would try the front half of the compiler only.
    assert!(tables * 20 >= count, "{tables} of {count} rule sets make a table");
    for (name, bytes) in corpus() {
        for round in 0..CHANGES {
            let bytes = if round == 0 { bytes.clone() } else { changed(&bytes, &mut random) };
            show(&name, &bytes, || {
                within(bytes.len(), || properties::syntax(&bytes));
                (0..5).for_each(|kind| within(bytes.len(), || properties::list(kind, &bytes)));
                let files = properties::split(&bytes);
                within(bytes.len(), || properties::whole(&files));
            });
        }
    }
}
