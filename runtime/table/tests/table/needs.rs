//! What a decision asks for: nothing that cannot change it.
//!
//! No header is to be parsed, no body scanned and no name looked up for a ruling that is settled without.
//! Cases by hand for each way in which a rule can be out of the question, then random tables: a ruling that
//! is called final stays what it is whatever the rest of the message turns out to be, and each fact that is
//! asked for can make the difference.

use crate::common::mail::Mail;
use crate::common::reference::Reference;
use crate::common::rng::Rng;
use crate::common::{load, random};
use edict_table::decide::{Outcome, Ruling, Scratch, Truth, verdict};
use edict_table::fact::{Fact, Stage};
use edict_table::facts::{BodyFacts, Direction, Facts, HeaderFacts, HeaderField, Slot};
use edict_table::load::RuleId;
use edict_table::model::*;
use edict_table::value::Address;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A condition by hand.
enum Is {
    Test(Fact, Test),
    Not(Box<Is>),
    All(Vec<Is>),
    Any(Vec<Is>),
}

fn sender() -> Is {
    Is::Test(Fact::Sender, Test::InList(0))
}

fn other_sender() -> Is {
    Is::Test(Fact::Sender, Test::InList(1))
}

fn subject() -> Is {
    Is::Test(Fact::Subject, Test::Contains(vec!["offer".to_owned()]))
}

fn body() -> Is {
    Is::Test(Fact::Body, Test::Contains(vec!["offer".to_owned()]))
}

fn listed() -> Is {
    Is::Test(Fact::ClientListed, Test::Set)
}

fn add(table: &mut Table, is: Is) -> u32 {
    let node = match is {
        Is::Test(fact, test) => {
            let parameter = if fact.row().parameter { "zone.example" } else { "" };
            let predicate = Predicate { fact, parameter: parameter.to_owned(), test };
            let known = table.predicates.iter().position(|p| *p == predicate);
            let place = known.unwrap_or_else(|| {
                table.predicates.push(predicate);
                table.predicates.len() - 1
            });
            Condition::Test(place as u32)
        }
        Is::Not(inner) => Condition::Not(add(table, *inner)),
        Is::All(parts) => Condition::All(parts.into_iter().map(|p| add(table, p)).collect()),
        Is::Any(parts) => Condition::Any(parts.into_iter().map(|p| add(table, p)).collect()),
    };
    table.conditions.push(node);
    table.conditions.len() as u32 - 1
}

/// Rules in order of rank: verb, mode, condition.
fn table(rules: Vec<(Verb, Mode, Is)>) -> Table {
    let mut table = Table::default();
    for entry in ["ann@a.example", "bob@b.example"] {
        let entries = [entry].into_iter().collect();
        table.lists.push(List { name: None, kind: ListKind::Mailbox, entries });
    }
    for (place, (verb, mode, is)) in rules.into_iter().enumerate() {
        let condition = add(&mut table, is);
        let reply =
            (verb == Verb::Reject).then(|| Reply { code: 550, enhanced: (5, 7, 1), text: "no".to_owned() });
        table.rules.push(Rule {
            name: format!("rule {place}"),
            priority: place as u32,
            mode,
            condition,
            action: Action::Verdict(Verdict { verb, reply }),
        });
    }
    table
}

/// What is asked for ann@a.example, at RCPT or with a header whose subject says nothing.
fn asked(rules: Vec<(Verb, Mode, Is)>, with_header: bool) -> (Vec<Fact>, Option<Ruling>) {
    let loaded = load(&table(rules));
    let ann = Address::parse("ann@a.example").unwrap();
    let header = HeaderFacts {
        fields: vec![HeaderField { name: "subject".to_owned(), value: "hello".to_owned() }],
        ..HeaderFacts::default()
    };
    let mut facts = Facts {
        sender: Slot::Known(&ann),
        recipient: Slot::Known(&ann),
        direction: Slot::Known(Direction::Inbound),
        submitted: Slot::Known(false),
        ..Facts::default()
    };
    if with_header {
        facts.header = Slot::Known(&header);
    }
    match verdict(&loaded, &facts, &mut Scratch::new()) {
        Outcome::Need(need) => (need.iter().collect(), None),
        Outcome::Final(ruling) => (Vec::new(), Some(ruling)),
    }
}

