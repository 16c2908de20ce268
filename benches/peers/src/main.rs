//! The same rules in Edict's table and in the engines that somebody might pick instead: nanoseconds per decision.
//!
//! Each engine gets the rules in its own terms and the facts of one mail in its own form, both made beforehand;
//! timed is the decision alone. No rule matches, which is the case that every mail meets nearly always. Results go
//! to standard output as JSON; what goes on, to standard error. `cargo run --release > results.json`.

mod engines;
mod postfix;
mod rules;

use edict_table::decide::{Outcome, Ruling, Scratch, verdict};
use edict_table::model::Table;
use rules::Mail;
use serde_json::{Map, Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rules of a set.
const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// What one sample lasts at least, and how many are taken.
const SAMPLE: Duration = Duration::from_millis(5);
const SAMPLES: usize = 11;
/// An engine that needs longer than this to get ready, or for one decision, is not asked at larger sizes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The median of some samples, in nanoseconds.
pub fn time(mut decide: impl FnMut()) -> f64 {
    let mut count = 1u32;
    let mut batch = |count: u32| {
        let start = Instant::now();
        (0..count).for_each(|_| decide());
        start.elapsed()
    };
    while batch(count) < SAMPLE && count < 1 << 24 {
        count *= 2;
    }
    let mut samples: Vec<f64> =
        (0..SAMPLES).map(|_| batch(count).as_nanos() as f64 / f64::from(count)).collect();
    samples.sort_by(f64::total_cmp);
    samples[SAMPLES / 2]
}

/// Edict's own table.
fn edict(table: &Table, mail: &Mail) -> f64 {
    let loaded = rules::load(table);
    let facts = mail.facts();
    let mut scratch = Scratch::new();
    scratch.begin(&loaded);
    assert_eq!(verdict(&loaded, &facts, &mut scratch), Outcome::Final(Ruling::Default));
    time(|| {
        scratch.begin(&loaded);
        black_box(verdict(&loaded, black_box(&facts), &mut scratch));
    })
}

/// A peer at all sizes, until it takes too long.
struct Peer {
    name: &'static str,
    run: fn(usize, &Mail) -> f64,
    /// The type of map without which it cannot be asked.
    needs: Option<&'static str>,
}

fn family(name: &str, table: fn(usize) -> Table, peers: &[Peer]) -> Value {
    let mail = Mail::new();
    let mut series = Map::new();
    let mut put = |peer: &str, size: usize, ns: f64| {
        eprintln!("{name} {peer} {size}: {ns:.0} ns");
        let all = series.entry(peer).or_insert_with(|| json!({}));
        all[size.to_string()] = json!(ns);
    };
    SIZES.iter().for_each(|size| put("edict", *size, edict(&table(*size), &mail)));
    for peer in peers {
        if let Some(kind) = peer.needs
            && !postfix::has(kind)
        {
            eprintln!("{name} {}: Postfix is not here, or has no maps of type {kind}", peer.name);
            continue;
        }
        for size in SIZES {
            let start = Instant::now();
            put(peer.name, size, (peer.run)(size, &mail));
            if start.elapsed() > PATIENCE {
                break;
            }
        }
    }
    Value::Object(series)
}

fn main() {
    let mixed = [
        Peer { name: "linear scan in Rust", run: rules::linear, needs: None },
        Peer { name: "cedar-policy", run: engines::cedar, needs: None },
        Peer { name: "regorus", run: engines::rego, needs: None },
        Peer { name: "zen-engine", run: engines::zen, needs: None },
        Peer { name: "cel-interpreter", run: engines::cel, needs: None },
    ];
    let senders = [
        Peer { name: "postmap hash", run: |n, m| postfix::senders("hash", n, m), needs: Some("hash") },
        Peer { name: "postmap cdb", run: |n, m| postfix::senders("cdb", n, m), needs: Some("cdb") },
    ];
    let networks = [Peer { name: "postmap cidr", run: postfix::networks, needs: Some("cidr") }];
    let patterns = [Peer { name: "postmap pcre", run: postfix::patterns, needs: Some("pcre") }];
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|o| o == name);
    let mut results = Map::new();
    for (name, table, peers) in [
        ("mixed", rules::mixed as fn(usize) -> Table, mixed.as_slice()),
        ("senders", rules::senders, &senders),
        ("networks", rules::networks, &networks),
        ("patterns", rules::patterns, &patterns),
    ] {
        if wanted(name) {
            results.insert(name.to_owned(), family(name, table, peers));
        }
    }
    println!("{:#}", json!({ "unit": "ns per decision", "results": results }));
}
