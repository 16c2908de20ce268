//! The decision table under a stopwatch: `cargo bench --bench table`.
//!
//! Times mean little on a busy machine; compare what one run measured with what the same run measured.

mod decide;
mod load;
mod rules;

use criterion::{Criterion, criterion_group, criterion_main};
use std::time::Duration;

criterion_group! {
    name = benches;
    // One run of everything takes some six minutes.
    config = Criterion::default()
        .sample_size(40)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700));
    targets = decide::envelopes, decide::lists, decide::text, load::load
}
criterion_main!(benches);
