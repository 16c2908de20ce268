//! One transaction of pass-through: its message, as it comes, and what became of it.

use super::{PATIENCE, Shared, another_may, is_beyond};
use crate::deliver::client::Session;
use crate::deliver::reply::Reply;
use crate::deliver::through::{Handed, Waits};
use crate::envelope::{Dispatch, DispatchKind, MessageId, Record};
use crate::queue::route::Hop;
use crate::within::within;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// What is sent at once of a message whose end is not here.
const WORTH_IT: usize = 32 << 10;
/// How long a message may take that is handed over: together, less than a client waits (RFC 5321 4.5.3.2.6).
const WAITS: Waits = Waits { piece: PATIENCE, all: Duration::from_secs(240), word: Duration::from_secs(300) };

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

/// One transaction on its way through. Dropped, its connection is kept for the next one.
pub struct Through {
    shared: Arc<Shared>,
    pub(super) hop: Hop,
    pub(super) session: Option<Box<Session>>,
    /// Its envelope so far.
    pub(super) dispatch: Dispatch,
    /// What went out before the end of the message was here. Boxed: few have one, and each is moved.
    ahead: Option<Box<Ahead>>,
    /// It finds out whether a hop that said nothing speaks again.
    pub(super) probes: bool,
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

impl Ahead {
    /// What is left of a message. None where it does not begin with what was sent.
    fn rest<'a>(&self, message: &'a [u8]) -> Option<&'a [u8]> {
        let (front, rest) = message.split_at_checked(self.sent)?;
        (xxh3_64(front) == self.hash.digest()).then_some(rest)
    }
}

/// Whether two recipients can share a transaction.
pub(super) fn same_envelope(one: &Dispatch, other: &Dispatch) -> bool {
    one.sender == other.sender
        && one.smtputf8 == other.smtputf8
        && one.ret == other.ret
        && one.envid == other.envid
}

impl Through {
    /// One over this connection that is open with its first recipient, and the place that it has.
    pub(super) fn new(
        shared: Arc<Shared>,
        hop: Hop,
        session: Box<Session>,
        dispatch: Dispatch,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let session = Some(session);
        Self { shared, hop, session, dispatch, ahead: None, probes: false, _place: place }
    }

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
