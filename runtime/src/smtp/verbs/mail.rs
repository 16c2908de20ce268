//! MAIL FROM (RFC 5321 4.1.1.2): takes the live table and begins a transaction.

use super::{Flow, Turn};
use crate::envelope::{Refusal, ReversePath};
use crate::smtp::escape::Clean;
use crate::smtp::log;
use crate::smtp::params::{self, MailParams};
use crate::smtp::path::{self, Path};
use crate::smtp::session::{Session, Step};
use crate::verdict::connect::{What, count};
use crate::verdict::transaction::{Beginning, Gate, Transaction};
use edict_table::load::Loaded;
use edict_table::model::Auth;
use std::sync::Arc;

pub(super) fn check(session: &Session, _: &Turn<'_>) -> Result<(), &'static str> {
    let table = session.table();
    let profile = table.profile();
    if session.is_draining() {
        return Err("421 4.3.2 this server goes down, try again later");
    }
    if session.transaction.is_some() {
        return Err("503 5.5.1 a transaction is open already");
    }
    if session.login_is_void() {
        return Err("421 4.7.0 this login is good no longer, connect again");
    }
    if profile.helo_required && session.peer.hello.is_none() {
        return Err("503 5.5.1 say EHLO first");
    }
    if session.endpoint.role.is_submission()
        && profile.auth == Auth::Required
        && session.peer.login.is_none()
        && !(profile.auth_for_trusted_skipped && table.is_trusted(session.peer.ip))
    {
        return Err("530 5.7.0 log in first");
    }
    Ok(())
}

pub(super) fn run(session: &mut Session, turn: &Turn<'_>) -> Flow {
    let table = session.cx.live.current();
    match envelope(session, turn, &table) {
        Ok((reverse, sender, announced)) => begin(session, turn, table, reverse, sender, announced),
        Err(reply) => {
            session.say(reply);
            Flow::Done
        }
    }
}

type Envelope = (ReversePath, Option<edict_table::value::Address>, Option<u64>);

fn envelope(session: &Session, turn: &Turn<'_>, table: &Loaded) -> Result<Envelope, &'static str> {
    let profile = table.profile();
    let (path, rest) = path::read(turn.args, "FROM", profile.strict_envelope)
        .map_err(|_| "501 5.1.7 this is no sender address (RFC 5321 4.1.2)")?;
    let params = if session.peer.hello.as_ref().is_some_and(|h| h.esmtp) {
        params::mail(rest, session.auth_is_on(table))?
    } else if rest.trim_matches(' ').is_empty() {
        MailParams::default()
    } else {
        return Err("555 5.5.4 parameters need EHLO");
    };
    let (wire, sender) = match path {
        Path::Null => (String::new(), None),
        Path::Mailbox(mailbox) => {
            if mailbox.is_utf8() && !params.smtputf8 {
                return Err("553 5.6.7 this address needs SMTPUTF8");
            }
            let wire = mailbox.wire();
            let address = mailbox.address.ok_or("501 5.1.7 a sender address needs a domain")?;
            (wire, Some(address))
        }
    };
    if params.size.is_some_and(|size| size > profile.max_message_size) {
        return Err("552 5.3.4 the message is longer than this server takes");
    }
    let MailParams { size, body, smtputf8, ret, envid } = params;
    Ok((ReversePath { wire, body, smtputf8, ret, envid }, sender, size))
}

fn begin(
    session: &mut Session,
    turn: &Turn<'_>,
    table: Arc<Loaded>,
    reverse: ReversePath,
    sender: Option<edict_table::value::Address>,
    announced: Option<u64>,
) -> Flow {
    let users = session.cx.users.load();
    let beginning = Beginning {
        id: session.cx.acceptor.next_id(),
        table: Arc::clone(&table),
        scratch: session.cx.take_scratch(),
        reverse,
        sender,
        announced,
        now: turn.now,
    };
    let mut transaction = Transaction::begin(beginning, &session.peer, &users);
    let refusal = match transaction.at_mail(&session.peer) {
        Gate::Refuse(refusal) => Err(refusal),
        Gate::Pass => limits(session, &mut transaction, turn.now),
        Gate::Ask(need) => {
            let questions = session.peer.questions(&table, need, transaction.sender.as_ref());
            session.cx.put_scratch(transaction.into_scratch());
            return Flow::Again(Step::Look(questions));
        }
        Gate::Probe(_) => Ok(()),
    };
    match refusal {
        Ok(()) => {
            session.transaction = Some(Box::new(transaction));
            session.say("250 2.1.0 Ok");
        }
        Err(refusal) => {
            let from = format!("<{}>", Clean(&transaction.reverse.wire));
            log::refused_for(session, &table, "mail", &from, "", &refusal);
            let findings = transaction.findings();
            log::audit_early(session, &table, "mail", &transaction.reverse.wire, &findings);
            session.cx.put_scratch(transaction.into_scratch());
            session.say(&refusal.reply);
        }
    }
    Flow::Done
}

fn limits(session: &Session, transaction: &mut Transaction, now: i64) -> Result<(), Refusal> {
    transaction.with_scratch(|this, scratch| {
        let facts = this.facts(&session.peer);
        count(&this.table, &facts, scratch, &session.cx.limits, What::Message, now, &mut Vec::new())
    })
}
