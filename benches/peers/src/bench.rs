//! `cargo bench [-- FILTER]`: every engine over every set and size, timed by criterion, held to Edict's verdicts first.
//!
//! An engine whose preparation takes longer than [`PATIENCE`], or whose decision longer than [`SLOW`], is not asked at the next size.

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use edict_peers::engines::{cedar, cel, rego, zen};
use edict_peers::mail::Mail;
use edict_peers::rules::Set;
use edict_peers::{Make, agree, edict, linear, postfix, sieve};
use std::time::{Duration, Instant};

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
const PATIENCE: Duration = Duration::from_secs(10);
const SLOW: Duration = Duration::from_millis(60);

const ENGINES: [(&str, Make, bool); 14] = [
    ("edict", edict::Edict::make, false),
    ("linear scan", linear::make, false),
    ("cedar-policy", cedar::make, false),
    ("regorus", rego::interpreter, false),
    ("regorus vm", rego::machine, false),
    ("regorus, rules as data", rego::data, false),
    ("regorus vm, rules as data", rego::data_machine, false),
    ("zen-engine", zen::make, false),
    ("cel-interpreter", cel::make, false),
    ("postmap hash", postfix::hash, true),
    ("postmap cdb", postfix::cdb, true),
    ("postmap cidr", postfix::cidr, true),
    ("postmap pcre", postfix::pcre, true),
    ("sieve", sieve::make, true),
];

fn sets(c: &mut Criterion) {
    let plain = Mail::plain();
    for (name, set) in [
        ("mixed", Set::Mixed),
        ("senders", Set::Senders),
        ("networks", Set::Networks),
        ("patterns", Set::Patterns),
    ] {
        let mut group = c.benchmark_group(name);
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(600));
        for (engine, make, process) in ENGINES {
            // A process is asked many times in one sample, and divides by itself.
            group.sampling_mode(if process { SamplingMode::Flat } else { SamplingMode::Auto });
            for size in SIZES {
                let start = Instant::now();
                let Some(mut ready) = make(set, size) else { break };
                agree(engine, &mut *ready, set, size);
                let before = Instant::now();
                let one = ready.time(&plain, 1);
                group.bench_function(BenchmarkId::new(engine, size), |b| {
                    b.iter_custom(|count| ready.time(&plain, count));
                });
                if one > SLOW || before - start > PATIENCE {
                    eprintln!(
                        "{name}, {engine}: {one:?} a decision at {size}, {:?} to get ready",
                        before - start
                    );
                    break;
                }
            }
        }
        group.finish();
    }
}

criterion_group!(benches, sets);
criterion_main!(benches);
