//! `edict bench`: what a decision costs on this machine, and what the table costs in memory.
//!
//! One mail, decided over and over from an empty scratch, with the facts of the envelope, of the header,
//! and of the body; then each index and each rule by itself. Figures are medians; the mail of whoever asks matters more
//! than any of ours. A rule by itself costs its lookups too, which a decision makes once for all rules.

use crate::args::{BenchArgs, ResultFormat};
use crate::console::{Console, Failure, clean};
use crate::files::{one_dash, read_whole};
use crate::flow::{self, ClientName, Dns, Known, Mail};
use crate::table;
use edict_runtime::quota::Amount;
use edict_table::decide::{Lookup, Scratch, lookups, rule_value, verdict};
use edict_table::fact::Stage;
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Kind, Predicate, Test};
use serde_json::{Map, Value, json};
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Samples of which the median is taken.
const SAMPLES: usize = 21;
/// How long one sample takes at least, in nanoseconds.
const SAMPLE_NS: u128 = 1_000_000;
/// How long the quick look at every rule may take.
const LOOK: Duration = Duration::from_secs(5);
/// How many rules and patterns of a kind are named.
const SHOWN: usize = 10;

/// The message that is decided where none is given.
const MESSAGE: &[u8] = b"From: Bob <bob@partner.example>\r\nTo: ann@example.com\r\nSubject: minutes of the meeting\r\nMessage-ID: <1@partner.example>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\nDear Ann,\r\n\r\nhere are the minutes.\r\n";

/// Measures.
pub fn run(args: &BenchArgs, console: &mut Console) -> Result<bool, Failure> {
    one_dash((&args.table, "the table"), args.message.as_deref().map(|path| (path, "the message")))?;
    let Some(loaded) = table::open(&args.table, console)? else {
        return Ok(false);
    };
    let bytes = edict_table::emit::try_emit(&loaded.to_table());
    let bytes = bytes.map_err(|e| Failure::Use(format!("the table cannot be written again: {e}")))?;
    let image = Arc::new(bytes);
    let before = Instant::now();
    let again = Loaded::new(Arc::<Vec<u8>>::clone(&image));
    let load_ms = before.elapsed().as_secs_f64() * 1000.0;
    let table = again.map_err(|e| Failure::Use(format!("the table does not load: {e}")))?;
    let message = match &args.message {
        Some(path) => flow::crlf(&read_whole(path)?),
        None => MESSAGE.to_vec(),
    };
    let domain = table.profile().local_domains.first().map_or("example.com", String::as_str);
    let mail = Mail {
        client: IpAddr::from([203, 0, 113, 1]),
        client_name: ClientName::Asked,
        helo: None,
        tls: true,
        spf: 0,
        dmarc: 0,
        dkim: Vec::new(),
        login: None,
        sender: "bob@partner.example".to_owned(),
        recipients: vec![format!("ann@{domain}")],
        message,
        whole: true,
        size: None,
        time: flow::now(),
        dns: Dns::default(),
        usage: Amount::default(),
    };
    let known = Known::new(&table, &mail).map_err(|e| Failure::Use(e.to_string()))?;
    let envelope = median(&table, &known, Stage::Rcpt);
    let headers = median(&table, &known, Stage::Header);
    let body = median(&table, &known, Stage::Body);
    let costs = Costs::of(&table, &known);
    let parts = table.sections();
    match args.format {
        ResultFormat::Json => {
            let bytes: Map<String, Value> =
                parts.into_iter().map(|part| (part.name, Value::from(part.bytes))).collect();
            let object = json!({
                "decide_ns": { "envelope": envelope, "headers": headers, "body": body },
                "bytes": bytes,
                "load_ms": load_ms,
                "table": table.digest(),
                "indexes": costs.indexes.iter().map(|(lookup, ns)| json!({
                    "fact": lookup.name, "ns": ns, "tests": lookup.tests, "bytes": lookup.bytes,
                    "finds_verdicts": lookup.finds,
                })).collect::<Vec<_>>(),
                "slowest": costs.slowest.iter().filter_map(|(id, ns)| table.rule(*id).map(|rule| json!({
                    "rule": rule.name, "file": rule.file, "line": rule.line, "ns": ns,
                }))).collect::<Vec<_>>(),
                "rules_measured": costs.measured,
                "unindexed_rules": costs.unindexed.iter().filter_map(|id| table.rule(*id))
                    .map(|rule| rule.name).collect::<Vec<_>>(),
                "patterns_without_literal": costs.unfiltered,
            });
            writeln!(console.out(), "{object}")?;
        }
        ResultFormat::Human => {
            let out = console.out();
            writeln!(out, "table   {}, {} rules, {} bytes", table.digest(), table.rule_count(), image.len())?;
            writeln!(out, "load    {load_ms:.2} ms")?;
            writeln!(
                out,
                "decide  envelope {envelope:.0} ns, headers {headers:.0} ns, body {body:.0} ns (medians)"
            )?;
            writeln!(out, "indexes, for this mail")?;
            for (lookup, ns) in &costs.indexes {
                let ns = ns.map_or_else(|| "not known".to_owned(), |ns| format!("{ns:.0} ns"));
                let asked = if lookup.finds { "" } else { "  only when a rule asks" };
                writeln!(out, "  {:<30} {ns:>12}  {} tests{asked}", clean(&lookup.name), lookup.tests)?;
            }
            writeln!(out, "slowest rules, each by itself with its lookups")?;
            for (rule, ns) in costs.slowest.iter().filter_map(|(id, ns)| Some((table.rule(*id)?, ns))) {
                let name = clean(rule.name);
                writeln!(out, "  {:<30} {:>9.0} ns  {}:{}", name, ns, clean(rule.file), rule.line)?;
            }
            if costs.measured < table.rule_count() {
                writeln!(out, "  (of the first {} rules; the rest would take too long)", costs.measured)?;
            }
            writeln!(out, "rules that no index finds: {}", costs.unindexed.len())?;
            for rule in costs.unindexed.iter().take(SHOWN).filter_map(|id| table.rule(*id)) {
                writeln!(out, "  {}  {}:{}", clean(rule.name), clean(rule.file), rule.line)?;
            }
            writeln!(out, "patterns without a text that must be there: {}", costs.unfiltered.len())?;
            for pattern in costs.unfiltered.iter().take(SHOWN) {
                writeln!(out, "  {}", clean(pattern))?;
            }
            writeln!(out, "bytes")?;
            for part in parts.iter().filter(|part| part.bytes > 0) {
                let built = if part.stored { "" } else { "  built when loaded" };
                writeln!(out, "  {:<30} {:>12}{built}", clean(&part.name), part.bytes)?;
            }
        }
    }
    Ok(true)
}

