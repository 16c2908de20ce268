//! One transaction: the table it took at MAIL, its facts, and where each recipient stands.
//!
//! Each stage answers with a [`Gate`]. Nothing here waits, reads a clock or knows SMTP beyond the text
//! of replies. A rule is decided at the first stage at which nothing can overtake it any more;
//! `decide` sees to that, by what it still needs.

mod incoming;
mod recipient;

use super::audit::{Finding, early};
use super::authentic::{self, Authentic, Signed};
use super::bounds;
use super::inside::is_inside;
use super::lookup::{self, Answer, Question};
use super::peer::Peer;
use super::ruling::{Ruled, ruled};
use crate::envelope::{Given, MessageId, Notify, Refusal, ReversePath};
use crate::users::Users;
use edict_table::decide::{self, Scratch};
use edict_table::fact::Fact;
use edict_table::facts::{BodyFacts, FactSet, Facts, HeaderFacts, Slot};
use edict_table::load::{Loaded, RuleId};
use edict_table::value::Address;
use std::sync::Arc;

/// Whether a stage may be passed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Gate {
    /// It may.
    Pass,
    /// It may not, with this reply.
    Refuse(Refusal),
    /// Facts that take a lookup must be found out first; then the stage is tried again.
    Ask(FactSet),
    /// The next hop must be asked whether this address exists; then the stage is tried again.
    Probe(Address),
}

impl Gate {
    /// A refusal that no rule decides.
    pub(crate) fn refuse(reply: &str) -> Self {
        Self::Refuse(Refusal { reply: reply.to_owned(), rule: None })
    }
}

/// A recipient as RCPT names it.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Local part on the wire.
    pub(crate) local: String,
    /// Domain on the wire.
    pub(crate) domain: String,
    /// Policy form.
    pub(crate) address: Address,
    /// NOTIFY=
    pub(crate) notify: Notify,
    /// ORCPT=
    pub(crate) orcpt: Option<String>,
}

/// Where a recipient stands with the verdict rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Decided, by this rule where it was one.
    Settled(Option<RuleId>),
    /// Content can still change it.
    Open,
}

/// A recipient that got a 250.
#[derive(Clone, Debug)]
pub(super) struct Recipient {
    pub(super) given: Given,
    pub(super) submitted: bool,
    /// A catch-all takes it.
    pub(super) caught: bool,
    pub(super) standing: Standing,
}

/// What can part recipients that share one reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Company {
    /// Accepted, whatever comes.
    Accepted,
    /// Open; equal signatures mean equal verdicts.
    Open(u64),
}

/// Whether the recipients of a transaction are offered to their next hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Passing {
    /// None was yet.
    #[default]
    Open,
    /// The hop took those that there are.
    Taken,
    /// The message is to be stored.
    Stored,
}

/// Whether a message that is passed on goes before its end is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Ahead {
    /// That was not asked yet.
    #[default]
    Open,
    /// It does since then, in Unix milliseconds: what counts as received.
    Since(i64),
    /// It does not.
    Never,
}

/// A transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// Its name.
    pub(crate) id: MessageId,
    /// Its table, to its end.
    pub(crate) table: Arc<Loaded>,
    /// Envelope sender.
    pub(crate) reverse: ReversePath,
    /// Its policy form; none for `<>`.
    pub(crate) sender: Option<Address>,
    /// SIZE= of MAIL.
    pub(crate) announced: Option<u64>,
    /// The client is in a trusted network.
    pub(crate) trusted: bool,
    /// A submitted recipient was turned away because there are too many.
    pub(crate) surplus: bool,
    /// Recipients that were refused for now.
    pub(crate) later: u32,
    /// Unix milliseconds at MAIL.
    started: i64,
    scratch: Scratch,
    sender_inside: bool,
    sender_unknown: bool,
    pub(super) recipients: Vec<Recipient>,
    company: Option<Company>,
    /// What rules on trial would have changed of the refusal just given.
    findings: Vec<Finding>,
    /// Whether its recipients are offered to their next hop.
    pub(crate) passing: Passing,
    /// Whether its message goes before its end is here.
    pub(crate) ahead: Ahead,
    pub(super) header: Option<HeaderFacts>,
    pub(super) body: Option<BodyFacts>,
    pub(super) authentic: Option<Authentic>,
    /// What is signed, once somebody asked; none in it where it cannot be read.
    signed: Option<Option<Arc<Signed>>>,
}

