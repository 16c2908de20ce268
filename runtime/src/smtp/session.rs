//! The SMTP session as a pure state machine: bytes in, steps out. No socket, no clock.
//!
//! The driver calls [`Session::step`] with what it has read; the session says how much of it is dealt
//! with and what to do next, and leaves replies in [`Session::output`]. A step that takes time (a
//! handshake, the acceptor, a login) is answered by a method of its own; no `step` comes in between.
//! Limits: one transaction at a time; the input must hold a whole command line and one byte more.

mod answers;
mod command;
mod finish;
mod greet;
mod receive;
mod replies;

pub(super) use command::NO_MAIL;
pub(super) use finish::{authentication, summary};

use super::ahead::Habit;
use super::context::Context;
use super::lines::Skip;
use super::log::Entry;
use super::memory::Counted;
use super::receiver::{Flaw, Receiver};
use super::sasl::{Exchange, Password};
use super::settings::{Endpoint, Settings};
use crate::acceptor::Expected;
use crate::envelope::Incoming;
use crate::users::Proof;
use crate::verdict::audit::Job;
use crate::verdict::limits::{Held, Reserved};
use crate::verdict::lookup::Question;
use crate::verdict::peer::Peer;
use crate::verdict::transaction::Transaction;
use edict_table::load::Loaded;
use edict_table::value::canonical_ip;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Replies kept before the driver must write them, in bytes.
const MAX_OUTPUT: usize = 16 << 10;

/// What the driver is to do next. Replies in [`Session::output`] are written before it reads or closes.
#[derive(Debug)]
pub enum Step {
    /// Write what there is, then read more.
    Read,
    /// Write what there is, then go on with the same input.
    Write,
    /// Wait, then go on; what there is to write waits too.
    Wait(Duration),
    /// Hand the message to the acceptor, then call [`Session::accepted`].
    Accept(Box<Incoming>),
    /// Ask the next hop for a recipient, then call [`Session::offered`].
    Offer(Box<Incoming>, Expected),
    /// Have the password checked, then call [`Session::verified`].
    Verify {
        /// Who logs in.
        name: String,
        /// With what.
        password: Password,
    },
    /// Write what there is, forget what was read, encrypt, then call [`Session::encrypted`].
    StartTls,
    /// Have these answered, then call [`Session::answered`].
    Look(Vec<Question>),
    /// Write what there is and close the connection.
    Close,
}

/// Where a session is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Before the greeting.
    Greet,
    /// Between commands.
    Command,
    /// Takes a message.
    Data(Box<Receiver>),
    /// Takes a chunk of a message: so many bytes are left; whether it is the last.
    Chunk(Box<Receiver>, u64, bool),
    /// Reads a chunk that is refused, then says why.
    Swallow(u64, String),
    /// Has a message and decides on it.
    End(Box<Receiver>),
    /// Within AUTH: waits for the client's response.
    Auth(Box<Exchange>),
    /// Has a password that is to be checked.
    Check(String, Password),
    /// A password is being checked.
    Checking,
    /// Has a recipient that the next hop is to be asked for.
    Offer(Box<Incoming>),
    /// The next hop is being asked.
    Offering,
    /// Begins TLS.
    Tls,
    /// The acceptor has the message.
    Accepting(Box<Entry>),
    /// Over.
    Closed,
}

/// A session with one client.
#[derive(Debug)]
pub struct Session {
    pub(super) cx: Arc<Context>,
    pub(super) endpoint: Endpoint,
    pub(super) settings: Arc<Settings>,
    pub(super) peer: Peer,
    /// The client may say whom it speaks for, and has not yet.
    pub(super) is_proxy: bool,
    /// The HELO that XCLIENT gave; it outlives the proxy's own.
    pub(super) given_helo: Option<Box<str>>,
    /// The address of this machine that the client connected to, where it is known.
    pub(super) own: Option<IpAddr>,
    pub(super) phase: Phase,
    pub(super) transaction: Option<Box<Transaction>>,
    /// The message between two chunks.
    pub(super) chunks: Option<Box<Receiver>>,
    out: Vec<u8>,
    skip: Option<Skip>,
    errors: u32,
    pub(super) failures: u32,
    /// What proved the login, where our own file of users did.
    pub(super) proof: Option<Box<Proof>>,
    /// A login of this client that is being checked.
    pub(super) guess: Option<Reserved>,
    junk: u32,
    pause: bool,
    closing: bool,
    /// Refused in the greeting: nothing but QUIT is done (RFC 5321 3.1).
    turned: bool,
    /// The client said QUIT.
    quit: bool,
    draining: bool,
    /// What is counted in the context for its message.
    memory: Counted,
    held: Vec<Held>,
    /// The place among the connections of its client.
    place: Option<Held>,
    /// Rules on trial were held against this message.
    audited: bool,
    audits: Vec<Job>,
    /// How many recipients its messages have.
    pub(super) habit: Habit,
}

impl Session {
    /// A session with a client at this address. The first step greets.
    #[must_use]
    pub fn new(cx: Arc<Context>, endpoint: Endpoint, client: IpAddr) -> Self {
        let peer = Peer::new(client);
        Self {
            settings: cx.settings.load_full(),
            cx,
            is_proxy: endpoint.proxies.may_xclient(peer.ip),
            given_helo: None,
            own: None,
            endpoint,
            peer,
            phase: Phase::Greet,
            transaction: None,
            chunks: None,
            out: Vec::new(),
            skip: None,
            errors: 0,
            failures: 0,
            proof: None,
            guess: None,
            junk: 0,
            pause: false,
            closing: false,
            turned: false,
            quit: false,
            draining: false,
            memory: Counted::default(),
            held: Vec::new(),
            place: None,
            audited: false,
            audits: Vec::new(),
            habit: Habit::default(),
        }
    }

