//! Pass-through: mail that goes on to its next hop while its client waits, and is never stored.
//!
//! A [`Passage`] holds the connections; a [`Through`] is one transaction over one of them. Whatever goes
//! wrong before the end of the message went out, the caller still has the message and stores it. Bounded: so
//! many connections, so long a wait; where either is used up, mail is stored as ever.

mod down;
mod idle;

use super::route::Hop;
use super::ways::Ways;
use super::{Inner, Queue, now};
use crate::acceptor::Expected;
use crate::deliver::client::{Session, Trouble};
use crate::deliver::reply::Reply;
use crate::deliver::through::{Handed, Waits};
use crate::envelope::{Dispatch, DispatchKind, MessageId, Record};
use crate::within::within;
use down::{Down, Turn};
use idle::{Idle, REST};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// How long a client waits for the next hop's word on a recipient before its mail is stored instead.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is sent at once of a message whose end is not here.
const WORTH_IT: usize = 32 << 10;
/// How long a message may take that is handed over: together, less than a client waits (RFC 5321 4.5.3.2.6).
const WAITS: Waits = Waits { piece: PATIENCE, all: Duration::from_secs(240), word: Duration::from_secs(300) };

/// What became of a recipient that was offered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Offered {
    /// The next hop takes mail for it.
    Taken,
    /// The next hop refuses it, with this reply for the client.
    Refused(String),
    /// It is not to be asked: the message is stored, for all its recipients.
    Store,
}

/// What became of a message that was passed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Passed {
    /// This next hop has it.
    Taken(String),
    /// The next hop refuses it, with this reply for the client.
    Refused(String),
    /// Nobody has it.
    Unsent,
    /// The next hop may have it.
    Unknown,
}

/// The way through.
#[derive(Clone)]
pub struct Passage(Arc<Shared>);

struct Shared {
    queue: Arc<Inner>,
    places: Arc<Semaphore>,
    idle: Idle,
    down: Down,
}

impl std::fmt::Debug for Passage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passage").field("free", &self.0.places.available_permits()).finish_non_exhaustive()
    }
}

/// One transaction on its way through. Dropped, its connection is kept for the next one.
pub struct Through {
    shared: Arc<Shared>,
    hop: Hop,
    session: Option<Box<Session>>,
    /// Its envelope so far.
    dispatch: Dispatch,
    /// What went out before the end of the message was here. Boxed: few have one, and each is moved.
    ahead: Option<Box<Ahead>>,
    /// It finds out whether a hop that said nothing speaks again.
    probes: bool,
    _place: OwnedSemaphorePermit,
}

/// The front of a message that is on its way already.
struct Ahead {
    /// So many bytes of it are out.
    sent: usize,
    /// What they were.
    hash: Xxh3,
    /// So many bytes of what the client sent were looked at.
    seen: usize,
    /// The reply that refuses the message.
    refused: Option<Reply>,
}

impl std::fmt::Debug for Through {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Through").field("dispatch", &self.dispatch).finish_non_exhaustive()
    }
}

impl Queue {
    /// A way through, with at most so many connections. Inside a tokio runtime.
    #[must_use]
    pub fn passage(&self, connections: usize) -> Passage {
        let shared = Arc::new(Shared {
            queue: Arc::clone(&self.inner),
            places: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            idle: Idle::default(),
            down: Down::default(),
        });
        let its = Arc::downgrade(&shared);
        tokio::spawn(async move { sweep(&its).await });
        Passage(shared)
    }
}

/// Takes leave of connections that nobody used for a while.
async fn sweep(shared: &Weak<Shared>) {
    loop {
        tokio::time::sleep(REST / 2).await;
        let Some(shared) = shared.upgrade() else { return };
        let ways = shared.queue.ways.load().number;
        let old = shared.idle.old(ways, shared.queue.draining());
        for session in old {
            session.quit().await;
        }
    }
}

impl Passage {
    /// Offers a recipient, the only one of this dispatch, to its next hop: in the transaction that is
    /// open, else in a new one. After [`Offered::Store`] none is open.
    pub async fn offer(&self, open: &mut Option<Through>, dispatch: Dispatch, expected: Expected) -> Offered {
        let offered = self.0.offer(open, dispatch, expected).await;
        if offered == Offered::Store {
            *open = None;
        }
        offered
    }
}

