//! The decision table under a stopwatch: `cargo bench --bench table`.
//!
//! Times mean little on a busy machine; compare what one run measured with what the same run measured.

mod decide;
mod load;
mod rules;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, decide::envelopes, decide::lists, decide::text, load::load);
criterion_main!(benches);
