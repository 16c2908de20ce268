//! Random tables and mail: the evaluator and the reference interpreter agree at every stage, on verdict,
//! needs, matching rules with what they do, the four values, audit, the stage, and what parts recipients.
//!
//! `EDICT_LONG=10000000` runs that many decisions in place of the usual hundred thousand.

use crate::common::mail::Mail;
use crate::common::reference::Reference;
use crate::common::rng::Rng;
use crate::common::{load, random};
use edict_table::decide::{
    Outcome, RuleStage, Ruling, Scratch, Shape, Trace, Truth, audited, candidates, explain, matching,
    rules_by_stage, signature, verdict,
};
use edict_table::fact::Stage;
use edict_table::facts::Facts;
use edict_table::load::{Loaded, RuleId};
use edict_table::model::Kind;
use proptest::prelude::*;

/// What a rule does, as the artifact has it, is what the table says.
fn same_action(reference: &Reference<'_>, loaded: &Loaded, id: RuleId) {
    let (have, want) = (loaded.rule(id).unwrap(), &reference.table.rules[id.0 as usize]);
    assert_eq!((have.action, have.name, have.mode), (&want.action, want.name.as_str(), want.mode));
}

/// Whatever holds or decides now was said to be able to do so by now.
fn in_time(reference: &Reference<'_>, stages: &[RuleStage], facts: &Facts<'_>, now: Stage, ended: Outcome) {
    let mut unknown = false;
    for (id, value) in Kind::ALL.into_iter().flat_map(|kind| reference.candidates(kind, facts)) {
        let stage = &stages[id.0 as usize];
        assert!(
            value != Truth::Yes || stage.holds <= now,
            "{id:?} holds at {now:?}, not from {:?}",
            stage.holds
        );
        unknown |= value == Truth::Unknown;
        if ended == Outcome::Final(Ruling::By(id)) && !unknown {
            assert!(stage.decides <= now, "{id:?} decides at {now:?}, not from {:?}", stage.decides);
        }
    }
}

/// Compares everything at one moment; returned is how many decisions that were.
fn compare(
    reference: &Reference<'_>,
    loaded: &Loaded,
    stages: &[RuleStage],
    (facts, now): (&Facts<'_>, Stage),
    scratch: &mut Scratch,
) -> usize {
    let want = reference.verdict(facts);
    let have = verdict(loaded, facts, scratch);
    assert_eq!(have, want, "verdict");
    in_time(reference, stages, facts, now, have);
    if let Outcome::Final(Ruling::By(rule)) = have {
        same_action(reference, loaded, rule);
    }
    if let Outcome::Final(ruling) = have {
        assert_eq!(audited(loaded, facts, scratch, ruling), reference.audited(facts, ruling), "audited");
    }
    let mut rules = Vec::new();
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let expected = reference.candidates(kind, facts);
        candidates(loaded, kind, facts, scratch, &mut all);
        assert_eq!(all, expected, "candidates of {kind:?}");
        let hanging = matching(loaded, kind, facts, scratch, &mut rules);
        let yes: Vec<_> = expected.iter().filter(|c| c.1 == Truth::Yes).map(|c| c.0).collect();
        assert_eq!(rules, yes, "matching of {kind:?}");
        rules.iter().for_each(|rule| same_action(reference, loaded, *rule));
        assert_eq!(hanging, reference.hanging(kind, facts), "what {kind:?} hangs on");
    }
    1 + Kind::ALL.len()
}

fn check_trace(reference: &Reference<'_>, facts: &Facts<'_>, trace: &Trace, id: u32) {
    use edict_table::model::Condition;
    assert_eq!(trace.value, reference.condition(id, facts));
    let children: Vec<u32> = match &reference.table.conditions[id as usize] {
        Condition::True => {
            assert_eq!(trace.shape, Shape::True);
            Vec::new()
        }
        Condition::Test(test) => {
            assert_eq!(trace.shape, Shape::Test(*test));
            Vec::new()
        }
        Condition::Not(child) => vec![*child],
        Condition::All(all) | Condition::Any(all) => all.clone(),
    };
    assert_eq!(trace.children.len(), children.len());
    for (child, id) in trace.children.iter().zip(children) {
        check_trace(reference, facts, child, id);
    }
}

/// One table, some mail, all stages, all recipients.
fn run(seed: u64, rules: usize, open: usize) -> usize {
    let mut rng = Rng(seed);
    let table = random::table(&mut rng, rules);
    let loaded = load(&table);
    assert_eq!(loaded.to_table(), table);
    let reference = Reference::new(&table);
    let stages = rules_by_stage(&loaded);
    let mut scratch = Scratch::new();
    let mut decisions = 0;
    for _ in 0..4 {
        let mut mail = Mail::random(&mut rng, open);
        scratch.begin(&loaded);
        for stage in [Stage::Connect, Stage::Mail] {
            decisions += compare(&reference, &loaded, &stages, (&mail.at(stage, 0), stage), &mut scratch);
        }
        let mut parted: Vec<(u64, usize)> = Vec::new();
        for stage in [Stage::Rcpt, Stage::Data, Stage::Header, Stage::Body] {
            for recipient in 0..mail.recipients.len() {
                scratch.next_recipient();
                let facts = mail.at(stage, recipient);
                decisions += compare(&reference, &loaded, &stages, (&facts, stage), &mut scratch);
            }
        }
        for recipient in 0..mail.recipients.len() {
            let mut fresh = Scratch::new();
            parted.push((signature(&loaded, &mail.at(Stage::Rcpt, recipient), &mut fresh), recipient));
            for explanation in explain(&loaded, &mail.at(Stage::Body, recipient), &mut fresh) {
                let id = table.rules[explanation.rule.0 as usize].condition;
                check_trace(&reference, &mail.at(Stage::Body, recipient), &explanation.trace, id);
            }
        }
        // Equal signatures: whatever the content, the same end.
        for _ in 0..6 {
            mail.new_content(&mut rng, open);
            let end = |recipient| match reference.verdict(&mail.at(Stage::Body, recipient)) {
                Outcome::Final(Ruling::By(rule)) => Some(Some(reference.outcome(rule.0))),
                Outcome::Final(Ruling::Default) => Some(Some(None)),
                Outcome::Final(_) => Some(None),
                Outcome::Need(_) => None,
            };
            for (a, b) in parted.iter().zip(parted.iter().skip(1)) {
                if a.0 == b.0
                    && let (Some(x), Some(y)) = (end(a.1), end(b.1))
                {
                    assert_eq!(x, y, "equal signatures, another end");
                }
            }
        }
    }
    decisions
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evaluator_and_reference_agree(seed: u64, rules in 0usize..40, open in prop_oneof![Just(4usize), Just(12), Just(1000)]) {
        run(seed, rules, open);
    }
}

#[test]
fn many_decisions() {
    let goal = std::env::var("EDICT_LONG").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000usize);
    let mut done = 0;
    let mut seed = 1;
    while done < goal {
        done += run(seed, 1 + (seed as usize * 7) % 60, [4, 12, 1000][seed as usize % 3]);
        seed += 1;
    }
}