    /// The same, told which address of this machine the client connected to.
    #[must_use]
    pub fn connected_to(mut self, own: Option<IpAddr>) -> Self {
        self.own = own.map(canonical_ip);
        self
    }

    /// What waits to be written. Whoever writes it empties it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// A part of a message is on its way in: other time limits hold.
    #[must_use]
    pub fn in_data(&self) -> bool {
        matches!(self.phase, Phase::Data(_) | Phase::Chunk(..) | Phase::Swallow(..))
    }

    /// A message has begun and has not ended, also between two chunks: its time runs.
    #[must_use]
    pub fn in_message(&self) -> bool {
        self.in_data() || self.chunks.is_some()
    }

    /// Nothing is under way: the driver may let go of what it can.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.transaction.is_none() && matches!(self.phase, Phase::Command)
    }

    /// Goes on with the input; returns how many bytes of it are dealt with, and what to do next. `now`
    /// is in Unix milliseconds.
    pub fn step(&mut self, input: &[u8], now: i64) -> (usize, Step) {
        let mut used = 0;
        loop {
            if std::mem::take(&mut self.pause) {
                return (used, Step::Wait(self.settings.error_delay));
            }
            if self.closing {
                self.phase = Phase::Closed;
                return (used, Step::Close);
            }
            if self.out.len() > MAX_OUTPUT {
                return (used, Step::Write);
            }
            let rest = input.get(used..).unwrap_or_default();
            match &mut self.phase {
                Phase::Greet => {
                    if let Some(step) = self.greet(now) {
                        return (used, step);
                    }
                }
                Phase::Command => {
                    let (more, step) = self.command(rest, now);
                    used += more;
                    if let Some(step) = step {
                        return (used, step);
                    }
                }
                Phase::Data(receiver) => {
                    let (more, done) = receiver.feed(rest);
                    used += more;
                    let hopeless = receiver.is_hopeless();
                    self.count_memory();
                    if hopeless && !done {
                        self.hang_up(Flaw::TooLong.reply());
                        continue;
                    }
                    if !done {
                        return (used, Step::Read);
                    }
                    if let Phase::Data(receiver) = std::mem::replace(&mut self.phase, Phase::Command) {
                        self.phase = Phase::End(receiver);
                    }
                }
                Phase::Chunk(receiver, left, last) => {
                    let part = rest.get(..usize::try_from(*left).unwrap_or(usize::MAX)).unwrap_or(rest);
                    receiver.feed_chunk(part);
                    used += part.len();
                    *left -= part.len() as u64;
                    let (done, last) = (*left == 0, *last);
                    self.count_memory();
                    if !done {
                        return (used, Step::Read);
                    }
                    self.end_of_chunk(last);
                }
                Phase::Swallow(left, reply) => {
                    let part = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    used += part;
                    *left -= part as u64;
                    if *left > 0 {
                        return (used, Step::Read);
                    }
                    let reply = std::mem::take(reply);
                    self.phase = Phase::Command;
                    self.say(&reply);
                }
                Phase::End(_) => {
                    if let Some(step) = self.end_of_data(now) {
                        return (used, step);
                    }
                }
                Phase::Auth(_) => {
                    let (more, step) = self.response(rest, now);
                    used += more;
                    if let Some(step) = step {
                        return (used, step);
                    }
                }
                Phase::Check(..) => {
                    if let Some(step) = self.check_login(now) {
                        return (used, step);
                    }
                }
                Phase::Offer(_) => {
                    if let Phase::Offer(so_far) = std::mem::replace(&mut self.phase, Phase::Offering) {
                        return (used, Step::Offer(so_far, self.expected(rest)));
                    }
                }
                Phase::Tls => return (used, Step::StartTls),
                // Nothing is expected while somebody else has the turn.
                Phase::Checking | Phase::Offering | Phase::Accepting(_) => return (used, Step::Read),
                Phase::Closed => return (used, Step::Close),
            }
        }
    }

    /// The name of this host.
    pub(super) fn hostname(&self, table: &Loaded) -> String {
        table.profile().hostname.clone().unwrap_or_else(|| self.settings.hostname.clone())
    }

    /// The table of the transaction, else the live one.
    pub(super) fn table(&self) -> Arc<Loaded> {
        self.transaction.as_ref().map_or_else(|| self.cx.live.current(), |t| Arc::clone(&t.table))
    }

    /// The client was refused in the greeting: it is waited for only briefly.
    #[must_use]
    pub fn is_turned(&self) -> bool {
        self.turned
    }

    /// The client ended it, and waits for nothing but the last reply.
    #[must_use]
    pub fn has_quit(&self) -> bool {
        self.quit
    }

    /// Forgets the transaction.
    pub(super) fn end_transaction(&mut self) {
        self.audited = false;
        self.chunks = None;
        self.free_memory();
        if let Some(transaction) = self.transaction.take() {
            self.cx.put_scratch(transaction.into_scratch());
        }
    }

    /// The client did not send in time, or the server must end the session: the last word.
    pub fn timed_out(&mut self) {
        self.hang_up("421 4.4.2 timed out, closing");
        self.phase = Phase::Closed;
    }

    /// Memory is short and the message comes slowly: it makes room for others.
    pub fn crowded_out(&mut self) {
        self.hang_up("421 4.3.1 too many messages at once, and this one comes slowly: try again later");
        self.phase = Phase::Closed;
    }

    /// The server goes down: what is under way is finished, then the session ends.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether the session was told that the server goes down.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_transaction();
    }
}
