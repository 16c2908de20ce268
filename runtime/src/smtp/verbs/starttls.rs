//! STARTTLS (RFC 3207).

use super::{Flow, Turn};
use crate::smtp::session::Session;

pub(super) fn check(session: &Session, turn: &Turn<'_>) -> Result<(), &'static str> {
    if !turn.args.is_empty() {
        return Err("501 5.5.4 STARTTLS takes no argument");
    }
    if session.peer.tls {
        return Err("503 5.5.1 this connection is encrypted already");
    }
    if session.cx.tls.load().is_none() {
        return Err("502 5.5.1 STARTTLS is off here");
    }
    Ok(())
}

pub(super) fn run(session: &mut Session, _: &Turn<'_>) -> Flow {
    session.start_tls();
    Flow::Done
}
