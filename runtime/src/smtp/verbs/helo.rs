//! EHLO and HELO (RFC 5321 4.1.1.1). Either ends a transaction (4.1.4).

use super::{Flow, Turn};
use crate::smtp::escape::helo_text;
use crate::smtp::session::Session;
use crate::verdict::peer::Hello;

/// Extensions that are always there.
const EXTENSIONS: &[&str] = &["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING"];

pub(super) fn check(_: &Session, turn: &Turn<'_>) -> Result<(), &'static str> {
    // One word, in ASCII. What is no domain all the same is greeted, as is a name that does not fit or resolve: rules decide
    // about `helo is malformed` (4.1.4).
    let name = turn.args.trim_matches([' ', '\t']);
    match name.bytes().all(|byte| byte.is_ascii_graphic()) {
        true if !name.is_empty() => Ok(()),
        _ => Err("501 5.5.4 one domain must follow"),
    }
}

pub(super) fn ehlo(session: &mut Session, turn: &Turn<'_>) -> Flow {
    greet(session, turn, true);
    let table = session.table();
    let profile = table.profile();
    session.say_more(&session.hostname(&table));
    for extension in EXTENSIONS {
        session.say_more(extension);
    }
    if !session.peer.tls && session.cx.tls.load().is_some() {
        session.say_more("STARTTLS");
    }
    if session.auth_is_on(&table) && (session.peer.tls || profile.auth_without_tls) {
        let scram = if session.offers_scram() { " SCRAM-SHA-256" } else { "" };
        session.say_more(&format!("AUTH PLAIN LOGIN{scram}"));
    }
    if session.is_proxy {
        session.say_more(super::xclient::OFFER);
    }
    session.say_more(&format!("LIMITS RCPTMAX={}", profile.max_recipients));
    session.say(&format!("250 SIZE {}", profile.max_message_size));
    Flow::Done
}

pub(super) fn helo(session: &mut Session, turn: &Turn<'_>) -> Flow {
    greet(session, turn, false);
    let hostname = session.hostname(&session.table());
    session.say(&format!("250 {hostname}"));
    Flow::Done
}

fn greet(session: &mut Session, turn: &Turn<'_>, esmtp: bool) {
    session.end_transaction();
    // What XCLIENT gave is the client's; the proxy's own name says nothing.
    let name = session.given_helo.as_deref().unwrap_or(turn.args);
    session.peer.hello = Some(Hello::new(name, helo_text(name), esmtp));
}
