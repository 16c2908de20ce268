//! From a session to the journal: who, to whom, which message, and what was decided.
//!
//! Does nothing where no journal is kept. Reads no clock: the journal stamps its entries.

use super::context::Context;
use super::session::Session;
use crate::envelope::{Fate, Refusal};
use crate::journal::{Draft, Entry, Recipient, Rule, VERSION};
use crate::verdict::peer::Peer;
use crate::verdict::transaction::Transaction;
use edict_table::load::Loaded;

fn recipient(address: &str, verdict: &str) -> Recipient {
    Recipient { address: address.to_owned(), verdict: verdict.to_owned() }
}

fn about(peer: &Peer, table: &Loaded, transaction: Option<&Transaction>) -> Entry {
    let word = |fate| match fate {
        Fate::Deliver => "accept",
        Fate::Hold => "hold",
        Fate::Discard => "discard",
    };
    let trusted = transaction.map_or_else(|| table.is_trusted(peer.ip), |t| t.trusted);
    Entry {
        version: VERSION,
        time: 0,
        id: transaction.map(|t| t.id.to_string()).unwrap_or_default(),
        stage: String::new(),
        verdict: String::new(),
        reply: String::new(),
        rule: None,
        table: table.digest().to_owned(),
        client: peer.client(trusted),
        sender: transaction.map(|t| t.reverse.wire.clone()),
        recipients: transaction
            .map(|t| t.settled().map(|(wire, fate, _)| recipient(wire, word(fate))).collect())
            .unwrap_or_default(),
        size: 0,
        header: None,
        body_left_out: false,
        body: None,
    }
}

/// What is known of a message whose verdicts are final, before it leaves the session.
pub(super) fn draft(
    cx: &Context,
    peer: &Peer,
    transaction: &Transaction,
    message: &[u8],
) -> Option<Box<Draft>> {
    let journal = cx.journal.as_ref()?;
    journal.draft(about(peer, &transaction.table, Some(transaction)), message).map(Box::new)
}

/// A draft with what came of it.
pub(super) fn finish(
    session: &Session,
    draft: Option<Box<Draft>>,
    verdict: &str,
    rule: Option<&(String, String, u32)>,
    reply: &str,
) {
    if let (Some(journal), Some(mut draft)) = (&session.cx.journal, draft) {
        let entry = &mut draft.entry;
        entry.stage = "accept".to_owned();
        entry.verdict = verdict.to_owned();
        entry.rule = rule.cloned().map(|(name, file, line)| Rule { name, file, line });
        entry.reply = reply.to_owned();
        journal.finish(*draft);
    }
}

/// A client, a sender, a recipient (`to`) or a message was refused.
pub(super) fn refused(
    session: &Session,
    table: &Loaded,
    stage: &str,
    to: Option<&str>,
    message: Option<&[u8]>,
    refusal: &Refusal,
) {
    let Some(journal) = &session.cx.journal else { return };
    let mut entry = about(&session.peer, table, session.transaction.as_deref());
    entry.verdict = if refusal.reply.starts_with('5') { "reject" } else { "defer" }.to_owned();
    if let Some(to) = to.filter(|_| stage == "rcpt") {
        entry.recipients.push(recipient(to, &entry.verdict));
    }
    stage.clone_into(&mut entry.stage);
    entry.rule = refusal.rule.clone().map(|(name, file, line)| Rule { name, file, line });
    entry.reply.clone_from(&refusal.reply);
    match message {
        Some(message) => journal.draft(entry, message).into_iter().for_each(|draft| journal.finish(draft)),
        None => journal.add(entry),
    }
}
