//! `explain` tells what a daemon does: generated mails go through `edict explain --format json` and through the SMTP
//! session with the daemon's own actions behind it. Verdict, reply, stage and rule must be the same for each recipient,
//! and for accepted mail so must who gets it, the copies, the disclaimers and the quotas on trial.
//!
//! Where one reply speaks for several recipients they differ by design, and the comparison says how: a stranger's
//! recipient that needs a transaction of its own (452 4.5.3) is not judged here; mail of our own users is refused
//! whole. `EDICT_LONG=n` plays n mails.

use crate::kit::{copy, edict};
use crate::office::{Office, now};
use arc_swap::ArcSwap;
use capture::Capture;
use edict_runtime::live::Live;
use edict_runtime::quota::Amount;
use edict_runtime::smtp::{Checked, Context, Endpoint, Role, Session, Settings, Step};
use edict_runtime::users::Users;
use edict_runtime::verdict::lookup::{Answer, Question};
use edict_table::facts::Slot;
use edict_table::load::Loaded;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

#[path = "../../../../runtime/tests/smtp/capture.rs"]
mod capture;

/// Mailboxes; `explain` takes every local one for real.
const USERS: &str = "ann@example.com:\nbob@example.com:\nann@example.org:\nmany@example.com:\n";

/// A mail and who brings it.
#[derive(Debug)]
struct Mail {
    client: &'static str,
    helo: &'static str,
    login: Option<&'static str>,
    sender: &'static str,
    recipients: Vec<&'static str>,
    message: String,
    /// What the sender has used up.
    used: Amount,
}

/// Small, and the same on each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

fn mail(dice: &mut Dice) -> Mail {
    let clients =
        ["203.0.113.9", "203.0.113.9", "203.0.113.9", "198.51.100.7", "198.51.100.200", "10.1.2.3", "::1"];
    let login = (dice.roll(3) == 0).then_some("ann@example.com");
    let sender = match login {
        Some(_) => dice.pick(&[
            "ann@example.com",
            "ann@example.com",
            "ann@example.com",
            "Ann@Example.NET",
            "ann+x@example.com",
            "support@example.com",
            "sales@example.com",
            "bob@example.com",
            "carl@other.example",
            "<>",
        ]),
        None => dice.pick(&[
            "carl@other.example",
            "friend@bad.example",
            "eve@bad.example",
            "eve@sub.bad.example",
            "slow@other.example",
            "noisy@other.example",
            "odd@other.example",
            "many@other.example",
            "ann@example.com",
            "ann@example.org",
            "ann@example.net",
            "ann@passed.example",
            "zoe@passed.example",
            "<>",
        ]),
    };
    let pool = [
        "ann@example.com",
        "bob@example.com",
        "Ann+list@Example.COM",
        "ann@example.net",
        "ann@example.org",
        "sales@example.com",
        "team@example.com",
        "postmaster@example.com",
        "ann@passed.example",
        "zoe@passed.example",
        "anybody@open.example",
        "far@elsewhere.example",
        "far@elsewhere.example",
        "off@third.example",
        "far%elsewhere.example@example.com",
        "elsewhere.example!far@example.com",
        "\"far@elsewhere.example\"@example.com",
        "far@[192.0.2.1]",
    ];
    let client = dice.pick(&clients);
    let ours = login.is_some() || client.starts_with("10.") || client == "::1";
    let count = dice.pick(&[1, 1, 1, 1, 2, 2, 3, 4]);
    let mut recipients: Vec<&str> = Vec::new();
    for _ in 0..count {
        // Half of what our users write leaves.
        let leaves = login.is_some() && dice.roll(2) == 0;
        let one =
            if leaves { dice.pick(&["far@elsewhere.example", "team@example.com"]) } else { dice.pick(&pool) };
        // The guard keeps these from strangers; to our own they are mailboxes that only the daemon knows not to be there.
        let odd = ours && one.rsplit_once('@').is_some_and(|(local, _)| local.contains(['%', '!', '@']));
        if !odd && !recipients.contains(&one) {
            recipients.push(one);
        }
    }
    if recipients.is_empty() {
        recipients.push("ann@example.com");
    }
    let from = match login {
        Some(_) => {
            dice.pick(&["ann@example.com", "ann@example.com", "Ann <ann+x@example.com>", "bob@example.com"])
        }
        None => "carl@other.example",
    };
    let used = Amount {
        messages: dice.pick(&[0, 0, 9, 10, 11, 12, 12]),
        recipients: dice.pick(&[0, 0, 18, 19, 20]),
        bytes: dice.pick(&[0, 0, 97 << 10, 100 << 10]),
    };
    let subject = dice.pick(&[
        "hello",
        "minutes",
        "minutes",
        "monthly report",
        "your invoice",
        "lottery",
        "monthly report",
        "Re: INVOICE 7",
        "=?utf-8?q?inv=6Fice?=",
    ]);
    let mut message = format!("From: {from}\r\nSubject: {subject}\r\n");
    let hops = dice.pick(&[0, 0, 0, 1, 3, 4]);
    message.push_str(&"Received: from a by b\r\n".repeat(hops));
    message.push_str(dice.pick(&[
        "",
        "",
        "",
        "X-Campaign: spring-7\r\n",
        "Auto-Submitted: auto-forwarded\r\n",
    ]));
    let text = dice.pick(&["text", "to the casino", "nothing of note"]);
    match dice.roll(6) {
        0 => {
            let name = dice.pick(&["a.exe", "a.pdf"]);
            let long = "x".repeat(dice.pick(&[10, 1500]));
            message.push_str(&format!(
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{text}\r\n--b\r\n\
                 Content-Type: application/octet-stream; name={name}\r\nContent-Disposition: attachment; \
                 filename={name}\r\n\r\n{long}\r\n--b--\r\n"
            ));
        }
        1 => message.push_str(&format!(
            "\r\n{text}\r\n{}",
            "0123456789abcde\r\n".repeat(dice.pick(&[100, 200, 300]))
        )),
        _ => message.push_str(&format!("\r\n{text}\r\n")),
    }
    let helo = dice.pick(&["client.example", "client.example", "localhost", "[192.0.2.1]"]);
    Mail { client, helo, login, sender, recipients, message, used }
}

