//! Pass-through: mail that goes on to its next hop while its client waits, and is never stored.
//!
//! A [`Passage`] holds the connections; a [`Through`] is one transaction over one of them. Whatever goes
//! wrong before the end of the message went out, the caller still has the message and stores it. Bounded: so
//! many connections, so long a wait; where either is used up, mail is stored as ever.

mod down;
mod idle;
mod transaction;

pub use transaction::{Passed, Through};

use super::route::Hop;
use super::ways::Ways;
use super::{Inner, Queue, now};
use crate::acceptor::Expected;
use crate::deliver::client::{Session, Trouble};
use crate::deliver::reply::Reply;
use crate::envelope::Dispatch;
use down::{Down, Turn};
use idle::{Idle, REST};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use transaction::same_envelope;

/// How long a client waits for the next hop's word on a recipient before its mail is stored instead.
const PATIENCE: Duration = Duration::from_secs(10);

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
                let shared = Arc::clone(self);
                *open = Some(Through::new(shared, hop.clone(), session, dispatch, place));
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
            let kept = self.idle.take(hop, ways.number, Instant::now());
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
        match self.queue.draining() {
            true => session.part(),
            false => self.idle.put(hop, session, Instant::now()),
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
