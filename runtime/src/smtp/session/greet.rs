//! The beginning of a session: limits and rules of the connection, the greeting, a client that a proxy introduces.

use super::{Phase, Session, Step};
use crate::envelope::Refusal;
use crate::smtp::log;
use crate::verdict::connect::{What, at_connect, count};
use crate::verdict::limits::Key;
use crate::verdict::peer::Peer;
use crate::verdict::transaction::Gate;
use edict_table::load::Loaded;

impl Session {
    pub(super) fn greet(&mut self, now: i64) -> Option<Step> {
        let table = self.table();
        if self.is_proxy {
            // It will say whom it speaks for; rules and limits wait for that. Without XCLIENT, MAIL asks the rules.
            self.phase = Phase::Command;
            self.say_banner(&table);
            return None;
        }
        // Before any rule: a client that is refused, or that is still looked up, holds a connection as well.
        if !self.take_place() {
            let refusal = Refusal {
                reply: "421 4.7.0 too many connections from your address, try again later".to_owned(),
                rule: None,
            };
            log::refused(self, &table, "connect", None, &refusal);
            self.hang_up(&refusal.reply);
            return None;
        }
        let mut scratch = self.cx.take_scratch();
        let mut findings = Vec::new();
        let mut gate = at_connect(&table, &self.peer, &mut scratch, now, &mut findings);
        if let Gate::Ask(need) = gate {
            self.cx.put_scratch(scratch);
            return Some(Step::Look(self.peer.questions(&table, need, None)));
        }
        self.phase = Phase::Command;
        let mut limited = false;
        if gate == Gate::Pass {
            let facts = self.peer.connect_facts(now);
            let limits = &self.cx.limits;
            if let Err(refusal) =
                count(&table, &facts, &mut scratch, limits, What::Connection, now, &mut self.held)
            {
                limited = true;
                gate = Gate::Refuse(refusal);
            }
        }
        self.cx.put_scratch(scratch);
        if let Gate::Refuse(refusal) = gate {
            log::refused(self, &table, "connect", None, &refusal);
            log::audit_early(self, &table, "connect", "", &findings);
            self.say(&refusal.reply);
            // RFC 5321 3.1: whoever is refused is to QUIT; whoever comes too often is not waited for.
            self.turned = true;
            self.closing |= limited;
            return None;
        }
        self.say_banner(&table);
        None
    }

    /// Takes one of the places that the client's address has, where it has none yet; false where all are taken.
    /// Trusted networks are not counted, nor is a proxy that will say whom it speaks for.
    pub(in crate::smtp) fn take_place(&mut self) -> bool {
        if self.place.is_none() && !self.is_proxy && !self.table().is_trusted(self.peer.ip) {
            let key = Key::new("connections of a client", Some(self.peer.ip));
            self.place = self.cx.limits.hold(key, self.settings.max_per_client);
            return self.place.is_some();
        }
        true
    }

    pub(super) fn say_banner(&mut self, table: &Loaded) {
        match &table.profile().banner {
            Some(banner) => self.say(&format!("220 {banner}")),
            None => self.say(&format!("220 {} ESMTP", self.hostname(table))),
        }
    }

    /// Begins anew with the client that a proxy speaks for (XCLIENT): all that was learnt is forgotten.
    pub(in crate::smtp) fn introduce(&mut self, peer: Peer, helo: Option<Box<str>>) {
        self.end_transaction();
        self.held.clear();
        self.place = None;
        self.peer = peer;
        self.proof = None;
        self.given_helo = helo;
        // Once: behind a proxy that passes bytes on, the next XCLIENT would be the client's own.
        self.is_proxy = false;
        (self.errors, self.failures, self.junk) = (0, 0, 0);
        self.phase = Phase::Greet;
    }
}