/// What a recipient is told, and when, and by which rule.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Told {
    verdict: String,
    reply: Option<String>,
    stage: String,
    rule: Option<String>,
}

/// Drives a session; `say` gives the replies to some lines.
struct Wire {
    session: Session,
    office: Arc<Office>,
}

impl Wire {
    fn say(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut waiting = bytes.to_vec();
        let mut out = Vec::new();
        loop {
            let (used, step) = self.session.step(&waiting, now());
            waiting.drain(..used);
            out.append(self.session.output());
            match step {
                Step::Read | Step::Close => break,
                Step::Write | Step::Wait(_) => {}
                // `explain` takes a login for proved.
                Step::Verify { name, .. } => self.session.verified(Checked::Right(name), now()),
                Step::Accept(incoming) => {
                    let receipt = self.office.take(*incoming);
                    self.session.accepted(receipt);
                }
                Step::Look(questions) => {
                    // Names that nobody speaks of resolve, as in `explain`.
                    let answer = |question: Question| match question {
                        Question::Name(_) => Answer::Name(Slot::Absent, Slot::Known(false)),
                        Question::Helo(_) => Answer::Helo(Slot::Known(false)),
                        Question::Sender(domain) => Answer::Sender(domain, Slot::Known(false)),
                        other => other.unknown(),
                    };
                    self.session.answered(questions.into_iter().map(answer).collect());
                }
                other => panic!("{other:?}"),
            }
        }
        out.append(self.session.output());
        let text = String::from_utf8(out).unwrap();
        text.lines().filter(|line| line.as_bytes().get(3) == Some(&b' ')).map(str::to_owned).collect()
    }

    fn one(&mut self, line: &str) -> String {
        let replies = self.say(format!("{line}\r\n").as_bytes());
        assert_eq!(replies.len(), 1, "{line}: {replies:?}");
        replies[0].clone()
    }
}

/// What the log calls the rule.
fn rule_of(capture: &Capture) -> Option<String> {
    let line = capture.take().into_iter().rfind(|line| line["message"] != "audit")?;
    let rule = line["rule"].clone();
    (rule != "-").then_some(rule)
}

fn refused(reply: &str, stage: &str, capture: &Capture) -> Told {
    let verdict = if reply.starts_with('4') { "defer" } else { "reject" };
    Told {
        verdict: verdict.to_owned(),
        reply: Some(reply.to_owned()),
        stage: stage.to_owned(),
        rule: rule_of(capture),
    }
}

