//! The SMTP session as a pure state machine: bytes in, steps out. No socket, no clock.
//!
//! The driver calls [`Session::step`] with what it has read; the session says how much of it is dealt
//! with and what to do next, and leaves replies in [`Session::output`]. A step that takes time (a
//! handshake, the acceptor, a login) is answered by a method of its own; no `step` comes in between.
//! Limits: one transaction at a time; the input must hold a whole command line and one byte more.

use super::context::{Context, Metrics};
use super::escape::{Clean, reply_text};
use super::journal;
use super::lines::{Found, Skip, Skipped, find, is_dirty};
use super::log::{self, Entry};
use super::receiver::{Flaw, Receiver};
use super::sasl::{Exchange, Password};
use super::settings::{Endpoint, Results, Settings};
use super::verbs::{self, Flow, Turn};
use crate::acceptor::{Offered, Receipt};
use crate::envelope::{Authentication, Fate, Incoming, Refusal};
use crate::verdict::audit::Job;
use crate::verdict::connect::{What, at_connect, count};
use crate::verdict::limits::{Held, Key};
use crate::verdict::lookup::{Answer, Question};
use crate::verdict::peer::Peer;
use crate::verdict::ruling::{UNKNOWN, rule_origin};
use crate::verdict::transaction::{Gate, Passing, Transaction};
use edict_table::load::Loaded;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Replies kept before the driver must write them, in bytes.
const MAX_OUTPUT: usize = 16 << 10;

