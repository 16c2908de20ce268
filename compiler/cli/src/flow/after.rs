//! What is done to what was accepted: the daemon's own steps, rehearsed.

use super::Mail;
use super::known::Known;
use super::verdict::{Ended, Person};
use edict_runtime::actions::rehearse::{self, Count, Rehearsal};
use edict_runtime::envelope::{
    Authentication, Client, Fate, Given, Incoming, MessageId, Notify, Refusal, ReversePath,
};
use edict_table::load::Loaded;
use edict_table::model::Verb;
use std::sync::Arc;

/// Rehearses everything that happens between the verdicts and the queue. In the result a recipient is a
/// place in [`Known::people`].
///
/// # Errors
/// A quota is crossed, or a disclaimer rule refuses.
pub fn send(
    table: &Arc<Loaded>,
    mail: &Mail,
    known: &Known,
    people: &[Person],
) -> (Vec<Count>, Result<Rehearsal, Refusal>) {
    let accepted: Vec<&Person> = people.iter().filter(|person| !person.decided.is_refused()).collect();
    let incoming = incoming(table, mail, known, &accepted);
    let counts = rehearse::counts(&incoming, known.size(), mail.usage);
    let sent = rehearse::rehearse(&incoming, known.size(), mail.usage).map(|mut sent| {
        for reach in &mut sent.reaches {
            let place = |given: usize| accepted.get(given).map_or(0, |person| person.place);
            reach.given = place(reach.given);
            reach.shared.iter_mut().for_each(|given| *given = place(*given));
        }
        sent
    });
    (counts, sent)
}

fn incoming(table: &Arc<Loaded>, mail: &Mail, known: &Known, accepted: &[&Person]) -> Incoming {
    let given = accepted.iter().filter_map(|person| {
        let who = known.people.get(person.place)?;
        let fate = match person.decided.ended {
            Ended::Rule(_, Verb::Hold) => Fate::Hold,
            Ended::Rule(_, Verb::Discard) => Fate::Discard,
            _ => Fate::Deliver,
        };
        Some(Given {
            wire: who.wire.clone(),
            address: who.address.clone(),
            direction: who.direction,
            notify: Notify::default(),
            orcpt: None,
            fate,
        })
    });
    let wire = if mail.sender == "<>" { String::new() } else { mail.sender.clone() };
    Incoming {
        id: MessageId(0),
        client: Client {
            ip: known.client,
            name: known.client_name(),
            helo: mail.helo.clone().unwrap_or_else(|| "localhost.localdomain".to_owned()),
            esmtp: true,
            tls: mail.tls,
            auth_user: mail.login.clone(),
            trusted: known.trusted,
        },
        submitted: known.people.iter().any(|who| who.submitted),
        sender: ReversePath { wire, ..ReversePath::default() },
        sender_address: known.sender.clone(),
        recipients: given.collect(),
        bytes: mail.message.clone(),
        table: Arc::clone(table),
        received: mail.time,
        authentication: Authentication::default(),
    }
}