/// What the session does with a mail: for each recipient what it is told, none where it would have to come back.
fn live(table: &Arc<Loaded>, office: &Arc<Office>, mail: &Mail, capture: &Capture) -> Vec<Option<Told>> {
    let users = Arc::new(ArcSwap::from_pointee(Users::parse(USERS).unwrap()));
    let live = Arc::new(Live::new(Arc::clone(table)));
    let acceptor: Arc<dyn edict_runtime::acceptor::Acceptor> = Arc::<Office>::clone(office);
    let context = Context::new(live, acceptor, users, Settings::default());
    let client = mail.client.parse().unwrap();
    let mut wire = Wire {
        session: Session::new(Arc::new(context), Endpoint { role: Role::Mx, ..Endpoint::default() }, client),
        office: Arc::clone(office),
    };
    let all = |told: Told| mail.recipients.iter().map(|_| Some(told.clone())).collect();
    let greeting = wire.say(b"").concat();
    if !greeting.starts_with('2') {
        return all(refused(&greeting, "connect", capture));
    }
    wire.one(&format!("EHLO {}", mail.helo));
    if mail.login.is_some() {
        assert!(wire.one("AUTH PLAIN AGFubkBleGFtcGxlLmNvbQB4").starts_with("235"));
    }
    let sender = mail.sender.trim_matches(['<', '>']);
    let reply = wire.one(&format!("MAIL FROM:<{sender}>"));
    if !reply.starts_with('2') {
        return all(refused(&reply, "mail", capture));
    }
    let mut told: Vec<Option<Option<Told>>> = Vec::new();
    for recipient in &mail.recipients {
        capture.take();
        let reply = wire.one(&format!("RCPT TO:<{recipient}>"));
        told.push(match reply.as_str() {
            "452 4.5.3 this recipient needs a transaction of its own" => Some(None),
            reply if reply.starts_with('2') => None,
            reply => Some(Some(refused(reply, "rcpt", capture))),
        });
    }
    if told.iter().all(Option::is_some) {
        return told.into_iter().flatten().collect();
    }
    capture.take();
    let mut reply = wire.one("DATA");
    let mut stage = "data";
    if reply.starts_with('3') {
        let stuffed = mail.message.replace("\r\n.", "\r\n..");
        reply = wire.say(format!("{stuffed}.\r\n").as_bytes()).concat();
        stage = "end-of-data";
    }
    let end = match reply.starts_with('2') {
        false => refused(&reply, stage, capture),
        true => {
            let verdict = capture.take().into_iter().rfind(|line| line["message"] == "accepted").unwrap();
            // The log tells the fate of each recipient beside the verdict of the whole.
            let fates = verdict["recipients"].clone();
            return told
                .into_iter()
                .zip(&mail.recipients)
                .map(|(told, recipient)| told.unwrap_or_else(|| Some(accepted(&fates, recipient))))
                .collect();
        }
    };
    let end = Some(end);
    told.into_iter().map(|told| told.unwrap_or_else(|| end.clone())).collect()
}

/// What the log says of an accepted recipient: its fate alone.
fn accepted(fates: &str, recipient: &str) -> Told {
    // A domain alias is replaced in the log.
    let shown = format!("<{}>", recipient.replace("@example.net", "@example.com"));
    let rest = fates.split_once(&shown).map_or("", |(_, rest)| rest);
    let verdict = if rest.starts_with(" (hold)") {
        "hold"
    } else if rest.starts_with(" (discard)") {
        "discard"
    } else {
        "accept"
    };
    Told { verdict: verdict.to_owned(), reply: None, stage: String::new(), rule: None }
}

/// What `explain` says.
fn explained(folder: &Path, mail: &Mail) -> (Value, Vec<Told>) {
    std::fs::write(folder.join("mail.eml"), &mail.message).unwrap();
    let mut args = vec!["explain", "table", "--format", "json", "--message", "mail.eml"];
    args.extend(["--client", mail.client, "--helo", mail.helo, "--sender", mail.sender]);
    for recipient in &mail.recipients {
        args.extend(["--recipient", recipient]);
    }
    if let Some(login) = mail.login {
        args.extend(["--auth", login]);
    }
    let Amount { messages, recipients, bytes } = mail.used;
    let used = [format!("{messages} messages"), format!("{recipients} recipients"), format!("{bytes} B")];
    args.extend(used.iter().flat_map(|used| ["--used", used.as_str()]));
    let done = edict(folder, &args);
    assert_eq!(done.code, 0, "{mail:?}\n{}", done.err);
    let value: Value = serde_json::from_str(&done.out).unwrap();
    let told = value["recipients"].as_array().unwrap().iter().map(told_of).collect();
    (value, told)
}

fn told_of(value: &Value) -> Told {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Told {
        verdict: text(&value["verdict"]).unwrap(),
        reply: text(&value["reply"]),
        stage: text(&value["stage"]).unwrap(),
        rule: text(&value["rule"]["name"]),
    }
}

/// What `explain` says is done to accepted mail, as [`Office::done`] tells it.
fn done(whole: &Value) -> BTreeSet<String> {
    let list = |value: &Value| value.as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut out = BTreeSet::new();
    for end in list(&whole["recipients"]).iter().flat_map(|one| list(&one["final"])) {
        out.insert(format!("reaches {}", text(&end["address"])));
        out.extend(list(&end["disclaimer"]).iter().map(|name| format!("disclaimer {name}")));
    }
    out.extend(list(&whole["copies"]).iter().map(|c| format!("bcc {} to {}", c["rule"], text(&c["to"]))));
    out.extend(list(&whole["notes"]).iter().map(text));
    out
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