const BARE_LF: &str = "500 5.5.2 a LF without CR ends no line (RFC 5321 2.3.8)";

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
    /// Ask the next hop for a recipient, then call [`Session::offered`]. SIZE= where the client gave it.
    Offer(Box<Incoming>, Option<u64>),
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
    /// Refused in the greeting: waits for QUIT (RFC 5321 3.1).
    Turned,
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
    pub(super) phase: Phase,
    pub(super) transaction: Option<Box<Transaction>>,
    /// The message between two chunks.
    pub(super) chunks: Option<Box<Receiver>>,
    out: Vec<u8>,
    skip: Option<Skip>,
    errors: u32,
    pub(super) failures: u32,
    junk: u32,
    pause: bool,
    closing: bool,
    /// The client said QUIT.
    quit: bool,
    draining: bool,
    /// Bytes of messages counted in the context for this session.
    memory: u64,
    held: Vec<Held>,
    /// Rules on trial were held against this message.
    audited: bool,
    audits: Vec<Job>,
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
            endpoint,
            peer,
            phase: Phase::Greet,
            transaction: None,
            chunks: None,
            out: Vec::new(),
            skip: None,
            errors: 0,
            failures: 0,
            junk: 0,
            pause: false,
            closing: false,
            quit: false,
            draining: false,
            memory: 0,
            held: Vec::new(),
            audited: false,
            audits: Vec::new(),
        }
    }

    /// What waits to be written. Whoever writes it empties it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// A message is on its way in: other time limits hold.
    #[must_use]
    pub fn in_data(&self) -> bool {
        matches!(self.phase, Phase::Data(_) | Phase::Chunk(..) | Phase::Swallow(..))
    }

    /// Nothing is under way: the driver may let go of what it can.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.transaction.is_none() && matches!(self.phase, Phase::Command | Phase::Turned)
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
                Phase::Command | Phase::Turned => {
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
                Phase::Check(name, password) => {
                    let (name, password) = (std::mem::take(name), password.clone());
                    self.phase = Phase::Checking;
                    return (used, Step::Verify { name, password });
                }
                Phase::Offer(_) => {
                    if let Phase::Offer(so_far) = std::mem::replace(&mut self.phase, Phase::Offering) {
                        let size = self.transaction.as_ref().and_then(|t| t.announced);
                        return (used, Step::Offer(so_far, size));
                    }
                }
                Phase::Tls => return (used, Step::StartTls),
                // Nothing is expected while somebody else has the turn.
                Phase::Checking | Phase::Offering | Phase::Accepting(_) => return (used, Step::Read),
                Phase::Closed => return (used, Step::Close),
            }
        }
    }

    fn greet(&mut self, now: i64) -> Option<Step> {
        let table = self.table();
        if self.is_proxy {
            // It will say whom it speaks for; rules and limits wait for that. Without XCLIENT, MAIL asks the rules.
            self.phase = Phase::Command;
            self.say_banner(&table);
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
            let own = Key::new("connections of a client", Some(self.peer.ip));
            let place = match table.is_trusted(self.peer.ip) {
                true => None,
                false => Some(limits.hold(own, self.settings.max_per_client)),
            };
            if let Some(None) = place {
                limited = true;
                gate = Gate::refuse("421 4.7.0 too many connections from your address, try again later");
            } else if let Err(refusal) =
                count(&table, &facts, &mut scratch, limits, What::Connection, now, &mut self.held)
            {
                limited = true;
                gate = Gate::Refuse(refusal);
            }
            self.held.extend(place.flatten());
        }
        self.cx.put_scratch(scratch);
        if let Gate::Refuse(refusal) = gate {
            log::refused(self, &table, "connect", None, &refusal);
            log::audit_early(self, &table, "connect", "", &findings);
            self.say(&refusal.reply);
            // RFC 5321 3.1: whoever is refused is to QUIT; whoever comes too often is not waited for.
            self.phase = Phase::Turned;
            self.closing = limited;
            return None;
        }
        self.say_banner(&table);
        None
    }

    fn say_banner(&mut self, table: &Loaded) {
        match &table.profile().banner {
            Some(banner) => self.say(&format!("220 {banner}")),
            None => self.say(&format!("220 {} ESMTP", self.hostname(table))),
        }
    }

    /// Begins anew with the client that a proxy speaks for (XCLIENT): all that was learnt is forgotten.
    pub(super) fn introduce(&mut self, peer: Peer, helo: Option<Box<str>>) {
        self.end_transaction();
        self.held.clear();
        self.peer = peer;
        self.given_helo = helo;
        // Once: behind a proxy that passes bytes on, the next XCLIENT would be the client's own.
        self.is_proxy = false;
        (self.errors, self.failures, self.junk) = (0, 0, 0);
        self.phase = Phase::Greet;
    }

    /// The name of this host.
    pub(super) fn hostname(&self, table: &Loaded) -> String {
        table.profile().hostname.clone().unwrap_or_else(|| self.settings.hostname.clone())
    }

    /// The table of the transaction, else the live one.
    pub(super) fn table(&self) -> Arc<Loaded> {
        self.transaction.as_ref().map_or_else(|| self.cx.live.current(), |t| Arc::clone(&t.table))
    }

    /// Takes one command line.
    fn command(&mut self, rest: &[u8], now: i64) -> (usize, Option<Step>) {
        if let Some(skip) = &mut self.skip {
            let skipped = skip.feed(rest);
            if skipped == Skipped::All {
                return (rest.len(), Some(Step::Read));
            }
            self.skip = None;
            return match skipped {
                Skipped::Ended(used) => {
                    self.say("500 5.5.2 the line is too long");
                    (used, None)
                }
                Skipped::BareLf => {
                    self.hang_up(BARE_LF);
                    (rest.len(), None)
                }
                Skipped::All | Skipped::Hopeless => {
                    self.hang_up("500 5.5.2 the line is too long");
                    (rest.len(), None)
                }
            };
        }
        if rest.is_empty() && self.draining && self.transaction.is_none() {
            self.hang_up("421 4.3.2 this server goes down, try again later");
            return (0, None);
        }
        let length = match find(rest, self.settings.max_line) {
            Found::Partial => return (0, Some(Step::Read)),
            Found::Line(length) => length,
            Found::Long => {
                self.skip = Some(Skip::default());
                return (0, None);
            }
            Found::BareLf => {
                self.hang_up(BARE_LF);
                return (rest.len(), None);
            }
        };
        let used = length + 2;
        let line = rest.get(..length).unwrap_or_default();
        let text = match std::str::from_utf8(line) {
            Ok(text) if !is_dirty(line) => text,
            _ => {
                self.say("500 5.5.2 the line holds bytes that no command has");
                return (used, None);
            }
        };
        match self.run(text, rest.len() > used, now) {
            Flow::Done => (used, None),
            Flow::Again(step) => (0, Some(step)),
        }
    }

    fn run(&mut self, line: &str, more: bool, now: i64) -> Flow {
        let (verb, args) = line.split_once(' ').unwrap_or((line, ""));
        let Some(command) = verbs::find(verb) else {
            if verbs::is_other_protocol(verb) {
                self.hang_up("500 5.5.2 this is a mail server");
            } else {
                self.say("500 5.5.2 command not recognized");
            }
            return Flow::Done;
        };
        if matches!(self.phase, Phase::Turned) && command.name != "QUIT" {
            self.hang_up_after_errors("503 5.5.1 no mail is taken from here");
            return Flow::Done;
        }
        let waits = command.ends_group || !self.peer.hello.as_ref().is_some_and(|h| h.esmtp);
        if more && waits && command.name != "QUIT" && self.table().profile().strict_pipelining {
            // What follows was written for a state that may never come: it is not looked at.
            self.hang_up("503 5.5.0 commands came before the reply that they must wait for");
            return Flow::Done;
        }
        if command.junk {
            self.junk += 1;
            if self.junk > self.table().profile().junk_commands {
                self.hang_up("421 4.7.0 too many commands that bring no mail");
                return Flow::Done;
            }
        }
        let turn = Turn { args: args.trim_end_matches(' '), now };
        if let Err(reply) = (command.check)(self, &turn) {
            self.say(reply);
            return Flow::Done;
        }
        (command.run)(self, &turn)
    }

    /// Writes a reply line; a 5xx counts as an error of the client.
    pub(super) fn say(&mut self, line: &str) {
        self.out.extend(reply_text(line, 510));
        self.out.extend_from_slice(b"\r\n");
        if line.starts_with('5') {
            self.errors = self.errors.saturating_add(1);
            let table = self.table();
            let profile = table.profile();
            if self.errors > profile.errors_close_after {
                self.hang_up("421 4.7.0 too many errors");
            }
            self.pause |= self.errors > profile.errors_slow_after;
        }
    }

    /// Writes a line of a 250 reply to which more lines follow.
    pub(super) fn say_more(&mut self, text: &str) {
        self.out.extend_from_slice(b"250-");
        self.out.extend(reply_text(text, 500));
        self.out.extend_from_slice(b"\r\n");
    }

    /// Says a last word.
    pub(super) fn hang_up(&mut self, line: &str) {
        self.out.extend(reply_text(line, 510));
        self.out.extend_from_slice(b"\r\n");
        self.closing = true;
    }

    /// Ends the session as its client wishes.
    pub(super) fn take_leave(&mut self) {
        self.quit = true;
        self.hang_up("221 2.0.0 Bye");
    }

    /// The client ended it, and waits for nothing but the last reply.
    #[must_use]
    pub fn has_quit(&self) -> bool {
        self.quit
    }

    /// Holds the replies back for a while.
    pub(super) fn hold_back(&mut self) {
        self.pause = true;
    }

    /// For those who were refused in the greeting: a few answers, then no more.
    fn hang_up_after_errors(&mut self, line: &str) {
        self.say(line);
        self.closing |= self.errors > 5;
    }

    /// Begins to take a message.
    pub(super) fn receive(&mut self, max: u64, announced: Option<u64>) {
        self.phase = Phase::Data(Box::new(Receiver::new(max, announced)));
        self.count_memory();
    }

    /// Begins to take a chunk of a message.
    pub(super) fn receive_chunk(&mut self, receiver: Box<Receiver>, length: u64, last: bool) {
        let most = receiver.max().saturating_mul(2).saturating_add(1 << 20);
        if length > most {
            self.end_transaction();
            self.hang_up(Flaw::TooLong.reply());
            return;
        }
        self.phase = Phase::Chunk(receiver, length, last);
    }

    /// Begins to read a chunk that is refused.
    pub(super) fn swallow(&mut self, length: u64, reply: String) {
        if length > self.table().profile().max_message_size.saturating_mul(2).saturating_add(1 << 20) {
            self.hang_up(&reply);
        } else {
            self.phase = Phase::Swallow(length, reply);
        }
    }

    fn end_of_chunk(&mut self, last: bool) {
        let Phase::Chunk(mut receiver, ..) = std::mem::replace(&mut self.phase, Phase::Command) else {
            return;
        };
        if last {
            receiver.last_chunk();
            self.phase = Phase::End(receiver);
        } else if let Some(flaw) = receiver.flaw() {
            // More chunks would only be thrown away; they are, each with a 503.
            let refusal = Refusal { reply: flaw.reply().to_owned(), rule: None };
            log::refused(self, &self.table(), "data", None, &refusal);
            self.end_transaction();
            self.say(&refusal.reply);
        } else {
            self.chunks = Some(receiver);
            self.say("250 2.0.0 Ok");
        }
    }

    /// Keeps the count of message bytes, and spoils a message that the server has no memory for.
    fn count_memory(&mut self) {
        let (Phase::Data(receiver) | Phase::Chunk(receiver, ..)) = &mut self.phase else {
            return;
        };
        let counter = &self.cx.metrics.memory;
        let held = receiver.memory();
        let all = counter.fetch_add(held, Ordering::Relaxed).wrapping_add(held).wrapping_sub(self.memory);
        counter.fetch_sub(self.memory, Ordering::Relaxed);
        self.memory = held;
        if held > 0 && all > self.settings.max_memory {
            receiver.spoil(Flaw::NoMemory);
            counter.fetch_sub(held, Ordering::Relaxed);
            self.memory = 0;
        }
    }

    fn free_memory(&mut self) {
        self.cx.metrics.memory.fetch_sub(std::mem::take(&mut self.memory), Ordering::Relaxed);
    }

    fn end_of_data(&mut self, now: i64) -> Option<Step> {
        let Phase::End(mut receiver) = std::mem::replace(&mut self.phase, Phase::Command) else {
            return None;
        };
        let hostname = self.hostname(&self.table());
        let Some(transaction) = &mut self.transaction else {
            self.say("503 5.5.1 no transaction");
            return None;
        };
        let gate = match receiver.flaw() {
            Some(flaw) => Gate::refuse(flaw.reply()),
            None => transaction.at_end(&self.peer, &hostname, receiver.bytes()),
        };
        let by_rules = match &gate {
            Gate::Pass => true,
            // Where a setting refuses, rules on trial change nothing.
            Gate::Refuse(refusal) => refusal.rule.is_some() || refusal.reply.starts_with(UNKNOWN),
            Gate::Ask(_) | Gate::Probe(_) => false,
        };
        if by_rules && !self.audited {
            self.audited = true;
            let (findings, job) = transaction.audit(&self.peer, receiver.bytes());
            self.audits.extend(job);
            let about = transaction.about(&self.peer);
            log::audit(&about, "end-of-data", &findings);
        }
        match gate {
            Gate::Pass => {
                let dropped = transaction.settled().all(|(_, fate, _)| fate == Fate::Discard);
                if self.settings.results == Results::Always && !dropped {
                    let untold = transaction.untold(&self.peer);
                    if !untold.is_empty() {
                        let questions = transaction.questions(&self.peer, untold, receiver.bytes());
                        self.phase = Phase::End(receiver);
                        return Some(Step::Look(questions));
                    }
                }
            }
            Gate::Refuse(refusal) => {
                let table = self.table();
                log::refused(self, &table, "end-of-data", None, &refusal);
                journal::refused(self, &table, "end-of-data", None, Some(receiver.bytes()), &refusal);
                self.end_transaction();
                self.say(&refusal.reply);
                return None;
            }
            Gate::Ask(need) => {
                let questions = transaction.questions(&self.peer, need, receiver.bytes());
                // The message waits; with the answers its end is decided again.
                if !questions.is_empty() {
                    self.phase = Phase::End(receiver);
                    return Some(Step::Look(questions));
                }
                return self.cannot_tell();
            }
            Gate::Probe(_) => return self.cannot_tell(),
        }
        let mut entry = Entry::new(transaction, receiver.size());
        entry.draft = journal::draft(&self.cx, &self.peer, transaction, receiver.bytes());
        let told = authentication(&self.settings, &self.peer, transaction);
        let incoming = transaction.take_incoming(&self.peer, receiver.take(), now, told);
        self.phase = Phase::Accepting(Box::new(entry));
        Some(Step::Accept(Box::new(incoming)))
    }

    /// Nobody can answer what the verdict hangs on.
    fn cannot_tell(&mut self) -> Option<Step> {
        self.end_transaction();
        self.say("451 4.4.3 a lookup failed, try again later");
        None
    }

    /// The acceptor's answer to [`Step::Accept`].
    pub fn accepted(&mut self, result: Result<Receipt, Refusal>) {
        let Phase::Accepting(entry) = std::mem::replace(&mut self.phase, Phase::Command) else {
            return;
        };
        let table = self.table();
        match result {
            Ok(receipt) => {
                let counter =
                    if entry.all_discarded { &self.cx.metrics.discarded } else { &self.cx.metrics.accepted };
                Metrics::bump(counter);
                let reply = format!("250 2.0.0 Ok: queued as {}", entry.id);
                log::accepted(self, &table, &entry, &receipt, &reply);
                self.say(&reply);
                self.errors = 0;
                self.junk = 0;
            }
            Err(refusal) => {
                log::refused(self, &table, "accept", Some(&entry), &refusal);
                self.say(&refusal.reply);
            }
        }
        self.end_transaction();
    }

    /// The answer to [`Step::Offer`].
    pub fn offered(&mut self, offered: Offered) {
        if !matches!(self.phase, Phase::Offering) {
            return;
        }
        self.phase = Phase::Command;
        let Some(transaction) = &mut self.transaction else { return };
        match offered {
            Offered::Taken => transaction.passing = Passing::Taken,
            Offered::Store => transaction.passing = Passing::Stored,
            Offered::Refused(reply) => {
                let to = transaction.withdraw().map(|wire| format!("<{}>", Clean(&wire))).unwrap_or_default();
                let from = format!("<{}>", Clean(&transaction.reverse.wire));
                let refusal = Refusal { reply, rule: None };
                log::refused_for(self, &self.table(), "next-hop", &from, &to, &refusal);
                self.say(&refusal.reply);
                return;
            }
        }
        self.say("250 2.1.5 Ok");
    }

    /// The next hop took all recipients: the message is to be handed to it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.transaction.as_ref().is_some_and(|t| t.passing == Passing::Taken)
    }

    /// Answers to [`Step::Look`].
    pub fn answered(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            if let Some(transaction) = &mut self.transaction {
                transaction.learn(&answer);
            }
            self.peer.learn(answer);
        }
    }

    /// Rules on trial that hang on lookups. Whoever drives the session has them answered after the replies.
    pub fn audits(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.audits)
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

