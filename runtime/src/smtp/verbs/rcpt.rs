//! RCPT TO (RFC 5321 4.1.1.3): one recipient, with a verdict of its own.

use super::{Flow, Turn};
use crate::smtp::escape::Clean;
use crate::smtp::log;
use crate::smtp::params::{self, RcptParams};
use crate::smtp::path::{self, Mailbox, Path};
use crate::smtp::session::{Phase, Session, Step};
use crate::verdict::lookup::Question;
use crate::verdict::transaction::{Gate, Transaction, Wanted};
use edict_table::value::domain::literal_ip;
use edict_table::value::{Address, canonical_ip};
use std::net::IpAddr;

pub(super) fn check(session: &Session, _: &Turn<'_>) -> Result<(), &'static str> {
    match session.transaction {
        Some(_) if session.chunks.is_some() => Err("503 5.5.1 the message has begun"),
        Some(_) => Ok(()),
        None => Err("503 5.5.1 say MAIL first"),
    }
}

pub(super) fn run(session: &mut Session, turn: &Turn<'_>) -> Flow {
    let Some(mut transaction) = session.transaction.take() else {
        return Flow::Done;
    };
    let esmtp = session.peer.hello.as_ref().is_some_and(|h| h.esmtp);
    match recipient(&transaction, turn, esmtp, session.own) {
        Err(reply) => {
            session.transaction = Some(transaction);
            session.say(reply);
        }
        Ok(wanted) => {
            let users = session.cx.users.load();
            let gate = transaction.at_rcpt(&session.peer, &users, session.cx.acceptor.as_ref(), wanted);
            session.transaction = Some(transaction);
            match gate {
                Gate::Pass => {
                    let offer = session.cx.acceptor.passes();
                    let open = session.transaction.as_mut().filter(|_| offer);
                    match open.and_then(|t| t.so_far(&session.peer, turn.now)) {
                        Some(so_far) => session.phase = Phase::Offer(Box::new(so_far)),
                        None => session.say("250 2.1.5 Ok"),
                    }
                }
                Gate::Refuse(refusal) => {
                    let table = session.table();
                    let (from, to) = names(session, turn, esmtp);
                    log::refused_for(session, &table, "rcpt", &from, &to, &refusal);
                    if let Some(transaction) = &mut session.transaction {
                        let (about, found) = (transaction.about(&session.peer), transaction.findings());
                        log::audit(&about, "rcpt", &found);
                    }
                    session.refuse_recipient(&refusal.reply);
                }
                Gate::Ask(need) => {
                    let table = session.table();
                    let sender = session.transaction.as_ref().and_then(|t| t.sender.as_ref());
                    return Flow::Again(Step::Look(session.peer.questions(&table, need, sender)));
                }
                Gate::Probe(address) => {
                    return Flow::Again(Step::Look(vec![Question::Exists(address)]));
                }
            }
        }
    }
    Flow::Done
}

/// Sender and recipient as a log line shows them: read once more, since few are refused.
fn names(session: &Session, turn: &Turn<'_>, esmtp: bool) -> (String, String) {
    let transaction = session.transaction.as_deref();
    let from = transaction.map_or("", |transaction| transaction.reverse.wire.as_str());
    let wanted = transaction.and_then(|transaction| recipient(transaction, turn, esmtp, session.own).ok());
    let to = wanted.map(|wanted| format!("<{}@{}>", Clean(&wanted.local), Clean(&wanted.domain)));
    (format!("<{}>", Clean(from)), to.unwrap_or_default())
}

fn recipient(
    transaction: &Transaction,
    turn: &Turn<'_>,
    esmtp: bool,
    own: Option<IpAddr>,
) -> Result<Wanted, &'static str> {
    const NONE: &str = "501 5.1.3 this is no recipient address (RFC 5321 4.1.2)";
    let profile = transaction.table.profile();
    let (path, rest) = path::read(turn.args, "TO", profile.strict_envelope).map_err(|_| NONE)?;
    let Path::Mailbox(mailbox) = path else {
        return Err(NONE);
    };
    let smtputf8 = transaction.reverse.smtputf8;
    let params = if esmtp {
        params::rcpt(rest, smtputf8)?
    } else if rest.trim_matches(' ').is_empty() {
        RcptParams::default()
    } else {
        return Err("555 5.5.4 parameters need EHLO");
    };
    if mailbox.is_utf8() && !smtputf8 {
        return Err("553 5.6.7 this address needs SMTPUTF8");
    }
    let Mailbox { local, domain, address } = mailbox;
    match (domain, address) {
        (Some(domain), Some(address)) if !is_own_postmaster(&address, own) => {
            Ok(Wanted { local, domain, address, notify: params.notify, orcpt: params.orcpt })
        }
        _ => {
            // A bare postmaster is the one of the first local domain (RFC 5321 4.5.1), and so is that of our own address
            // (RFC 1123 5.2.17).
            let domain = profile.local_domains.first().ok_or("550 5.1.1 no such mailbox")?.clone();
            let address = Address::parse(&format!("{local}@{domain}")).map_err(|_| NONE)?;
            Ok(Wanted { local, domain, address, notify: params.notify, orcpt: params.orcpt })
        }
    }
}

/// Whether this is postmaster at the literal of the address that the client connected to.
fn is_own_postmaster(address: &Address, own: Option<IpAddr>) -> bool {
    own.is_some() && address.local() == "postmaster" && literal_ip(address.domain()).map(canonical_ip) == own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postmaster_of_our_own_address() {
        for (address, own, want) in [
            ("Postmaster@[192.0.2.1]", "192.0.2.1", true),
            ("postmaster@[IPv6:2001:DB8:0::1]", "2001:db8::1", true),
            ("postmaster@[IPv6:::ffff:192.0.2.1]", "192.0.2.1", true),
            ("postmaster@[192.0.2.2]", "192.0.2.1", false),
            ("postmaster@[IPv6:2001:db8::2]", "2001:db8::1", false),
            ("ann@[192.0.2.1]", "192.0.2.1", false),
            ("postmaster@example.com", "192.0.2.1", false),
        ] {
            let own = Some(own.parse().unwrap());
            let address = Address::parse(address).unwrap();
            assert_eq!(is_own_postmaster(&address, own), want, "{address}");
            assert!(!is_own_postmaster(&address, None));
        }
    }
}