/// What MAIL brings.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// The name of the transaction.
    pub(crate) id: MessageId,
    /// The live table.
    pub(crate) table: Arc<Loaded>,
    /// Spare memory.
    pub(crate) scratch: Scratch,
    /// Envelope sender.
    pub(crate) reverse: ReversePath,
    /// Its policy form.
    pub(crate) sender: Option<Address>,
    /// SIZE=
    pub(crate) announced: Option<u64>,
    /// Unix milliseconds.
    pub(crate) now: i64,
}

impl Transaction {
    /// Begins one.
    pub(crate) fn begin(beginning: Beginning, peer: &Peer, users: &Users) -> Self {
        let Beginning { id, table, mut scratch, reverse, sender, announced, now } = beginning;
        scratch.begin(&table);
        let sender_inside = sender.as_ref().is_some_and(|s| is_inside(&table, s));
        let sender_unknown = sender.as_ref().is_some_and(|s| bounds::unknown_sender(&table, users, s));
        Self {
            id,
            trusted: table.is_trusted(peer.ip),
            table,
            reverse,
            sender,
            announced,
            surplus: false,
            later: 0,
            started: now,
            scratch,
            sender_inside,
            sender_unknown,
            recipients: Vec::new(),
            company: None,
            findings: Vec::new(),
            passing: Passing::default(),
            ahead: Ahead::default(),
            header: None,
            body: None,
            authentic: None,
            signed: None,
        }
    }

    /// Its scratch, for the next one.
    pub(crate) fn into_scratch(self) -> Scratch {
        self.scratch
    }

    /// The facts of the envelope, the recipient's apart.
    pub(crate) fn facts<'a>(&'a self, peer: &'a Peer) -> Facts<'a> {
        Facts {
            sender: Slot::from_option(self.sender.as_ref()),
            sender_unresolvable: peer.sender_unresolvable(self.sender.as_ref()),
            sender_unknown: Slot::Known(self.sender_unknown),
            spf: self.spf(peer),
            ..peer.mail_facts(self.started)
        }
    }

    /// SPF; nobody asks it of our own users and networks, whose addresses no sender's domain names.
    pub(super) fn spf(&self, peer: &Peer) -> Slot<u8> {
        if self.is_ours(peer) { Slot::Known(authentic::result::NONE) } else { peer.spf(self.sender.as_ref()) }
    }

    /// From a client that SPF and DMARC say nothing of.
    pub(super) fn is_ours(&self, peer: &Peer) -> bool {
        self.trusted || peer.login.is_some()
    }

    /// The questions whose answers tell these facts; `message` is there at the end of the data.
    pub(crate) fn questions(&mut self, peer: &Peer, need: FactSet, message: &[u8]) -> Vec<Question> {
        let mut questions = peer.questions(&self.table, need, self.sender.as_ref());
        let dmarc = need.contains(Fact::Dmarc);
        if dmarc || need.contains(Fact::DkimDomain) {
            let identity = peer.identity(self.sender.as_ref());
            self.note_signatures(need, message);
            let signed = self.signed.clone().flatten();
            questions.push(Question::Authentic { identity, spf: self.spf(peer), signed, dmarc });
        }
        questions
    }