/// What a message that is taken tells of its authenticity.
pub(super) fn authentication(settings: &Settings, peer: &Peer, transaction: &Transaction) -> Authentication {
    let ours = transaction.trusted && peer.login.is_none();
    let profile = transaction.table.profile();
    let id = match (&settings.authserv_id, &profile.hostname) {
        // Another server of ours passed it on, and may have written what it found out.
        _ if ours => String::new(),
        (Some(id), _) => id.clone(),
        (None, Some(hostname)) => hostname.clone(),
        (None, None) => settings.hostname.clone(),
    };
    let tells = settings.results != Results::Never;
    let results = transaction.results(peer, &id).filter(|_| tells);
    Authentication { id, results }
}

/// The verdict of an accepted message in one word, and the rule that decided first.
pub(super) fn summary(transaction: &Transaction) -> (&'static str, Option<(String, String, u32)>, bool) {
    let mut verdict = "accept";
    let mut deciding = None;
    let mut all_discarded = true;
    for (_, fate, rule) in transaction.settled() {
        all_discarded &= fate == Fate::Discard;
        if deciding.is_none()
            && let Some(id) = rule
        {
            deciding = rule_origin(&transaction.table, id);
            verdict = match fate {
                Fate::Deliver => "allow",
                Fate::Hold => "hold",
                Fate::Discard => "discard",
            };
        }
    }
    (verdict, deciding, all_discarded)
}
