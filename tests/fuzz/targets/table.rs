//! Any bytes as a table: refused, or everything that reads a table goes on without a panic.
//!
//! Digest and checksum are mended first, or no input would get past them. The mail is made of the
//! input's last bytes.

#![no_main]

use edict_table::decide::{
    Ruling, Scratch, audited, candidates, explain, matching, rules_by_stage, signature, verdict,
};
use edict_table::emit::try_emit;
use edict_table::facts::{BodyFacts, Facts, HeaderFacts, HeaderField, Slot};
use edict_table::load::Loaded;
use edict_table::model::Kind;
use edict_table::value::{Address, Domain};
use libfuzzer_sys::fuzz_target;
use std::net::IpAddr;
use std::sync::Arc;

const HEADER: usize = 96;
const RECORD: usize = 24;
const POLICY: usize = 41;

fn number(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, |b| u64::from_le_bytes(b) as usize)
}

/// Puts a length, a digest and a checksum on that fit, by the layout that `format.rs` states.
fn mend(bytes: &mut [u8]) {
    if bytes.len() < HEADER {
        return;
    }
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    let count = bytes[24..28].try_into().map_or(0, u32::from_le_bytes) as usize;
    let table_end = count.saturating_mul(RECORD).saturating_add(HEADER);
    if bytes.len() < table_end || count < POLICY {
        return;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"edict policy 1");
    for record in bytes[HEADER..table_end].chunks(RECORD).take(POLICY) {
        hasher.update(&record[..4]).update(&record[16..24]);
    }
    let last = HEADER + (POLICY - 1) * RECORD;
    let end = number(bytes, last + 8).saturating_add(number(bytes, last + 16)).min(bytes.len());
    let end = end.next_multiple_of(8).clamp(table_end, bytes.len());
    hasher.update(&bytes[table_end..end]);
    bytes[32..64].copy_from_slice(hasher.finalize().as_bytes());
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"edict table 1").update(&bytes[..64]);
    hasher.update(&bytes[HEADER..table_end]).update(&bytes[end..]);
    bytes[64..96].copy_from_slice(hasher.finalize().as_bytes());
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    mend(&mut bytes);
    let Ok(table) = Loaded::new(Arc::new(bytes)) else { return };
    let tail = String::from_utf8_lossy(&data[data.len() - data.len().min(64)..]).into_owned();
    let (Ok(domain), Ok(sender)) = (Domain::parse("b.a.example"), Address::parse("ann+x@in.example")) else {
        return;
    };
    let header = HeaderFacts {
        fields: ["subject", "x-a", "x-b"]
            .map(|name| HeaderField { name: name.to_owned(), value: tail.clone() })
            .to_vec(),
        from: vec![sender.clone()],
        ..HeaderFacts::default()
    };
    let body = BodyFacts { texts: vec![tail.clone(), "act now urgent".to_owned()], ..BodyFacts::default() };
    let envelope = Facts {
        client_ip: Slot::Known(IpAddr::from([10, 1, 0, 2])),
        client_name: Slot::Unknown,
        helo: Slot::Known(&domain),
        auth_user: Slot::Absent,
        sender: Slot::Known(&sender),
        recipient: Slot::Known(&sender),
        ..Facts::default()
    };
    let whole = Facts {
        header: Slot::Known(&header),
        body: Slot::Known(&body),
        size: Slot::Known(3),
        ..envelope.clone()
    };
    let mut scratch = Scratch::new();
    let (mut rules, mut all) = (Vec::new(), Vec::new());
    for facts in [&Facts::default(), &envelope, &whole] {
        let _ = verdict(&table, facts, &mut scratch);
        let _ = signature(&table, facts, &mut scratch);
        let _ = audited(&table, facts, &mut scratch, Ruling::Default);
        for kind in Kind::ALL {
            matching(&table, kind, facts, &mut scratch, &mut rules);
            candidates(&table, kind, facts, &mut scratch, &mut all);
        }
    }
    let _ = explain(&table, &whole, &mut scratch);
    let _ = rules_by_stage(&table);
    let _ = (table.alias(&sender), table.list_holds("Mailbox-0", &sender));
    let _ = table.sections();
    // What was read back can be written again, or says why not.
    let _ = try_emit(&table.to_table());
});
