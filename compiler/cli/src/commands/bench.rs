//! `edict bench`: what a decision costs on this machine, and what the table costs in memory.
//!
//! One mail, decided over and over from an empty scratch, with the facts of the envelope, of the header,
//! and of the body. Figures are medians; the mail of whoever asks matters more than any of ours.

use crate::args::{BenchArgs, ResultFormat};
use crate::console::{Console, Failure, clean};
use crate::files::read_whole;
use crate::flow::{self, Dns, Known, Mail};
use crate::table;
use edict_runtime::quota::Amount;
use edict_table::decide::{Scratch, verdict};
use edict_table::fact::Stage;
use edict_table::load::Loaded;
use serde_json::{Map, Value, json};
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Samples of which the median is taken.
const SAMPLES: usize = 51;
/// How long one sample takes at least, in nanoseconds.
const SAMPLE_NS: u128 = 2_000_000;

/// The message that is decided where none is given.
const MESSAGE: &[u8] = b"From: Bob <bob@partner.example>\r\nTo: ann@example.com\r\nSubject: minutes of the meeting\r\nMessage-ID: <1@partner.example>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\nDear Ann,\r\n\r\nhere are the minutes.\r\n";

/// Measures.
pub fn run(args: &BenchArgs, console: &mut Console) -> Result<bool, Failure> {
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
        client_name: None,
        helo: None,
        tls: true,
        spf: 0,
        dmarc: 0,
        dkim: Vec::new(),
        login: None,
        sender: "bob@partner.example".to_owned(),
        recipients: vec![format!("ann@{domain}")],
        message,
        size: None,
        time: flow::now(),
        dns: Dns::default(),
        usage: Amount::default(),
    };
    let known = Known::new(&table, &mail).map_err(|e| Failure::Use(e.to_string()))?;
    let envelope = median(&table, &known, Stage::Rcpt);
    let headers = median(&table, &known, Stage::Header);
    let body = median(&table, &known, Stage::Body);
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
            for part in parts.iter().filter(|part| part.bytes > 0) {
                let built = if part.stored { "" } else { "  built when loaded" };
                writeln!(out, "  {:<30} {:>12}{built}", clean(&part.name), part.bytes)?;
            }
        }
    }
    Ok(true)
}

/// Nanoseconds of one decision.
fn median(table: &Loaded, known: &Known, stage: Stage) -> f64 {
    let Some(who) = known.people.first() else { return 0.0 };
    let facts = known.facts(who, stage);
    let mut scratch = Scratch::new();
    let mut batch = |count: u32| {
        let before = Instant::now();
        for _ in 0..count {
            scratch.begin(table);
            black_box(verdict(table, black_box(&facts), &mut scratch));
        }
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
