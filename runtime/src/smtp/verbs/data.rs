//! DATA (RFC 5321 4.1.1.4).

use super::{Flow, Turn};
use crate::envelope::Refusal;
use crate::smtp::{log, session::Session};
use crate::verdict::transaction::{Gate, Passing};

pub(super) fn check(session: &Session, turn: &Turn<'_>) -> Result<(), &'static str> {
    if !turn.args.is_empty() {
        return Err("501 5.5.4 DATA takes no argument");
    }
    let Some(transaction) = &session.transaction else {
        return Err("503 5.5.1 say MAIL first");
    };
    if session.chunks.is_some() {
        return Err("503 5.5.1 DATA and BDAT do not mix");
    }
    if transaction.accepted() == 0 && !transaction.surplus {
        return Err("554 5.5.1 no valid recipients");
    }
    Ok(())
}

pub(super) fn run(session: &mut Session, _: &Turn<'_>) -> Flow {
    if let Err(refusal) = may_begin(session) {
        let table = session.table();
        log::refused(session, &table, "data", None, &refusal);
        session.say(&refusal.reply);
        session.end_transaction();
        return Flow::Done;
    }
    if let Some(transaction) = &session.transaction {
        let max = transaction.table.profile().max_message_size;
        let announced = transaction.announced;
        session.receive(max, announced);
        session.say("354 end with CRLF.CRLF");
    }
    Flow::Done
}

/// Whether a message may come now.
pub(super) fn may_begin(session: &mut Session) -> Result<(), Refusal> {
    let Some(transaction) = &mut session.transaction else {
        return Ok(());
    };
    if transaction.surplus {
        // Nobody is to believe that all were reached.
        let reply = "554 5.5.3 too many recipients: nothing was sent to any".to_owned();
        return Err(Refusal { reply, rule: None });
    }
    // What is passed on needs no disk.
    if transaction.passing != Passing::Taken {
        session.cx.acceptor.ready()?;
    }
    match transaction.at_data(&session.peer) {
        Gate::Refuse(refusal) => Err(refusal),
        Gate::Pass | Gate::Ask(_) | Gate::Probe(_) => Ok(()),
    }
}
