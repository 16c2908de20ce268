//! `explain` tells what a daemon does: generated mails go through `edict explain --format json` and through the SMTP
//! session with the daemon's own actions behind it. Verdict, reply, stage and rule must be the same for each recipient,
//! and for accepted mail so must who gets it, the copies, the disclaimers and the quotas on trial.
//!
//! Where one reply speaks for several recipients they differ by design, and the comparison says how: a stranger's
//! recipient that needs a transaction of its own (452 4.5.3) is not judged here; mail of our own users is refused
//! whole. `EDICT_LONG=n` plays n mails.

use crate::kit::{copy, edict};
use crate::office::Office;
use capture::Capture;
use edict_table::load::Loaded;
use explained::{done, explained, told_of};
use mails::{Dice, mail};
use session::live;
use std::collections::BTreeSet;
use std::sync::Arc;

#[path = "../../../../runtime/tests/smtp/capture.rs"]
mod capture;
mod explained;
mod mails;
mod session;

/// Mailboxes; `explain` takes every local one for real.
const USERS: &str = "ann@example.com:\nbob@example.com:\nann@example.org:\nmany@example.com:\n";

/// What a recipient is told, and when, and by which rule.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Told {
    verdict: String,
    reply: Option<String>,
    stage: String,
    rule: Option<String>,
}

/// Whether both tell the same of one recipient.
fn agree(live: &Told, explained: &Told) -> bool {
    match (&live.reply, &explained.reply) {
        // Who is accepted by which rule is told by the verdict; the log names one rule for all.
        (None, None) => live.verdict == explained.verdict,
        (Some(is), Some(want)) => {
            // To our own users the reply adds rule and recipients.
            is.starts_with(want.as_str())
                && (live.verdict.as_str(), live.stage.as_str(), &live.rule)
                    == (explained.verdict.as_str(), explained.stage.as_str(), &explained.rule)
        }
        _ => false,
    }
}

#[test]
fn explain_tells_what_a_session_does() {
    let folder = copy("live");
    let built = edict(folder.path(), &["build", "rules", "-o", "table"]);
    assert_eq!(built.code, 0, "{}", built.err);
    let bytes = std::fs::read(folder.path().join("table")).unwrap();
    let table = Arc::new(Loaded::new(Arc::new(bytes)).unwrap());
    let count: usize = std::env::var("EDICT_LONG").map_or(400, |n| n.parse().unwrap());
    let office = Arc::new(Office::open(USERS));
    let mut dice = Dice(7);
    let mut failures = Vec::new();
    let mut seen = BTreeSet::new();
    let mut effects = BTreeSet::new();
    let mut skipped = 0;
    for number in 0..count {
        let mail = mail(&mut dice);
        let capture = Capture::default();
        office.used(&table, mail.login, mail.sender, mail.client, mail.used);
        let live = capture.run(|| live(&table, &office, &mail, &capture));
        let (whole, explained) = explained(folder.path(), &mail);
        // What is refused whole after every verdict: a quota, a disclaimer.
        let late = live.iter().flatten().find(|told| told.stage == "end-of-data");
        if let Some(told) = late.filter(|_| whole["verdict"] != "accept") {
            let whole = told_of(&whole);
            if agree(told, &whole) {
                seen.insert((whole.verdict, whole.stage, whole.rule, whole.reply));
                continue;
            }
        }
        let parted = live.iter().any(Option::is_none);
        if whole["verdict"] == "accept" && !parted {
            let (is, want) = (office.done(), done(&whole));
            if is != want {
                failures.push(format!("{number}: {mail:?}\ndone      {is:?}\nexplained {want:?}"));
            }
            effects.extend(want);
        }
        // Mail that one recipient's refusal refuses whole: that refusal is what the whole is told.
        let submitted = live
            .iter()
            .flatten()
            .any(|told| told.stage == "end-of-data" && told.reply.as_ref().is_some_and(|r| r.ends_with(')')));
        if submitted && parted {
            skipped += live.len();
            continue;
        }
        if submitted && mail.recipients.len() > 1 {
            let told = live.iter().flatten().find(|told| told.stage == "end-of-data").unwrap();
            let wanted = explained.iter().find(|e| agree(told, e));
            if wanted.is_none() || whole["verdict"] == "accept" {
                failures.push(format!("{number}: {mail:?}\nlive {live:?}\nexplained {explained:?}"));
            }
            continue;
        }
        // Who has to come back does not count towards the recipients of this transaction.
        let all = &explained;
        for (place, (live, explained)) in live.iter().zip(all).enumerate() {
            match live {
                Some(told) if parted && told.stage != "rcpt" => skipped += 1,
                Some(_) if parted && explained.reply.as_ref().is_some_and(|r| r.contains("too many")) => {
                    skipped += 1
                }
                None => skipped += 1,
                // One reply refuses for all, also for whom nothing would have been kept.
                Some(told)
                    if explained.verdict == "discard"
                        && told.stage == "end-of-data"
                        && all.iter().any(|other| agree(told, other)) => {}
                Some(live) if agree(live, explained) => {
                    seen.insert((
                        live.verdict.clone(),
                        live.stage.clone(),
                        live.rule.clone(),
                        live.reply.clone(),
                    ));
                }
                Some(live) => failures.push(format!(
                    "{number}, {}: {mail:?}\nlive      {live:?}\nexplained {explained:?}",
                    mail.recipients[place]
                )),
            }
        }
    }
    assert!(failures.is_empty(), "{} differ\n{}", failures.len(), failures.join("\n\n"));
    // The comparison is worth something: most of what the rules can say was said.
    assert!(seen.len() >= 20, "{} outcomes: {seen:#?}", seen.len());
    for (stage, said) in [
        ("mail", "553 5.7.1 this login"),
        ("mail", "550 5.1.8 There is no such sender"),
        ("rcpt", "550 5.7.1 relaying denied"),
        ("rcpt", "452 4.7.1 Daily quota"),
        ("rcpt", "450 4.7.1 Enough for third"),
        ("end-of-data", "452 4.7.1 Daily quota"),
        ("end-of-data", "550 5.7.1 Enough reports"),
        ("end-of-data", "550 5.7.1 From must"),
    ] {
        let told = seen.iter().any(|(_, at, _, reply)| {
            at == stage && reply.as_ref().is_some_and(|reply| reply.starts_with(said))
        });
        assert!(told, "no `{said}` at {stage}: {seen:#?}");
    }
    for effect in [
        "reaches far@elsewhere.example",
        "bcc \"archive\" to bob@example.com",
        "disclaimer \"legal\"",
        "audit: quota \"watched\" would refuse",
    ] {
        assert!(effects.contains(effect), "no `{effect}`: {effects:#?}");
    }
    assert!(skipped < count, "{skipped}");
}
