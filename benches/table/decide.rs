//! The cost of a decision over the number of rules and of list entries.
//!
//! `envelope`: all that is known at RCPT. `header` (a subject), `headers` (five fields), `body_4k`, `body_100k`: text rules.
//! `list...`: one rule on a list, of addresses or of texts that may stand in those. Beside them the
//! bounds that physics sets: the same number of bare hash lookups, one bare Aho-Corasick pass over the
//! same literals and bytes, and one pass of memchr. `docs/performance.md` explains what to compare.

use crate::rules::{HEADERS, Mail, Maker, Part, envelope, list, literal, many_texts, text_list, texts};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use edict_table::decide::{Scratch, verdict};
use edict_table::fact::Fact;
use edict_table::facts::Facts;
use edict_table::load::Loaded;
use edict_table::model::Table;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use xxhash_rust::xxh3::xxh3_64;

const RULES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
const ENTRIES: [usize; 3] = [1, 1_000, 1_000_000];

/// One decision about a message of its own: nothing is left of the one before.
fn decide(table: &Loaded, facts: &Facts<'_>, scratch: &mut Scratch) {
    scratch.begin(table);
    black_box(verdict(table, black_box(facts), scratch));
}

/// Envelope decisions over the number of rules.
pub fn envelopes(c: &mut Criterion) {
    let mut group = c.benchmark_group("envelope");
    let mail = Mail::new(0);
    for rules in RULES {
        let maker = envelope(rules);
        let table = maker.load();
        let mut scratch = Scratch::new();
        // Facts are at hand, as keys are below.
        let facts = mail.envelope();
        group.bench_function(BenchmarkId::new("decide", rules), |b| {
            b.iter(|| decide(&table, &facts, &mut scratch));
        });
        // What the decision looks up, key by key: HELO; the sender; its domain, and that with a dot before it
        // and before each part of it; the recipient. And the client: the table finds it by bisection of intervals,
        // here it is one more probe. Each key is at hand, its hash is not: that is what a probe is.
        let keys: [&str; 7] = [
            "mail.partner.example",
            mail.sender.as_str(),
            mail.sender.domain(),
            ".partner.example",
            ".example",
            mail.recipient.as_str(),
            "192.0.2.7",
        ];
        // A hash map of the same keys as the table's index, and of the same hash function.
        let known: HashMap<String, u32, BuildHasherDefault<Xxh3>> =
            mailbox_keys(&maker.table).zip(0..).collect();
        group.bench_function(BenchmarkId::new("bare_probes", rules), |b| {
            b.iter(|| black_box(keys).iter().filter(|key| known.contains_key(**key)).count());
        });
    }
    group.finish();
}

/// The keys under which the table's index holds addresses and domains, and the networks.
fn mailbox_keys(table: &Table) -> impl Iterator<Item = String> {
    let entries = table.lists.iter().flat_map(|list| list.entries.iter());
    entries.map(|entry| entry.strip_prefix('@').unwrap_or(entry).to_owned())
}

/// The table's own hash, in one go.
#[derive(Default)]
struct Xxh3(u64);

impl Hasher for Xxh3 {
    fn write(&mut self, bytes: &[u8]) {
        // A text is hashed with one byte behind it, which adds nothing here.
        if bytes != [0xff] {
            self.0 = xxh3_64(bytes);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What texts are measured: a name, the fact, and the bytes of a body.
const TEXTS: [(&str, Fact, usize); 3] =
    [("header", Fact::Subject, 0), ("body_4k", Fact::Body, 4096), ("body_100k", Fact::Body, 102_400)];

/// Decisions over the number of entries of one list: on the envelope, and on texts that hold an entry.
pub fn lists(c: &mut Criterion) {
    let mut group = c.benchmark_group("list");
    let mail = Mail::new(0);
    for entries in ENTRIES {
        let table = list(entries).load();
        let mut scratch = Scratch::new();
        let facts = mail.envelope();
        group.bench_function(BenchmarkId::new("decide", entries), |b| {
            b.iter(|| decide(&table, &facts, &mut scratch));
        });
    }
    group.finish();
    for (name, fact, bytes) in TEXTS {
        let mut group = c.benchmark_group(format!("list_{name}"));
        let mail = Mail::new(bytes);
        for entries in ENTRIES {
            one_text(&mut group, &mail, &text_list(entries, fact), entries, &[((fact, ""), 0..entries)]);
        }
        group.finish();
    }
}

/// Decisions on texts over the number of literals.
pub fn text(c: &mut Criterion) {
    for (name, fact, bytes) in TEXTS {
        let mut group = c.benchmark_group(name);
        let mail = Mail::new(bytes);
        for rules in RULES {
            one_text(&mut group, &mail, &texts(rules, fact), rules, &[((fact, ""), 0..rules)]);
        }
        let text = mail.text((fact, "")).to_owned();
        group.bench_function("bare_memchr", |b| {
            b.iter(|| memchr::memchr(0, black_box(text.as_bytes())));
        });
        group.finish();
    }
    let mut group = c.benchmark_group("headers");
    let mail = Mail::new(0);
    for rules in RULES {
        let share = rules / HEADERS.len();
        let parts: Vec<Part> =
            (0..).zip(HEADERS).map(|(i, fact)| (fact, i * share..(i + 1) * share)).collect();
        one_text(&mut group, &mail, &many_texts(&parts), rules, &parts);
    }
    group.finish();
}

/// A decision on a table whose literals these are, and bare aho-corasick over the same literals and bytes: of each fact
/// its own.
fn one_text(
    group: &mut BenchmarkGroup<'_, WallTime>,
    mail: &Mail,
    maker: &Maker,
    size: usize,
    parts: &[Part],
) {
    let table = maker.load();
    let mut scratch = Scratch::new();
    let facts = mail.whole();
    group.bench_function(BenchmarkId::new("decide", size), |b| {
        b.iter(|| decide(&table, &facts, &mut scratch));
    });
    let bare: Vec<_> = parts
        .iter()
        .filter_map(|(fact, numbers)| {
            let literals: Vec<String> = numbers.clone().map(literal).collect();
            let dfa = literals.len() <= 1_000;
            let kind = if dfa { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
            Some((AhoCorasick::builder().kind(Some(kind)).build(&literals).ok()?, mail.text(*fact)))
        })
        .collect();
    group.bench_function(BenchmarkId::new("bare_aho_corasick", size), |b| {
        b.iter(|| {
            let found = bare.iter().map(|(bare, text)| bare.find_overlapping_iter(black_box(*text)).count());
            found.sum::<usize>()
        });
    });
}