    /// Keeps what is signed of the message, where these facts hang on it.
    pub(super) fn note_signatures(&mut self, need: FactSet, message: &[u8]) {
        if self.signed.is_none() && (need.contains(Fact::Dmarc) || need.contains(Fact::DkimDomain)) {
            self.signed = Some(Signed::of(message).map(Arc::new));
        }
    }

    /// A copy for rules on trial, when nothing more is decided here: it takes header and body along.
    pub(super) fn copy(&mut self) -> Self {
        Self {
            id: self.id,
            table: Arc::clone(&self.table),
            reverse: self.reverse.clone(),
            sender: self.sender.clone(),
            announced: self.announced,
            trusted: self.trusted,
            surplus: self.surplus,
            later: self.later,
            started: self.started,
            scratch: Scratch::new(),
            sender_inside: self.sender_inside,
            sender_unknown: self.sender_unknown,
            recipients: self.recipients.clone(),
            company: self.company,
            findings: Vec::new(),
            passing: self.passing,
            ahead: self.ahead,
            header: self.header.take(),
            body: self.body.take(),
            authentic: self.authentic.clone(),
            signed: self.signed.clone(),
        }
    }

    /// A recipient on the wire.
    pub(super) fn wire(&self, place: usize) -> &str {
        self.recipients.get(place).map_or("", |r| r.given.wire.as_str())
    }

    /// Keeps what an answer says of the message itself.
    pub(crate) fn learn(&mut self, answer: &Answer) {
        if let Answer::Authentic(_, found) = answer {
            self.authentic = Some(found.clone());
        }
    }

    /// What was not found out yet of all that `Authentication-Results` can tell.
    pub(crate) fn untold(&self, peer: &Peer) -> FactSet {
        let mut untold = FactSet::EMPTY;
        if self.is_ours(peer) {
            return untold;
        }
        if self.authentic.as_ref().is_none_or(|found| found.dmarc == Slot::Pending) {
            untold.insert(Fact::Dmarc);
        } else if self.spf(peer) == Slot::Pending {
            untold.insert(Fact::Spf);
        }
        untold
    }

    /// The value of `Authentication-Results`, of what was found out.
    pub(crate) fn results(&self, peer: &Peer, id: &str) -> Option<String> {
        if self.is_ours(peer) {
            return None;
        }
        let found = authentic::Found {
            spf: self.spf(peer),
            sender: self.sender.as_ref(),
            helo: peer.hello.as_ref().and_then(|h| h.domain.as_ref()),
            authentic: self.authentic.as_ref(),
        };
        authentic::field(id, &found)
    }

    /// Lends the scratch out beside the facts.
    pub(crate) fn with_scratch<R>(&mut self, run: impl FnOnce(&Self, &mut Scratch) -> R) -> R {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = run(self, &mut scratch);
        self.scratch = scratch;
        result
    }

    /// MAIL: a refusal that hangs on client and sender alone.
    pub(crate) fn at_mail(&mut self, peer: &Peer) -> Gate {
        let login = peer.login.as_ref().map(|login| login.folded.as_str());
        if let Some((_, reply)) = bounds::foreign_sender(&self.table, login, self.sender.as_ref()) {
            return Gate::refuse(reply);
        }
        let outcome =
            self.with_scratch(|this, scratch| decide::verdict(&this.table, &this.facts(peer), scratch));
        match ruled(&self.table, outcome) {
            Ruled::Refused(refusal) => {
                self.findings =
                    self.with_scratch(|this, scratch| early(&this.table, &this.facts(peer), scratch, ""));
                Gate::Refuse(refusal)
            }
            Ruled::Open(need) if !lookup::at_mail(need).is_empty() => Gate::Ask(lookup::at_mail(need)),
            Ruled::Settled(..) | Ruled::Open(_) => Gate::Pass,
        }
    }

    /// What rules on trial would have changed of the refusal just given.
    pub(crate) fn findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// How many recipients got a 250.
    pub(crate) fn accepted(&self) -> usize {
        self.recipients.len()
    }
}