#[test]
fn nothing_is_asked_in_vain() {
    use Mode::{Audit, Enforce};
    use Verb::{Allow, Reject};
    let by = |rule| Some(Ruling::By(RuleId(rule)));
    let not = |is| Is::Not(Box::new(is));
    let none: [Fact; 0] = [];
    let at_rcpt = |rules| asked(rules, false);
    for (what, have, want, ruling) in [
        (
            "a rule that holds ranks before content",
            at_rcpt(vec![(Reject, Enforce, sender()), (Allow, Enforce, subject())]),
            none.as_slice(),
            by(0),
        ),
        (
            "and before a lookup",
            at_rcpt(vec![(Allow, Enforce, sender()), (Reject, Enforce, listed())]),
            &[],
            by(0),
        ),
        (
            "the envelope rules the content rule out",
            at_rcpt(vec![(Reject, Enforce, Is::All(vec![other_sender(), body()]))]),
            &[],
            Some(Ruling::Default),
        ),
        (
            "and the rule with a lookup",
            at_rcpt(vec![(Reject, Enforce, Is::All(vec![listed(), not(sender())]))]),
            &[],
            Some(Ruling::Default),
        ),
        (
            "an alternative holds already",
            at_rcpt(vec![(Reject, Enforce, Is::Any(vec![body(), listed(), sender()]))]),
            &[],
            by(0),
        ),
        ("an audit rule never asks", at_rcpt(vec![(Reject, Audit, body())]), &[], Some(Ruling::Default)),
        (
            "the header rules the body out",
            asked(vec![(Reject, Enforce, Is::All(vec![subject(), body()]))], true),
            &[],
            Some(Ruling::Default),
        ),
        (
            "of two open rules the first one asks",
            at_rcpt(vec![(Reject, Enforce, subject()), (Reject, Enforce, body())]),
            &[Fact::Subject],
            None,
        ),
        (
            "what is settled of a rule does not ask",
            at_rcpt(vec![(
                Reject,
                Enforce,
                Is::All(vec![sender(), not(Is::Any(vec![other_sender(), body()]))]),
            )]),
            &[Fact::Body],
            None,
        ),
        (
            "a lookup that makes the difference is asked for",
            at_rcpt(vec![(Reject, Enforce, Is::All(vec![sender(), listed()])), (Allow, Enforce, sender())]),
            &[Fact::ClientListed],
            None,
        ),
    ] {
        assert_eq!(have, (want.to_vec(), ruling), "{what}");
    }
}

/// The tests of a condition that are pending; not where one stands in it twice, nor where the answer to
/// one failed: unknown and pending is pending, though a yes would leave it unknown, so something may be
/// asked that no longer matters.
fn pending(reference: &Reference<'_>, id: u32, facts: &Facts<'_>, out: &mut Vec<u32>) -> bool {
    match &reference.table.conditions[id as usize] {
        Condition::True => true,
        Condition::Test(test) => {
            match reference.test(*test, facts) {
                Truth::Pending => {}
                known => return known != Truth::Unknown,
            }
            let fresh = !out.contains(test);
            out.push(*test);
            fresh
        }
        Condition::Not(child) => pending(reference, *child, facts, out),
        Condition::All(all) | Condition::Any(all) => all.iter().all(|c| pending(reference, *c, facts, out)),
    }
}

/// The value of a condition with pending tests set as given.
fn with(reference: &Reference<'_>, id: u32, facts: &Facts<'_>, set: &BTreeMap<u32, bool>) -> Truth {
    match &reference.table.conditions[id as usize] {
        Condition::True => Truth::Yes,
        Condition::Test(test) => match set.get(test) {
            Some(holds) => Truth::of(*holds),
            None => reference.test(*test, facts),
        },
        Condition::Not(child) => with(reference, *child, facts, set).negate(),
        Condition::All(all) => {
            all.iter().map(|c| with(reference, *c, facts, set)).fold(Truth::Yes, Truth::and)
        }
        Condition::Any(all) => all.iter().map(|c| with(reference, *c, facts, set)).fold(Truth::No, Truth::or),
    }
}

