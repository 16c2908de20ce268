//! Lowering against a slow interpreter: rule sets grown out of the grammar are resolved to a `Model` and compiled to a
//! table; whatever message is drawn, the interpreter on the one and the evaluator on the other say the same.
//! `EDICT_LONG=N` runs N rule sets.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "fuzzed/grammar.rs"]
mod grammar;
#[path = "lowering/interpreter.rs"]
mod interpreter;
#[path = "lowering/mail.rs"]
#[expect(dead_code, reason = "messages are also read from data files, elsewhere")]
mod mail;

use edict_compiler::gather::gather;
use edict_compiler::resolve::resolve;
use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use edict_table::decide::{Outcome, Ruling, Scratch, matching, verdict};
use edict_table::emit::emit;
use edict_table::fact::{Fact, REGISTRY};
use edict_table::load::Loaded;
use edict_table::model::Kind;
use interpreter::{Expected, Interpreter};
use mail::Mail;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Splitmix64: the same rule sets on every machine.
fn draw(state: &mut u64, n: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) % n.max(1) as u64) as usize
}

#[test]
fn the_table_says_what_the_model_says() {
    let sets: usize = std::env::var("EDICT_LONG").ok().and_then(|n| n.parse().ok()).unwrap_or(4000);
    let mut state = 7;
    let (mut tables, mut ruled, mut mails) = (0, 0, 0);
    let mut seen: BTreeMap<Fact, (bool, bool)> = BTreeMap::new();
    for _ in 0..sets {
        let bytes: Vec<u8> = (0..200 + draw(&mut state, 400)).map(|_| draw(&mut state, 256) as u8).collect();
        let mut sources = Sources::default();
        for (path, text) in grammar::rule_set(&bytes) {
            sources.insert(path, text);
        }
        let Some(table) = compile(&sources, &Options { proofs: false }).table else { continue };
        let loaded = Loaded::new(Arc::new(emit(&table))).unwrap();
        let model = resolve(&gather(&sources).asts, &sources, &[]).model;
        let interpreter = Interpreter::new(&model);
        tables += 1;
        for _ in 0..24 {
            let mail = Mail::random(&mut |n| draw(&mut state, n));
            let facts = mail.facts();
            let mut scratch = Scratch::new();
            scratch.begin(&loaded);
            let found = match verdict(&loaded, &facts, &mut scratch) {
                Outcome::Final(Ruling::Default) => Expected::Accepted,
                Outcome::Final(Ruling::By(id)) => Expected::By(loaded.rule(id).unwrap().name.to_owned()),
                Outcome::Final(Ruling::Unknown) => Expected::Unknown,
                other => panic!("{other:?}"),
            };
            let wanted = interpreter.verdict(&mail);
            let main =
                String::from_utf8_lossy(sources.bytes(sources.find("main.edict").unwrap())).into_owned();
            assert_eq!(found, wanted, "{main}\n{mail:#?}");
            let mut names = Vec::new();
            for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Verdict) {
                let mut ids = Vec::new();
                matching(&loaded, kind, &facts, &mut scratch, &mut ids);
                names.extend(ids.iter().map(|id| loaded.rule(*id).unwrap().name.to_owned()));
            }
            names.sort();
            assert_eq!(names, interpreter.matching(false, &mail), "{main}\n{mail:#?}");
            mails += 1;
            ruled += usize::from(matches!(wanted, Expected::By(_)));
        }
        for (fact, answers) in interpreter.seen.into_inner() {
            let all = seen.entry(fact).or_default();
            (all.0, all.1) = (all.0 | answers.0, all.1 | answers.1);
        }
    }
    // What was never asked, or always had one answer, was not compared.
    assert!(tables > sets / 20 && ruled > mails / 20, "{tables} tables, {ruled} of {mails} mails ruled");
    let missing: Vec<&str> = REGISTRY
        .iter()
        .filter(|row| seen.get(&row.fact) != Some(&(true, true)))
        .map(|row| row.name)
        .collect();
    assert!(missing.is_empty(), "never asked with both answers: {missing:?}");
}