impl Shared {
    async fn offer(
        self: &Arc<Self>,
        open: &mut Option<Through>,
        dispatch: Dispatch,
        expected: Expected,
    ) -> Offered {
        let ways = self.queue.ways.load_full();
        let hop = ways.guide.hops(&dispatch, now()).pop();
        let Some(hop) = hop.filter(|hop| matches!(hop, Hop::Relay(_))) else { return Offered::Store };
        // Whoever has it open already knows better.
        let turn = if open.is_none() { self.down.turn(&hop) } else { Turn::Free };
        if self.queue.draining() || turn == Turn::Held {
            return Offered::Store;
        }
        let offered = match timeout(PATIENCE, self.ask(&ways, &hop, open, dispatch, expected)).await {
            Ok(offered) => offered,
            Err(_) => {
                tracing::info!(%hop, "a next hop says nothing: mail is stored");
                self.down.add_silent(&hop);
                Offered::Store
            }
        };
        match open.as_mut().filter(|_| offered == Offered::Taken) {
            Some(through) => through.probes |= turn == Turn::Probe,
            // What it says of a recipient is no word on a message.
            None if turn == Turn::Probe => self.down.give_back(&hop),
            None => {}
        }
        offered
    }

    /// The same for the hop that it goes to, however long that takes.
    async fn ask(
        self: &Arc<Self>,
        ways: &Ways,
        hop: &Hop,
        open: &mut Option<Through>,
        dispatch: Dispatch,
        expected: Expected,
    ) -> Offered {
        let [target] = dispatch.recipients.as_slice() else { return Offered::Store };
        if let Some(through) = open.as_mut() {
            // Whoever was asked before is told nothing of this: the whole is stored.
            let Some(mut session) = through.session.take_if(|_| through.hop == *hop) else {
                return Offered::Store;
            };
            if !same_envelope(&through.dispatch, &dispatch) || !session.takes(&dispatch, target) {
                through.session = Some(session);
                return Offered::Store;
            }
            if session.said_data() {
                // There is no way back from that but a connection of its own (RFC 5321 4.1.1.4).
                drop(session);
                let again = Expected { last: false, ..expected };
                match self.begin(ways, hop, &through.dispatch, again).await {
                    Begun::Taken(fresh) => session = fresh,
                    Begun::Refused(_) | Begun::Store => return Offered::Store,
                }
            }
            // While this waits, a connection that is given up on is not kept.
            let added = session.add(target, dispatch.smtputf8).await;
            return match added {
                Ok(refused) => {
                    through.session = Some(session);
                    if let Some(reply) = refused {
                        return match another_may(hop, &reply) {
                            true => Offered::Store,
                            false => Offered::Refused(reply.line()),
                        };
                    }
                    through.dispatch.recipients.extend(dispatch.recipients);
                    Offered::Taken
                }
                Err(trouble) => {
                    self.down.note(hop, &trouble);
                    Offered::Store
                }
            };
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Offered::Store };
        match self.begin(ways, hop, &dispatch, expected).await {
            Begun::Taken(session) => {
                let (shared, hop, session) = (Arc::clone(self), hop.clone(), Some(session));
                *open = Some(Through {
                    shared,
                    hop,
                    session,
                    dispatch,
                    ahead: None,
                    probes: false,
                    _place: place,
                });
                Offered::Taken
            }
            Begun::Refused(reply) => Offered::Refused(reply.line()),
            Begun::Store => Offered::Store,
        }
    }

    /// Opens a transaction with the first recipient of a dispatch, over a connection that rests or a new one.
    async fn begin(&self, ways: &Ways, hop: &Hop, dispatch: &Dispatch, expected: Expected) -> Begun {
        let Some(target) = dispatch.recipients.first() else { return Begun::Store };
        loop {
            let kept = self.idle.take(hop, ways.number);
            let reused = kept.is_some();
            let mut session = match kept {
                Some(session) => session,
                // Seldom needed, and large: not carried along by each message.
                None => match Box::pin(self.connect(ways, hop)).await {
                    Ok(session) => {
                        let mut session = Box::new(session);
                        session.ways = ways.number;
                        session
                    }
                    Err(trouble) => {
                        tracing::info!(%hop, %trouble, "no way through: mail is stored");
                        match trouble {
                            Trouble::Silent => self.down.add_silent(hop),
                            _ => self.down.add_unreached(hop),
                        }
                        return Begun::Store;
                    }
                },
            };
            if !session.takes(dispatch, target) || is_beyond(hop, &session, expected.size.unwrap_or_default())
            {
                self.rest(hop, session);
                return Begun::Store;
            }
            match session.open(dispatch, target, expected).await {
                Ok(None) => return Begun::Taken(session),
                Ok(Some(reply)) => {
                    self.rest(hop, session);
                    if another_may(hop, &reply) {
                        tracing::info!(%hop, reply = reply.line(), "put off: mail is stored for another server");
                        return Begun::Store;
                    }
                    return Begun::Refused(reply);
                }
                // It was closed while it rested; there may be others like it.
                Err(trouble) if reused && trouble != Trouble::Silent => {}
                Err(trouble) => {
                    self.down.note(hop, &trouble);
                    tracing::info!(%hop, %trouble, "no way through: mail is stored");
                    return Begun::Store;
                }
            }
        }
    }

