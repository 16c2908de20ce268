//! An accepted message as the rules after DATA see it: BCC, quota, disclaimer.
//!
//! Reads the header, and then the body, only when a rule asks. Facts that only verdict rules may ask
//! (DNS lists, SPF, DKIM, DMARC) are absent here; the compiler allows them nowhere else.

use crate::envelope::Incoming;
use edict_message::facts as read;
use edict_table::decide::{Scratch, matching};
use edict_table::fact::{Fact, Stage};
use edict_table::facts::{BodyFacts, Direction, Facts, HeaderFacts, Slot};
use edict_table::load::{Loaded, RuleId};
use edict_table::model::Kind;
use edict_table::value::{Address, Domain, fold_text};
use std::sync::{Mutex, PoisonError};

/// Scratches kept for the next message.
const SPARE: usize = 64;

/// Memory of evaluations, reused: it grows to the size of the table.
#[derive(Debug, Default)]
pub struct Pool(Mutex<Vec<Scratch>>);

impl Pool {
    /// A scratch for one message with this table.
    #[must_use]
    pub fn take(&self, table: &Loaded) -> Scratch {
        let mut scratch = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        scratch.begin(table);
        scratch
    }

    /// Gives it back.
    pub fn put(&self, scratch: Scratch) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(scratch);
        }
    }
}

/// The message and what is known of it so far.
#[derive(Debug)]
pub struct View<'a> {
    incoming: &'a Incoming,
    /// What the first rule that is looked at takes.
    known: Option<Known>,
    header: Option<HeaderFacts>,
    body: Option<BodyFacts>,
    /// The message is not there yet.
    early: bool,
    pool: &'a Pool,
}

/// The client in policy form, and memory to evaluate with.
#[derive(Debug)]
struct Known {
    client_name: Option<Domain>,
    helo: Option<Domain>,
    auth_user: Option<String>,
    scratch: Scratch,
}

impl Known {
    fn new(incoming: &Incoming, pool: &Pool) -> Self {
        let client = &incoming.client;
        Self {
            client_name: client.name.as_deref().and_then(|name| Domain::parse(name).ok()),
            helo: Domain::parse(&client.helo).ok(),
            auth_user: client.auth_user.as_deref().map(|user| fold_text(user).into_owned()),
            scratch: pool.take(&incoming.table),
        }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if let Some(known) = self.known.take() {
            self.pool.put(known.scratch);
        }
    }
}

impl<'a> View<'a> {
    /// Starts a message.
    #[must_use]
    pub fn new(incoming: &'a Incoming, pool: &'a Pool) -> Self {
        Self { incoming, known: None, header: None, body: None, early: false, pool }
    }

    /// Starts one whose bytes and other recipients are not there yet.
    #[must_use]
    pub fn early(incoming: &'a Incoming, pool: &'a Pool) -> Self {
        let mut view = Self::new(incoming, pool);
        view.early = true;
        view
    }

    /// Whether any rule of a kind matches one recipient, or may do so once the message is there.
    pub fn can_match(&mut self, kind: Kind, recipient: &Address, direction: Direction) -> bool {
        let mut out = Vec::new();
        self.look(kind, recipient, direction, &mut out) || !out.is_empty()
    }

    /// The rules of a kind that match one recipient, in order of rank, audit rules among them.
    pub fn matching(&mut self, kind: Kind, recipient: &Address, direction: Direction, out: &mut Vec<RuleId>) {
        let _open = self.look(kind, recipient, direction, out);
    }

    /// The same. Whether a rule hangs on what is not known.
    fn look(&mut self, kind: Kind, recipient: &Address, direction: Direction, out: &mut Vec<RuleId>) -> bool {
        let table: &Loaded = &self.incoming.table;
        if table.rules_of(kind).next().is_none() {
            out.clear();
            return false;
        }
        let known = self.known.get_or_insert_with(|| Known::new(self.incoming, self.pool));
        known.scratch.next_recipient();
        let early = self.early;
        let whole = |value| if early { Slot::Pending } else { Slot::Known(value) };
        loop {
            let facts = Facts {
                client_ip: Slot::Known(self.incoming.client.ip),
                client_name: Slot::from_option(known.client_name.as_ref()),
                client_unverified: Slot::Known(known.client_name.is_none()),
                client_nameless: Slot::Absent,
                client_tls: Slot::Known(self.incoming.client.tls),
                helo: Slot::from_option(known.helo.as_ref()),
                helo_malformed: Slot::Known(known.helo.is_none()),
                helo_unresolvable: Slot::Absent,
                auth_user: Slot::from_option(known.auth_user.as_deref()),
                sender: Slot::from_option(self.incoming.sender_address.as_ref()),
                sender_unresolvable: Slot::Absent,
                sender_unknown: Slot::Absent,
                spf: Slot::Absent,
                submitted: Slot::Known(matches!(direction, Direction::Outbound | Direction::Internal)),
                recipient: Slot::Known(recipient),
                direction: Slot::Known(direction),
                recipient_count: whole(self.incoming.recipients.len() as u64),
                size: whole(self.incoming.bytes.len() as u64),
                header: self.header.as_ref().map_or(Slot::Pending, Slot::Known),
                dmarc: Slot::Absent,
                dkim_domains: Slot::Absent,
                body: self.body.as_ref().map_or(Slot::Pending, Slot::Known),
                time: Slot::Known(self.incoming.received.div_euclid(1000)),
                ..Facts::default()
            };
            let needed = matching(table, kind, &facts, &mut known.scratch, out);
            if self.early {
                return !needed.is_empty();
            }
            let stage = needed.iter().map(|fact: Fact| fact.row().stage).max();
            // Each turn makes one pending fact known, so that there are at most three.
            match stage {
                Some(Stage::Header | Stage::Body) if self.header.is_none() => {
                    self.header = Some(read::header_facts(&self.incoming.bytes));
                }
                Some(Stage::Header | Stage::Body) if self.body.is_none() => {
                    self.body = Some(read::body_facts(&self.incoming.bytes));
                }
                _ => return !needed.is_empty(),
            }
        }
    }
}
