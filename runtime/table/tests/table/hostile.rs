//! Damaged artifacts: refused, or, where the checksum is mended, decided without a panic.

use crate::common::mail::Mail;
use crate::common::random;
use crate::common::rng::Rng;
use edict_table::decide::{
    Ruling, Scratch, audited, candidates, explain, matching, rules_by_stage, signature, verdict,
};
use edict_table::emit::emit;
use edict_table::fact::{Fact, Stage};
use edict_table::load::{LoadError, Loaded};
use edict_table::model::{Kind, Predicate, Table, Test};
use std::sync::Arc;

pub const HEADER: usize = 96;
pub const RECORD: usize = 24;
const POLICY: usize = 41;

fn small() -> Vec<u8> {
    emit(&random::table(&mut Rng(7), 12))
}

pub fn load(bytes: Vec<u8>) -> Result<Loaded, LoadError> {
    Loaded::new(Arc::new(bytes))
}

pub fn number(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap()) as usize)
}

/// Puts a digest and a checksum on that fit, by the layout that `format.rs` states.
pub fn mend(bytes: &mut [u8]) {
    if bytes.len() < HEADER {
        return;
    }
    let count = u32::from_le_bytes(bytes[24..28].try_into().unwrap()) as usize;
    let table_end = HEADER.saturating_add(count.saturating_mul(RECORD));
    if bytes.len() < table_end {
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
    hasher
        .update(b"edict table 1")
        .update(&bytes[..64])
        .update(&bytes[HEADER..table_end])
        .update(&bytes[end..]);
    bytes[64..96].copy_from_slice(hasher.finalize().as_bytes());
}

/// Everything that reads a table.
pub fn exercise(loaded: &Loaded, seed: u64) {
    let mut rng = Rng(seed);
    let mail = Mail::random(&mut rng, 12);
    let mut scratch = Scratch::new();
    let mut rules = Vec::new();
    let mut all = Vec::new();
    for stage in [Stage::Connect, Stage::Rcpt, Stage::Body] {
        let facts = mail.at(stage, 0);
        let _ = verdict(loaded, &facts, &mut scratch);
        let _ = signature(loaded, &facts, &mut scratch);
        let _ = audited(loaded, &facts, &mut scratch, Ruling::Default);
        for kind in Kind::ALL {
            matching(loaded, kind, &facts, &mut scratch, &mut rules);
            candidates(loaded, kind, &facts, &mut scratch, &mut all);
        }
    }
    let _ = explain(loaded, &mail.at(Stage::Body, 0), &mut scratch);
    let _ = rules_by_stage(loaded);
    let _ = loaded.to_table();
    let _ = loaded.sections();
    let address = random::address(&mut rng);
    let _ = loaded.alias(&address);
    let _ = loaded.list_holds("Mailbox-0", &address);
}

#[test]
fn every_changed_byte_is_refused() {
    let whole = small();
    assert!(load(whole.clone()).is_ok());
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(load(bytes).is_err(), "byte {at}");
    }
}

#[test]
fn every_length_but_its_own_is_refused() {
    let whole = small();
    for length in 0..whole.len() {
        assert!(load(whole[..length].to_vec()).is_err(), "{length} bytes");
    }
    let mut longer = whole;
    longer.extend([0; 8]);
    assert!(matches!(load(longer), Err(LoadError::Length { .. })));
    assert!(matches!(load(b"hello, world".to_vec()), Err(LoadError::Magic)));
}

#[test]
fn mending_is_the_format() {
    let whole = small();
    let mut mended = whole.clone();
    mend(&mut mended);
    assert_eq!(whole, mended);
}

#[test]
fn versions_say_what_to_update() {
    let with = |format: u32, oldest: u32| {
        let mut bytes = small();
        bytes[8..12].copy_from_slice(&format.to_le_bytes());
        bytes[12..16].copy_from_slice(&oldest.to_le_bytes());
        mend(&mut bytes);
        load(bytes).unwrap_err().to_string()
    };
    assert!(with(9, 9).contains("newer than this program reads (3): update this program (`edictd`"));
    assert!(with(1, 1).contains("older than this program reads (2): update the `edict` that built it"));
}