/// What the parts of a decision cost.
struct Costs {
    /// None where the fact is not known of this mail.
    indexes: Vec<(Lookup, Option<f64>)>,
    /// Dearest first.
    slowest: Vec<(RuleId, f64)>,
    measured: usize,
    unindexed: Vec<RuleId>,
    unfiltered: Vec<String>,
}

impl Costs {
    fn of(table: &Loaded, known: &Known) -> Self {
        let unindexed = table.unindexed_rules();
        let predicates = table.to_table().predicates;
        let shown = |p: &Predicate| match &p.test {
            Test::Regex(regex) => format!("{} matches /{regex}/", p.fact.row().name),
            Test::Glob(glob) => format!("{} matches \"{glob}\"", p.fact.row().name),
            _ => p.fact.row().name.to_owned(),
        };
        let unfiltered = table.unfiltered_patterns();
        let unfiltered = unfiltered.iter().filter_map(|id| predicates.get(*id as usize)).map(shown).collect();
        let mut costs = Self { indexes: Vec::new(), slowest: Vec::new(), measured: 0, unindexed, unfiltered };
        let Some(who) = known.people.first() else { return costs };
        let facts = known.facts(who, Stage::Body);
        let mut scratch = Scratch::new();
        let empty = sampled(|| scratch.begin(table));
        for lookup in lookups(table) {
            scratch.begin(table);
            let ns = lookup.make(table, &facts, &mut scratch).then(|| {
                let whole = sampled(|| {
                    scratch.begin(table);
                    black_box(lookup.make(table, &facts, &mut scratch));
                });
                (whole - empty).max(0.0)
            });
            costs.indexes.push((lookup, ns));
        }
        // A quick look at each rule, then a good one at those that seemed dear.
        let start = Instant::now();
        for rule in Kind::ALL.into_iter().flat_map(|kind| table.rules_of(kind)) {
            if start.elapsed() > LOOK {
                break;
            }
            let mut quickest = u128::MAX;
            for _ in 0..4 {
                scratch.begin(table);
                let before = Instant::now();
                black_box(rule_value(table, rule, &facts, &mut scratch));
                quickest = quickest.min(before.elapsed().as_nanos());
            }
            costs.slowest.push((rule, quickest as f64));
            costs.measured += 1;
        }
        costs.slowest.sort_by(|a, b| b.1.total_cmp(&a.1));
        costs.slowest.truncate(SHOWN);
        for (rule, ns) in &mut costs.slowest {
            *ns = sampled(|| {
                scratch.begin(table);
                black_box(rule_value(table, *rule, &facts, &mut scratch));
            });
        }
        costs.slowest.sort_by(|a, b| b.1.total_cmp(&a.1));
        costs
    }
}

/// Nanoseconds of one decision.
fn median(table: &Loaded, known: &Known, stage: Stage) -> f64 {
    let Some(who) = known.people.first() else { return 0.0 };
    let facts = known.facts(who, stage);
    let mut scratch = Scratch::new();
    sampled(|| {
        scratch.begin(table);
        black_box(verdict(table, black_box(&facts), &mut scratch));
    })
}

/// The median of some samples of something, in nanoseconds.
fn sampled(mut run: impl FnMut()) -> f64 {
    let mut batch = |count: u32| {
        let before = Instant::now();
        (0..count).for_each(|_| run());
        before.elapsed().as_nanos()
    };
    let mut count = 1;
    while batch(count) < SAMPLE_NS && count < 1 << 24 {
        count *= 2;
    }
    let mut samples: Vec<u128> = (0..SAMPLES).map(|_| batch(count)).collect();
    samples.sort_unstable();
    let middle = samples.get(SAMPLES / 2).copied().unwrap_or(0);
    middle as f64 / f64::from(count)
}
