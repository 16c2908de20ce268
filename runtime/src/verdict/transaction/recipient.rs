//! RCPT: one recipient, check by check, and the recipient taken back.

use super::{Company, Gate, Recipient, Standing, Transaction, Wanted};
use crate::acceptor::{Acceptor, QuotaQuery};
use crate::envelope::{Fate, Given};
use crate::users::Users;
use crate::verdict::audit::early;
use crate::verdict::bounds::{self, guarded};
use crate::verdict::inside::{Existence, exists, real_domain};
use crate::verdict::lookup;
use crate::verdict::peer::Peer;
use crate::verdict::ruling::{Ruled, ruled};
use edict_table::decide;
use edict_table::facts::{Direction, Slot};
use edict_table::value::Address;

impl Transaction {
    /// RCPT, in this order: domain aliases, relay guard, verdict rules, existence, quota.
    pub(crate) fn at_rcpt(
        &mut self,
        peer: &Peer,
        users: &Users,
        acceptor: &dyn Acceptor,
        wanted: Wanted,
    ) -> Gate {
        let wanted = self.without_alias(wanted);
        let address = &wanted.address;
        let inside = self.table.is_inside(address.domain());
        let login = peer.login.is_some();
        if let Some((_, reply)) = guarded(!login && !self.trusted, inside, address) {
            return Gate::refuse(reply);
        }
        // What another server of ours passed on is inbound, though it stands in a trusted network.
        let submitted = login || !inside || (self.trusted && self.sender_inside);
        if self.recipients.len() >= self.table.profile().max_recipients as usize {
            self.surplus |= submitted;
            return Gate::refuse("452 4.5.3 too many recipients");
        }
        let direction = match (submitted, inside) {
            (_, false) => Direction::Outbound,
            (true, true) => Direction::Internal,
            (false, true) => Direction::Inbound,
        };
        let ruling = self.rule_rcpt(peer, address, direction, submitted);
        let (fate, standing, company) = match ruling {
            Ok(found) => found,
            Err(gate) => return gate,
        };
        // A bounce of mail that was forwarded under our name: nobody's mailbox, but it has somewhere to go.
        let bounce = || {
            let wire = format!("{}@{}", wanted.local, wanted.domain);
            self.sender.is_none() && acceptor.returns(&self.table, &wire)
        };
        if inside && !bounce() {
            match exists(&self.table, users, address) {
                Existence::Yes => {}
                Existence::No => return Gate::refuse("550 5.1.1 no such mailbox"),
                Existence::Ask => match peer.exists(address) {
                    Slot::Known(true) => {}
                    Slot::Known(false) | Slot::Absent => return Gate::refuse("550 5.1.1 no such mailbox"),
                    Slot::Unknown => return Gate::refuse("451 4.4.3 cannot tell now whether it exists"),
                    Slot::Pending => return Gate::Probe(wanted.address),
                },
            }
        } else if !inside
            && let Err(refusal) = acceptor.over_quota(&QuotaQuery {
                table: &self.table,
                auth_user: peer.login.as_ref().map(|l| l.folded.as_str()),
                client_ip: peer.ip,
                sender: self.sender.as_ref(),
                recipient: address,
            })
        {
            return Gate::Refuse(refusal);
        }
        if let (Some(company), Some(first)) = (company, self.company)
            && !submitted
            && company != first
        {
            return Gate::refuse("452 4.5.3 this recipient needs a transaction of its own");
        }
        self.company = self.company.or(company);
        let caught = inside && bounds::caught(&self.table, users, address);
        let given = Given {
            wire: format!("{}@{}", wanted.local, wanted.domain),
            address: wanted.address,
            direction,
            notify: wanted.notify,
            orcpt: wanted.orcpt,
            fate,
        };
        self.recipients.push(Recipient { given, submitted, caught, standing });
        Gate::Pass
    }

    fn without_alias(&self, mut wanted: Wanted) -> Wanted {
        if let Some(real) = real_domain(&self.table, wanted.address.domain()) {
            let text = format!("{}@{real}", wanted.local);
            if let Ok(address) = Address::parse(&text) {
                wanted.address = address;
                real.clone_into(&mut wanted.domain);
            }
        }
        wanted
    }

    fn rule_rcpt(
        &mut self,
        peer: &Peer,
        address: &Address,
        direction: Direction,
        submitted: bool,
    ) -> Result<(Fate, Standing, Option<Company>), Gate> {
        self.scratch.next_recipient();
        let mut found = Vec::new();
        let ruling = self.with_scratch(|this, scratch| {
            let mut facts = this.facts(peer);
            facts.recipient = Slot::Known(address);
            facts.direction = Slot::Known(direction);
            facts.submitted = Slot::Known(submitted);
            match ruled(&this.table, decide::verdict(&this.table, &facts, scratch)) {
                Ruled::Refused(refusal) => {
                    found = early(&this.table, &facts, scratch, address.as_str());
                    Err(Gate::Refuse(refusal))
                }
                Ruled::Settled(fate, rule) => {
                    let company = (fate != Fate::Discard).then_some(Company::Accepted);
                    Ok((fate, Standing::Settled(rule), company))
                }
                Ruled::Open(need) if !lookup::at_mail(need).is_empty() => {
                    Err(Gate::Ask(lookup::at_mail(need)))
                }
                Ruled::Open(_) => {
                    let signature = decide::signature(&this.table, &facts, scratch);
                    Ok((Fate::Deliver, Standing::Open, Some(Company::Open(signature))))
                }
            }
        });
        self.findings = found;
        ruling
    }

    /// The last recipient was refused after all; this is what it was.
    pub(crate) fn withdraw(&mut self) -> Option<String> {
        let last = self.recipients.pop();
        if self.recipients.is_empty() {
            self.company = None;
        }
        last.map(|recipient| recipient.given.wire)
    }
}