/// Whether the tests on a fact can turn a condition, whatever the other pending ones are.
fn turns(reference: &Reference<'_>, id: u32, facts: &Facts<'_>, tests: &[u32], fact: Fact) -> bool {
    let all = 1u32 << tests.len();
    let values: Vec<Truth> = (0..all)
        .map(|bits| {
            let set = tests.iter().enumerate().map(|(at, test)| (*test, bits >> at & 1 == 1)).collect();
            with(reference, id, facts, &set)
        })
        .collect();
    let of_fact: u32 = (0..tests.len())
        .filter(|at| reference.table.predicates[tests[*at] as usize].fact == fact)
        .map(|at| 1 << at)
        .sum();
    (0..all)
        .any(|a| (0..all).any(|b| a & !of_fact == b & !of_fact && values[a as usize] != values[b as usize]))
}

/// How many needs were looked at closely.
fn run(seed: u64) -> usize {
    let mut rng = Rng(seed);
    let table = random::table(&mut rng, 1 + seed as usize % 12);
    let loaded = load(&table);
    let reference = Reference::new(&table);
    let mut mail = Mail::random(&mut rng, 12);
    let mut scratch = Scratch::new();
    let mut looked = 0;
    for stage in [Stage::Connect, Stage::Mail, Stage::Rcpt, Stage::Data] {
        scratch.begin(&loaded);
        let early = mail.at(stage, 0);
        match verdict(&loaded, &early, &mut scratch) {
            Outcome::Final(ruling) if stage >= Stage::Rcpt => {
                for _ in 0..4 {
                    let counted = mail.recipient_count;
                    mail.new_content(&mut rng, 12);
                    if stage == Stage::Data {
                        mail.recipient_count = counted;
                    }
                    let whole = reference.verdict(&mail.at(Stage::Body, 0));
                    assert_eq!(whole, Outcome::Final(ruling), "final at {stage:?}, changed by the content");
                }
            }
            Outcome::Final(ruling) => {
                let whole = reference.verdict(&mail.at(Stage::Body, 0));
                assert_eq!(whole, Outcome::Final(ruling), "final at {stage:?}, changed later");
            }
            Outcome::Need(need) => {
                assert!(!need.is_empty());
                let open = reference.candidates(Kind::Verdict, &early).into_iter().find(|(id, value)| {
                    *value == Truth::Pending && table.rules[id.0 as usize].mode == Mode::Enforce
                });
                let condition = table.rules[open.unwrap().0.0 as usize].condition;
                let mut tests = Vec::new();
                if pending(&reference, condition, &early, &mut tests) && tests.len() <= 8 {
                    looked += 1;
                    for fact in need.iter() {
                        assert!(
                            turns(&reference, condition, &early, &tests, fact),
                            "{fact:?} makes no difference"
                        );
                    }
                }
            }
        }
    }
    looked
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_final_stays_and_what_is_asked_matters(seed: u64) {
        run(seed);
    }
}

#[test]
fn needs_are_looked_at() {
    let looked: usize = (1..200).map(run).sum();
    assert!(looked > 100, "{looked}");
}

/// A body that is known but never looked at costs nothing: its scan waits for a rule that hangs on it.
#[test]
fn a_settled_verdict_scans_no_body() {
    let loaded = load(&table(vec![
        (Verb::Reject, Mode::Enforce, sender()),
        (Verb::Reject, Mode::Enforce, body()),
        (Verb::Reject, Mode::Enforce, Is::All(vec![other_sender(), body()])),
    ]));
    let ann = Address::parse("ann@a.example").unwrap();
    let content = BodyFacts { texts: vec!["an offer".to_owned()], ..BodyFacts::default() };
    let facts = Facts { sender: Slot::Known(&ann), body: Slot::Known(&content), ..Facts::default() };
    let mut scratch = Scratch::new();
    scratch.begin(&loaded);
    assert_eq!(verdict(&loaded, &facts, &mut scratch), Outcome::Final(Ruling::By(RuleId(0))));
    assert_eq!(scratch.looked_up(&loaded).iter().collect::<Vec<_>>(), [Fact::Sender]);
}
