//! What it costs to emit and to load: a million list entries and ten thousand rules.
//!
//! Beside it reading and hashing the same file, which no loader can do without.

use crate::rules::{envelope, list};
use criterion::Criterion;
use edict_table::emit::emit;
use edict_table::load::Loaded;
use edict_table::model::{Table, Test};
use std::hint::black_box;
use std::sync::Arc;

/// Ten thousand rules, one of them on a list of a million entries.
fn large() -> Table {
    let mut maker = envelope(10_000);
    let mut million = list(1_000_000);
    if let Some(entries) = million.table.lists.pop() {
        maker.table.lists.push(entries);
        let id = maker.table.lists.len() as u32 - 1;
        let test = maker.test(edict_table::fact::Fact::Sender, "", Test::InList(id));
        maker.reject(test);
        maker.table.canonical();
    }
    maker.table
}

/// Emitting, reading, loading.
pub fn load(c: &mut Criterion) {
    let table = large();
    let bytes = emit(&table);
    let path = std::env::temp_dir().join(format!("edict-bench-{}.table", std::process::id()));
    if let Err(error) = std::fs::write(&path, &bytes) {
        eprintln!("no room for the bench: {error}");
        return;
    }
    let mut group = c.benchmark_group("load");
    group.sample_size(10);
    group.bench_function("emit", |b| b.iter(|| emit(black_box(&table))));
    group.bench_function("read_and_hash", |b| {
        b.iter(|| std::fs::read(&path).map(|bytes| blake3::hash(&bytes)));
    });
    group.bench_function("read_and_load", |b| {
        b.iter(|| std::fs::read(&path).map(|bytes| Loaded::new(Arc::new(bytes)).is_ok()));
    });
    group.finish();
    if let Err(error) = std::fs::remove_file(&path) {
        eprintln!("{}: {error}", path.display());
    }
}
