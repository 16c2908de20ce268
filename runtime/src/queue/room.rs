//! Room in memory for large messages: they are read whole to be delivered, so there are few of them at a time.
//!
//! A next hop may keep its message for as long as it is slow, so no hop has more than a quarter of what there is for all; mail for
//! Maildirs and the recording of attempts have room of their own, and go on whatever hops do. One that is larger than a
//! hop's share counts as much, so that it has room at all.

use super::Inner;
use super::hop::Lane;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// KiB of large messages in the hands of all next hops.
const FOR_HOPS: usize = if cfg!(test) { 4 << 10 } else { 64 << 10 };
/// Of one of them, of Maildirs, and of attempts that are recorded.
pub(super) const SHARE: usize = FOR_HOPS / 4;

/// The room there is.
pub(super) struct Rooms {
    hops: Arc<Semaphore>,
    maildirs: Arc<Semaphore>,
    records: Arc<Semaphore>,
}

impl Default for Rooms {
    fn default() -> Self {
        let of = |most| Arc::new(Semaphore::new(most));
        Self { hops: of(FOR_HOPS), maildirs: of(SHARE), records: of(SHARE) }
    }
}

/// What a large message is read for.
#[derive(Clone, Copy)]
pub(super) enum For<'a> {
    /// To be delivered.
    Lane(&'a Lane),
    /// To record what became of it.
    Record,
}

/// Room that one message has.
pub(super) struct Room {
    _own: Option<OwnedSemaphorePermit>,
    _shared: Option<OwnedSemaphorePermit>,
}

impl Inner {
    /// Room for a message of so many bytes, when there is some.
    pub(super) async fn room(&self, size: usize, reader: For<'_>) -> Room {
        let wanted = u32::try_from((size / 1024).clamp(1, SHARE)).unwrap_or(1);
        let take = async |room: &Arc<Semaphore>| Arc::clone(room).acquire_many_owned(wanted).await.ok();
        let (own, shared) = match reader {
            For::Record => (None, &self.rooms.records),
            For::Lane(lane) if self.ways.load().is_maildir(&lane.hop) => (None, &self.rooms.maildirs),
            // Its own first: whoever waits for that holds nothing that others want.
            For::Lane(lane) => (take(&lane.room).await, &self.rooms.hops),
        };
        Room { _own: own, _shared: take(shared).await }
    }
}
