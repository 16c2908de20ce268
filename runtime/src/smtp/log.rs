//! One log line for each transaction, and one for each refusal. Never bodies, never passwords.
//!
//! Whatever a client gave is shown through [`Clean`]: no CR, ESC or NUL reaches a log.

use super::context::Metrics;
use super::escape::Clean;
use super::journal;
use super::session::{Session, summary};
use crate::acceptor::Receipt;
use crate::envelope::{Fate, MessageId, Refusal};
use crate::verdict::audit::{About, Finding};
use crate::verdict::transaction::Transaction;
use edict_table::load::Loaded;
use std::borrow::Cow;
use std::fmt::Write;

/// Recipients named in one line; the rest are counted.
const MAX_NAMED: usize = 20;

/// What the log line of an accepted message needs once the message has left the session.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: MessageId,
    pub(super) all_discarded: bool,
    pub(super) verdict: &'static str,
    pub(super) rule: Option<(String, String, u32)>,
    sender: String,
    recipients: String,
    size: u64,
    /// For the journal.
    pub(super) draft: Option<Box<crate::journal::Draft>>,
}

impl Entry {
    /// Of a transaction whose verdicts are final.
    pub(super) fn new(transaction: &Transaction, size: u64) -> Self {
        let (verdict, rule, all_discarded) = summary(transaction);
        Self {
            id: transaction.id,
            all_discarded,
            verdict,
            rule,
            sender: sender(transaction),
            recipients: recipients(transaction),
            size,
            draft: None,
        }
    }
}

fn sender(transaction: &Transaction) -> String {
    ["<", &Clean(&transaction.reverse.wire).text(), ">"].concat()
}

fn recipients(transaction: &Transaction) -> String {
    let mut text = String::with_capacity(64);
    for (place, (wire, fate, _)) in transaction.settled().enumerate() {
        if place == MAX_NAMED {
            let _ = write!(text, ",and {} more", transaction.accepted() - MAX_NAMED);
            break;
        }
        let comma = if place == 0 { "" } else { "," };
        let mark = match fate {
            Fate::Deliver => "",
            Fate::Hold => " (hold)",
            Fate::Discard => " (discard)",
        };
        text.extend([comma, "<", &Clean(wire).text(), ">", mark]);
    }
    text
}

/// The deciding rule's name, and where it stands; `-` where no rule decided.
fn rule(rule: Option<&(String, String, u32)>) -> (Cow<'_, str>, Cow<'_, str>) {
    let none = (Cow::Borrowed("-"), Cow::Borrowed("-"));
    rule.map_or(none, |(name, file, line)| (Clean(name).text(), format!("{}:{line}", Clean(file)).into()))
}

fn digest(table: &Loaded) -> &str {
    table.digest().get(..12).unwrap_or_default()
}

fn helo(session: &Session) -> Cow<'_, str> {
    Clean(session.peer.hello.as_ref().map_or("", |h| h.text.as_str())).text()
}

fn user(session: &Session) -> Cow<'_, str> {
    Clean(session.peer.login.as_ref().map_or("", |l| l.name.as_str())).text()
}

/// A message was taken.
pub(super) fn accepted(session: &Session, table: &Loaded, entry: &Entry, receipt: &Receipt, reply: &str) {
    let (rule, at) = rule(entry.rule.as_ref());
    let effects = match receipt.effects.as_slice() {
        [only] => Cow::Borrowed(only.as_str()),
        all => Cow::Owned(all.join("; ")),
    };
    tracing::info!(
        target: "edict::mail",
        id = %entry.id,
        client = &*session.peer.ip_text,
        helo = &*helo(session),
        user = &*user(session),
        sender = entry.sender,
        recipients = entry.recipients,
        size = entry.size,
        verdict = entry.verdict,
        rule = &*rule,
        at = &*at,
        table = digest(table),
        reply = &*Clean(reply).text(),
        effects = &*Clean(&effects).text(),
        "accepted"
    );
}

/// A connection, a sender, a recipient (in `entry` or not yet) or a message was refused.
pub(super) fn refused(
    session: &Session,
    table: &Loaded,
    stage: &str,
    entry: Option<&Entry>,
    refusal: &Refusal,
) {
    let transaction = session.transaction.as_deref();
    let (from, to) = match (entry, transaction) {
        (Some(entry), _) => (entry.sender.clone(), entry.recipients.clone()),
        (None, Some(transaction)) => (sender(transaction), recipients(transaction)),
        (None, None) => Default::default(),
    };
    refused_for(session, table, stage, &from, &to, refusal);
}

pub(super) fn verdict(refusal: &Refusal) -> &'static str {
    if refusal.reply.starts_with('5') { "reject" } else { "defer" }
}

/// The same with sender and recipients given; both must be clean.
pub(super) fn refused_for(
    session: &Session,
    table: &Loaded,
    stage: &str,
    from: &str,
    to: &str,
    refusal: &Refusal,
) {
    Metrics::bump(&session.cx.metrics.refused);
    let (rule, at) = rule(refusal.rule.as_ref());
    let verdict = verdict(refusal);
    let id = session.transaction.as_ref().map(|t| t.id.to_string()).unwrap_or_default();
    tracing::info!(
        target: "edict::mail",
        id,
        client = &*session.peer.ip_text,
        helo = &*helo(session),
        user = &*user(session),
        sender = from,
        recipients = to,
        stage,
        verdict,
        rule = &*rule,
        at = &*at,
        table = digest(table),
        reply = &*Clean(&refusal.reply).text(),
        "refused"
    );
    // A message's own entry is written where its bytes are.
    if !matches!(stage, "end-of-data" | "accept") {
        let to = to.trim_start_matches('<').trim_end_matches('>');
        journal::refused(session, table, stage, Some(to), None, refusal);
    }
}

/// What rules on trial would have changed.
pub(super) fn audit(about: &About, stage: &str, findings: &[Finding]) {
    for finding in findings {
        let (rule, at) = rule(finding.rule.as_ref());
        tracing::info!(
            target: "edict::mail",
            id = about.id,
            client = %about.client,
            sender = %format_args!("<{}>", Clean(&about.sender)),
            recipient = %format_args!("<{}>", Clean(&finding.recipient)),
            stage,
            rule = &*rule,
            at = &*at,
            would = %Clean(&finding.would),
            instead = %Clean(&finding.instead),
            table = about.table.get(..12).unwrap_or_default(),
            "audit"
        );
    }
}

/// The same of a client, a sender or a recipient that was refused.
pub(super) fn audit_early(
    session: &Session,
    table: &Loaded,
    stage: &str,
    sender: &str,
    findings: &[Finding],
) {
    if findings.is_empty() {
        return;
    }
    let about = About {
        id: session.transaction.as_ref().map(|t| t.id.to_string()).unwrap_or_default(),
        client: session.peer.ip,
        sender: sender.to_owned(),
        table: table.digest().to_owned(),
    };
    audit(&about, stage, findings);
}