    /// Opens a connection, for whoever has a place. Each place is for one connection, in use or at rest: of those that
    /// rest, as many stay as there are places left.
    async fn connect(&self, ways: &Ways, hop: &Hop) -> Result<Session, Trouble> {
        for session in self.idle.beyond(self.places.available_permits()) {
            session.quit().await;
        }
        ways.dialer.connect(hop, &ways.hostname()).await
    }

    fn rest(&self, hop: &Hop, session: Box<Session>) {
        if !self.queue.draining() {
            self.idle.put(hop, session);
        }
    }
}

/// Whether another server of the hop may take what one puts off (RFC 5321 5.1): the queue asks it.
fn another_may(hop: &Hop, reply: &Reply) -> bool {
    !reply.permanent() && has_another(hop)
}

/// Whether another server of the hop may take a message of so many bytes, and this one says that it does not.
fn is_beyond(hop: &Hop, session: &Session, size: u64) -> bool {
    session.offers().size.is_some_and(|limit| limit > 0 && size > limit) && has_another(hop)
}

fn has_another(hop: &Hop) -> bool {
    matches!(hop, Hop::Relay(relay) if relay.hosts.len() > 1)
}

/// What came of a transaction that was to be opened.
enum Begun {
    Taken(Box<Session>),
    Refused(Reply),
    Store,
}

impl Ahead {
    /// What is left of a message. None where it does not begin with what was sent.
    fn rest<'a>(&self, message: &'a [u8]) -> Option<&'a [u8]> {
        let (front, rest) = message.split_at_checked(self.sent)?;
        (xxh3_64(front) == self.hash.digest()).then_some(rest)
    }
}

/// Whether two recipients can share a transaction.
fn same_envelope(one: &Dispatch, other: &Dispatch) -> bool {
    one.sender == other.sender
        && one.smtputf8 == other.smtputf8
        && one.ret == other.ret
        && one.envid == other.envid
}

impl Through {
    /// Whether a record says nothing but what was offered: one envelope, these recipients, one variant.
    #[must_use]
    pub fn fits(&self, record: &Record) -> bool {
        let Some(first) = record.dispatches.first() else { return false };
        // Recipients may stand in two dispatches by direction, which means nothing to the next hop.
        let recipients = record.dispatches.iter().flat_map(|dispatch| &dispatch.recipients);
        let same = |d: &Dispatch| {
            d.kind == DispatchKind::Message
                && !d.hold
                && d.variant == first.variant
                && same_envelope(d, &self.dispatch)
        };
        record.dispatches.iter().all(same)
            && recipients.clone().count() == self.dispatch.recipients.len()
            && recipients.clone().all(|target| self.dispatch.recipients.contains(target))
    }

    /// Says that the message is coming, and does not wait for the word on that. Where the message does not come
    /// after all, this costs the connection.
    pub async fn announce(&mut self) {
        if self.ahead.is_some() {
            // It was, and may have been refused.
            return;
        }
        // While this waits, a connection that is given up on is not kept; the message is stored then.
        let Some(mut session) = self.session.take_if(|session| !session.said_data()) else { return };
        match timeout(PATIENCE, session.ask_for_data()).await {
            Ok(Ok(())) => self.session = Some(session),
            Ok(Err(trouble)) => {
                self.shared.down.note(&self.hop, &trouble);
                tracing::info!(hop = %self.hop, %trouble, "a next hop broke off");
            }
            Err(_) => self.note_silence(),
        }
    }

    /// Begins to send the message before its end is here: `head` is its header as the next hop gets it, `seen` how
    /// much of what the client sent is in it.
    pub async fn begin(&mut self, head: &[u8], seen: usize) {
        self.ahead = Some(Box::new(Ahead { sent: 0, hash: Xxh3::new(), seen, refused: None }));
        self.send_part(head).await;
    }

    /// Sends what came since, in whole lines, once it is worth it. `message` is all that the client has sent so far.
    pub async fn follow(&mut self, message: &[u8]) {
        let Some(ahead) = &mut self.ahead else { return };
        let fresh = message.get(ahead.seen..).unwrap_or_default();
        if fresh.len() < WORTH_IT {
            return;
        }
        let end = memchr::memrchr(b'\n', fresh).map_or(0, |at| at + 1);
        ahead.seen += end;
        self.send_part(fresh.get(..end).unwrap_or_default()).await;
    }