/// A table is of the oldest format that has all that it asks for, so that readers of before take those that ask for nothing new.
#[test]
fn a_new_fact_asks_for_a_new_reader() {
    let mut table = Table::default();
    let made = |table: &Table| {
        let bytes = emit(table);
        assert!(load(bytes.clone()).is_ok());
        (bytes[8], bytes[12])
    };
    assert_eq!(made(&table), (2, 2));
    let predicate = |fact| Predicate { fact, parameter: String::new(), test: Test::Set };
    table.predicates.push(predicate(Fact::ClientUnverified));
    assert_eq!(made(&table), (2, 2));
    table.predicates.push(predicate(Fact::ClientNameless));
    assert_eq!(made(&table), (3, 3));
}

/// Every byte, with a checksum that fits: refused, or all that reads it goes on without a panic.
#[test]
fn mended_bytes_do_no_harm() {
    let whole = small();
    let mut taken = 0;
    for at in 8..whole.len() {
        for change in [1u8, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            mend(&mut bytes);
            if let Ok(loaded) = load(bytes) {
                taken += 1;
                if taken % 4 == 0 {
                    exercise(&loaded, at as u64);
                }
            }
        }
    }
    // Names, replies, numbers in tests and the like: not everything that changes is damage.
    assert!(taken > 100, "{taken}");
}

/// Several bytes at once, and whole numbers at the edges.
#[test]
fn mended_numbers_do_no_harm() {
    let whole = small();
    let mut rng = Rng(3);
    for _ in 0..4000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + rng.below(3) {
            let at = (HEADER + rng.below(bytes.len() - HEADER - 4)) & !3;
            let value = *rng.pick(&[0u32, 1, 2, 0x7fff_ffff, u32::MAX, u32::MAX - 1, rng.0 as u32 & 0xff]);
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        mend(&mut bytes);
        if let Ok(loaded) = load(bytes) {
            exercise(&loaded, rng.next());
        }
    }
}

/// A condition that grows without bound once its shared parts are written out.
#[test]
fn a_condition_that_explodes_is_refused() {
    use edict_table::model::*;
    let mut table = random::table(&mut Rng(7), 1);
    for _ in 0..40 {
        let last = table.conditions.len() as u32 - 1;
        table.conditions.push(Condition::All(vec![last, last]));
    }
    assert!(load(emit(&table)).unwrap_err().to_string().contains("too large"));
}

/// An owner that gives out other bytes after they were checked: it is asked once, so nobody notices.
#[test]
fn an_image_is_asked_for_its_bytes_once() {
    use std::sync::atomic::{AtomicBool, Ordering};
    struct Fickle(Vec<u8>, AtomicBool);
    impl AsRef<[u8]> for Fickle {
        fn as_ref(&self) -> &[u8] {
            if self.1.load(Ordering::Relaxed) { &self.0[..self.0.len() / 2] } else { &self.0 }
        }
    }
    let image = Arc::new(Fickle(small(), AtomicBool::new(false)));
    let loaded = Loaded::new(image.clone()).unwrap();
    let mail = Mail::random(&mut Rng(1), 12);
    let before = verdict(&loaded, &mail.at(Stage::Body, 0), &mut Scratch::new());
    image.1.store(true, Ordering::Relaxed);
    assert_eq!(verdict(&loaded, &mail.at(Stage::Body, 0), &mut Scratch::new()), before);
    exercise(&loaded, 1);
}

/// A regex that no compiler lets through: past its bounds it is no match and no miss, but 451.
#[test]
fn a_regex_past_its_bounds_is_corrupt() {
    use edict_table::decide::Outcome;
    use edict_table::fact::Fact;
    use edict_table::facts::{Facts, Slot};
    use edict_table::model::*;
    let mut table = Table::default();
    table.predicates.push(Predicate {
        fact: Fact::AuthUser,
        parameter: String::new(),
        test: Test::Regex(r"(\w{100}){100}".to_owned()),
    });
    table.conditions.push(Condition::Test(0));
    table.rules.push(Rule {
        name: "large".to_owned(),
        priority: 100,
        mode: Mode::Enforce,
        condition: 0,
        action: Action::Verdict(Verdict { verb: Verb::Allow, reply: None }),
    });
    let loaded = load(emit(&table)).unwrap();
    let facts = Facts { auth_user: Slot::Known("ann"), ..Facts::default() };
    let mut scratch = Scratch::new();
    for _ in 0..2 {
        scratch.begin(&loaded);
        assert_eq!(verdict(&loaded, &facts, &mut scratch), Outcome::Final(Ruling::Corrupt));
    }
}
