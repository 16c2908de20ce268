//! What an SMTP session tells of a mail.

use super::capture::Capture;
use super::mails::Mail;
use super::{Told, USERS};
use crate::office::{Office, now};
use arc_swap::ArcSwap;
use edict_runtime::live::Live;
use edict_runtime::smtp::{Checked, Context, Endpoint, Role, Session, Settings, Step};
use edict_runtime::users::Users;
use edict_runtime::verdict::lookup::{Answer, Question};
use edict_table::facts::Slot;
use edict_table::load::Loaded;
use edict_table::value::Domain;
use std::sync::Arc;

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
                        Question::Name(_) => {
                            let name = Domain::parse("mx.elsewhere.example").unwrap();
                            Answer::Name(Slot::Known(name), Slot::Known(false), Slot::Known(false))
                        }
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
pub(super) fn live(
    table: &Arc<Loaded>,
    office: &Arc<Office>,
    mail: &Mail,
    capture: &Capture,
) -> Vec<Option<Told>> {
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