    async fn send_part(&mut self, lines: &[u8]) {
        let Some(ahead) = self.ahead.as_mut().filter(|ahead| ahead.refused.is_none()) else { return };
        // As above: the message is stored where this comes to nothing.
        let Some(mut session) = self.session.take() else { return };
        if is_beyond(&self.hop, &session, (ahead.sent + lines.len()) as u64) {
            return;
        }
        match timeout(PATIENCE, session.send_part(lines)).await {
            Ok(Ok(refused)) => {
                ahead.sent += lines.len();
                ahead.hash.update(lines);
                ahead.refused = refused;
                self.session = Some(session);
            }
            Ok(Err(trouble)) => {
                self.shared.down.note(&self.hop, &trouble);
                tracing::info!(hop = %self.hop, %trouble, "a next hop broke off");
            }
            Err(_) => self.note_silence(),
        }
    }

    /// The next hop says nothing, or takes nothing. Others are not to wait for it.
    fn note_silence(&self) {
        tracing::info!(hop = %self.hop, "a next hop says nothing, or takes nothing");
        self.shared.down.add_silent(&self.hop);
    }

    /// A refused message that another server may take is nobody's yet.
    fn refused(&self, reply: &Reply, id: MessageId) -> Passed {
        if another_may(&self.hop, reply) {
            tracing::info!(%id, hop = %self.hop, reply = reply.line(), "put off: mail is stored for another server");
            return Passed::Unsent;
        }
        Passed::Refused(reply.line())
    }

    /// Hands the message over and waits for the next hop's word.
    pub async fn send(mut self, record: &Record) -> Passed {
        let Some(mut session) = self.session.take() else { return Passed::Unsent };
        let peer = session.peer.clone();
        let variant = record.dispatches.first().map_or(0, |dispatch| dispatch.variant);
        let bytes = crate::deliver::stuff::variant(record, variant);
        let id = record.id;
        let rest = match self.ahead.take() {
            None => Some(&*bytes),
            Some(mut ahead) => match ahead.refused.take() {
                None => ahead.rest(&bytes),
                Some(reply) => {
                    self.session = Some(session);
                    return self.refused(&reply, id);
                }
            },
        };
        let Some(rest) = rest else {
            tracing::error!(%id, peer, "a message became another one on its way: it is stored");
            return Passed::Unsent;
        };
        if is_beyond(&self.hop, &session, bytes.len() as u64) {
            tracing::info!(%id, peer, "it is too large for this server: mail is stored for another one");
            self.session = Some(session);
            return Passed::Unsent;
        }
        // Until DATA is answered nobody has anything of it.
        match within(PATIENCE, session.send_part(&[])).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(reply))) => {
                self.shared.down.forget(&self.hop);
                self.session = Some(session);
                return self.refused(&reply, id);
            }
            Ok(Err(trouble)) => {
                self.shared.down.note(&self.hop, &trouble);
                tracing::info!(%id, peer, %trouble, "a next hop broke off: the message is stored");
                return Passed::Unsent;
            }
            Err(_) => {
                self.note_silence();
                return Passed::Unsent;
            }
        }
        if self.probes {
            self.shared.down.prolong(&self.hop, WAITS.all + WAITS.word);
        }
        let handed = session.hand_over(rest, &WAITS).await;
        match &handed {
            Handed::Unsent(trouble) | Handed::Unknown(trouble) => self.shared.down.note(&self.hop, trouble),
            Handed::Taken(_) | Handed::Refused(_) => self.shared.down.forget(&self.hop),
        }
        let passed = match handed {
            Handed::Taken(reply) => {
                let counters = &self.shared.queue.delivered;
                counters.fetch_add(self.dispatch.recipients.len() as u64, Ordering::Relaxed);
                Passed::Taken([&*peer, ": ", &reply.line()].concat())
            }
            Handed::Refused(reply) => self.refused(&reply, id),
            Handed::Unsent(trouble) => {
                tracing::info!(%id, peer, %trouble, "a next hop broke off: the message is stored");
                Passed::Unsent
            }
            Handed::Unknown(trouble) => {
                tracing::warn!(%id, peer, %trouble, "a next hop did not say whether it has the message");
                Passed::Unknown
            }
        };
        self.session = Some(session);
        passed
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.shared.rest(&self.hop, session);
        }
        if self.probes {
            self.shared.down.give_back(&self.hop);
        }
    }
}
