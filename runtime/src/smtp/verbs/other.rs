//! RSET, NOOP, QUIT, VRFY, EXPN and HELP (RFC 5321 4.1.1.5 to 4.1.1.10).

use super::{Flow, Turn};
use crate::smtp::session::Session;
use crate::users::Users;
use crate::verdict::inside::{Existence, found, real_address};
use edict_table::load::Loaded;
use edict_table::value::Address;

pub(super) fn any_args(_: &Session, _: &Turn<'_>) -> Result<(), &'static str> {
    Ok(())
}

pub(super) fn no_args(_: &Session, turn: &Turn<'_>) -> Result<(), &'static str> {
    if turn.args.is_empty() { Ok(()) } else { Err("501 5.5.4 no argument is taken here") }
}

pub(super) fn needs_args(_: &Session, turn: &Turn<'_>) -> Result<(), &'static str> {
    if turn.args.is_empty() { Err("501 5.5.4 an argument must follow") } else { Ok(()) }
}

pub(super) fn rset(session: &mut Session, _: &Turn<'_>) -> Flow {
    session.end_transaction();
    session.say("250 2.0.0 Ok");
    Flow::Done
}

pub(super) fn noop(session: &mut Session, _: &Turn<'_>) -> Flow {
    session.say("250 2.0.0 Ok");
    Flow::Done
}

pub(super) fn quit(session: &mut Session, _: &Turn<'_>) -> Flow {
    session.end_transaction();
    session.take_leave();
    Flow::Done
}

/// RFC 5321 7.3: off by default, since it tells strangers who exists; then 252 whatever was asked.
pub(super) fn vrfy(session: &mut Session, turn: &Turn<'_>) -> Flow {
    let table = session.table();
    if !table.profile().vrfy {
        session.say("252 2.0.0 nobody is verified here, but mail is taken where it can be delivered");
        return Flow::Done;
    }
    let users = session.cx.users.load();
    let text = turn.args.trim_start_matches('<').trim_end_matches('>');
    let reply = match Address::parse(text) {
        Ok(address) => {
            // As at RCPT: a domain alias holds the mailboxes of the domain that it stands for.
            let address = real_address(&table, &address).unwrap_or(address);
            if table.is_inside(address.domain()) {
                verified(found(&table, &users, &address), Some(&address))
            } else {
                "551 5.1.6 not a mailbox of this server".to_owned()
            }
        }
        Err(_) => by_name(&table, &users, text),
    };
    session.say(&reply);
    Flow::Done
}

/// RFC 5321 3.5.1: the name of a local mailbox will do, where it is one's alone.
fn by_name(table: &Loaded, users: &Users, name: &str) -> String {
    let domains = table.profile().local_domains.iter();
    let addresses: Vec<Address> =
        domains.filter_map(|domain| Address::parse(&format!("{name}@{domain}")).ok()).collect();
    let among = |wanted: Existence| addresses.iter().filter(move |a| found(table, users, a) == wanted);
    let mut there = among(Existence::Yes);
    match (there.next(), there.next()) {
        _ if name.contains('@') || addresses.is_empty() => "501 5.1.3 this is no address".to_owned(),
        // A bare postmaster is the one of the first local domain (4.5.1).
        (Some(address), _) if address.local() == "postmaster" => verified(Existence::Yes, Some(address)),
        (Some(_), Some(_)) => "553 5.1.4 ambiguous: say the domain, too".to_owned(),
        (Some(address), None) => verified(Existence::Yes, Some(address)),
        (None, _) if among(Existence::Ask).next().is_some() => verified(Existence::Ask, None),
        (None, _) => verified(Existence::No, None),
    }
}

fn verified(existence: Existence, address: Option<&Address>) -> String {
    match (existence, address) {
        (Existence::Yes, Some(address)) => format!("250 2.1.5 <{address}>"),
        (Existence::No, _) => "550 5.1.1 no such mailbox".to_owned(),
        (Existence::Yes | Existence::Ask, _) => "252 2.1.5 cannot tell, but will try to deliver".to_owned(),
    }
}

pub(super) fn expn(session: &mut Session, _: &Turn<'_>) -> Flow {
    session.say("502 5.5.1 EXPN is off here");
    Flow::Done
}

pub(super) fn help(session: &mut Session, _: &Turn<'_>) -> Flow {
    session.say("214 2.0.0 RFC 5321 tells it all");
    Flow::Done
}
