//! AUTH (RFC 4954).

use super::{Flow, Turn};
use crate::smtp::login::TOO_MANY;
use crate::smtp::sasl::{Exchange, Mechanism};
use crate::smtp::session::Session;

pub(super) fn check(session: &Session, turn: &Turn<'_>) -> Result<(), &'static str> {
    if !session.auth_is_on(&session.table()) {
        return Err("502 5.5.1 AUTH is off here");
    }
    if session.peer.hello.as_ref().is_none_or(|h| !h.esmtp) {
        return Err("503 5.5.1 say EHLO first");
    }
    if session.peer.login.is_some() {
        return Err("503 5.5.1 logged in already");
    }
    if session.transaction.is_some() {
        return Err("503 5.5.1 not within a transaction");
    }
    if !session.peer.tls && !session.table().profile().auth_without_tls {
        return Err("538 5.7.11 say STARTTLS first");
    }
    if turn.args.is_empty() {
        return Err("501 5.5.4 a mechanism must follow");
    }
    Ok(())
}

pub(super) fn run(session: &mut Session, turn: &Turn<'_>) -> Flow {
    let (name, response) = match turn.args.split_once(' ') {
        Some((name, response)) => (name, Some(response)),
        None => (turn.args, None),
    };
    // What is not offered is not there: behind Dovecot, the users of our own file count for nothing.
    let offered = |mechanism: &Mechanism| *mechanism != Mechanism::ScramSha256 || session.offers_scram();
    let Some(mechanism) = Mechanism::by_name(name).filter(offered) else {
        session.say("504 5.5.4 this mechanism is not known here");
        return Flow::Done;
    };
    if !session.may_guess(turn.now) {
        session.hang_up(TOO_MANY);
        return Flow::Done;
    }
    let exchange = Exchange::begin(mechanism);
    match response {
        // `=` is a response of no bytes (RFC 4954 4).
        Some("=") => session.respond(exchange, "", turn.now),
        Some(response) => session.respond(exchange, response, turn.now),
        None => session.challenge(exchange),
    }
    Flow::Done
}
