//! XCLIENT (Postfix's XCLIENT_README): a trusted proxy says whom it speaks for.
//!
//! Obeyed from the listener's `xclient_from` alone, once a connection. Afterwards the session begins anew, with the greeting,
//! as if the client had connected itself: rules and limits see its address. Of the attributes ADDR, NAME,
//! HELO, PROTO and LOGIN are used; PORT, DESTADDR and DESTPORT are read and dropped.

use super::{Flow, Turn};
use crate::smtp::escape::helo_text;
use crate::smtp::session::Session;
use crate::verdict::peer::{Hello, Login, Peer};
use edict_table::facts::Slot;
use edict_table::value::Domain;
use std::net::IpAddr;

/// As EHLO offers them.
pub(super) const OFFER: &str = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";
/// The longest decoded value, in bytes.
const MAX_VALUE: usize = 256;

pub(super) fn check(session: &Session, turn: &Turn<'_>) -> Result<(), &'static str> {
    if !session.is_proxy {
        return Err("550 5.7.0 XCLIENT is not for this client");
    }
    if session.transaction.is_some() {
        return Err("503 5.5.1 not within a transaction");
    }
    if turn.args.is_empty() {
        return Err("501 5.5.4 an attribute must follow");
    }
    Ok(())
}

pub(super) fn run(session: &mut Session, turn: &Turn<'_>) -> Flow {
    match Attributes::read(turn.args) {
        // A client without an address would have the proxy's own trust.
        Some((address, said)) => introduce(session, address, said),
        None => session.say("501 5.5.4 XCLIENT needs ADDR, and attributes that can be read"),
    }
    Flow::Done
}

fn introduce(session: &mut Session, address: IpAddr, said: Attributes) {
    let mut peer = Peer::new(address);
    // The connection stays as encrypted as it is.
    peer.tls = session.peer.tls;
    match said.name {
        Slot::Known(name) => {
            (peer.name, peer.unverified) = (Slot::Known(name), Slot::Known(false));
            peer.nameless = Slot::Known(false);
        }
        // Whether there is none, or one that does not lead back, it does not say: DNS is asked where a rule wants to know.
        Slot::Absent => (peer.name, peer.unverified) = (Slot::Absent, Slot::Known(true)),
        Slot::Unknown => {
            (peer.name, peer.unverified) = (Slot::Unknown, Slot::Unknown);
            peer.nameless = Slot::Unknown;
        }
        Slot::Pending => {}
    }
    peer.login = said.login.map(|name| Login::new(&name));
    if let Some(helo) = &said.helo {
        peer.hello = Some(Hello::new(helo, helo_text(helo), said.esmtp));
    }
    session.introduce(peer, said.helo.map(String::into_boxed_str));
}

/// What a proxy said.
#[derive(Clone, PartialEq, Debug)]
struct Attributes {
    name: Slot<Domain>,
    helo: Option<String>,
    esmtp: bool,
    login: Option<String>,
}

impl Attributes {
    /// The client's address, and what else there is.
    fn read(text: &str) -> Option<(IpAddr, Self)> {
        let mut address = None;
        let mut said = Self { name: Slot::Pending, helo: None, esmtp: true, login: None };
        let mut names: Vec<String> = Vec::new();
        for attribute in text.split(' ').filter(|word| !word.is_empty()) {
            let (name, value) = attribute.split_once('=')?;
            let value = xtext(value).filter(|value| value.len() <= MAX_VALUE)?;
            let known = match value.to_ascii_uppercase().as_str() {
                "[UNAVAILABLE]" => Slot::Absent,
                "[TEMPUNAVAIL]" => Slot::Unknown,
                _ => Slot::Known(value),
            };
            let name = name.to_ascii_uppercase();
            // Of two that differ neither can be gone by.
            if names.contains(&name) {
                return None;
            }
            names.push(name.clone());
            match (name.as_str(), known) {
                ("ADDR", Slot::Known(value)) => {
                    let tag = value.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPV6:"));
                    let text = if tag.is_some() { value.get(5..)? } else { &value };
                    address = Some(text.parse().ok()?);
                }
                ("NAME", Slot::Known(value)) => said.name = Slot::Known(Domain::parse(&value).ok()?),
                ("NAME", Slot::Absent) => said.name = Slot::Absent,
                ("NAME", _) => said.name = Slot::Unknown,
                ("HELO", Slot::Known(value)) if !value.chars().any(char::is_control) => {
                    said.helo = Some(value);
                }
                ("LOGIN", Slot::Known(value))
                    if !value.is_empty() && !value.chars().any(char::is_control) =>
                {
                    said.login = Some(value);
                }
                ("PROTO", Slot::Known(value)) => match value.to_ascii_uppercase().as_str() {
                    "SMTP" => said.esmtp = false,
                    "ESMTP" => said.esmtp = true,
                    _ => return None,
                },
                ("HELO" | "LOGIN" | "PROTO", Slot::Absent | Slot::Unknown) => {}
                ("PORT" | "DESTADDR" | "DESTPORT", _) => {}
                _ => return None,
            }
        }
        Some((address?, said))
    }
}

/// RFC 3461 4: `+` and two hex digits stand for a byte.
fn xtext(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'+' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?);
    }
    String::from_utf8(bytes).ok()
}
