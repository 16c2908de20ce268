//! Tries now what waits for another attempt: all of it, or what goes to one destination.
//!
//! Only the plan in memory is changed. Nothing is written, so that a million messages cost a moment; a restart goes by the
//! states on disk again. Must not touch what is held, nor what waits for its first attempt, which has its turn anyway.

use super::admin::Listed;
use super::entry::Entry;
use super::route::Hop;
use super::{Inner, Queue, now};
use crate::envelope::{MessageId, Record};
use edict_table::value::{Address, Domain};
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

/// How many messages are planned anew before others get at the plan.
const AT_ONCE: usize = 10_000;

/// Where mail goes, in the words of an admin: a recipient's address or his domain, a relay by its name in the rules, a host
/// of one (`name` or `name:port`), or `local`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    text: String,
    /// What it is as an address.
    address: Option<Address>,
    /// What it is as a domain.
    domain: Option<Domain>,
}

/// What came of looking at a part of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flushed {
    /// So many messages are tried now.
    pub messages: usize,
    /// The last one that was looked at, where there may be more behind it.
    pub after: Option<MessageId>,
}

impl Destination {
    /// Reads one. What it names need not be there.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_lowercase(),
            address: Address::parse(text).ok(),
            domain: Domain::parse(text).ok(),
        }
    }

    fn is_of(&self, address: &str, hop: Option<&Hop>) -> bool {
        let domain = self.domain.as_ref().map(Domain::as_str);
        let same = |own: &Address| self.address.as_ref() == Some(own) || domain == Some(own.domain());
        Address::parse(address).is_ok_and(|own| same(&own)) || hop.is_some_and(|hop| self.is(hop))
    }

    fn is(&self, hop: &Hop) -> bool {
        match hop {
            Hop::Local => self.text == "local",
            Hop::Relay(relay) => {
                let host = |name: &str, port: u16| {
                    let name = name.to_lowercase();
                    self.text == name || self.text == format!("{name}:{port}")
                };
                let named = !relay.name.is_empty() && relay.name.to_lowercase() == self.text;
                named || relay.hosts.iter().any(|of| host(&of.name, of.port))
            }
            Hop::Mx(domain) => self.domain.as_ref().is_some_and(|own| own.as_str() == domain),
            Hop::Nowhere(_) => false,
        }
    }
}

impl Queue {
    /// Tries all deferred messages now, and of those under way who was put off and waits for the others; says how many.
    pub async fn retry_all(&self) -> usize {
        let inner = &self.inner;
        let _desk = inner.desk.lock().await;
        inner.try_hops_now(|_| true);
        let (mut count, mut after) = (0, None);
        loop {
            let (more, last) = inner.index().hurry_some(after, AT_ONCE, now());
            count += more;
            inner.bell.notify_one();
            if last.is_none() {
                break;
            }
            after = last;
            tokio::task::yield_now().await;
        }
        let active: Vec<Arc<Entry>> = {
            let active = inner.active.lock().unwrap_or_else(PoisonError::into_inner);
            active.values().cloned().collect()
        };
        count + active.iter().filter(|entry| entry.hurry()).count()
    }

    /// The same for messages with a recipient there, of the first `limit` behind `after` in order of their names. A message is
    /// tried for all its recipients who wait.
    pub async fn retry_to(&self, to: Destination, after: Option<MessageId>, limit: usize) -> Flushed {
        let inner = Arc::clone(&self.inner);
        let _desk = self.inner.desk.lock().await;
        let look = move || inner.flush(&to, after, limit);
        let flushed = tokio::task::spawn_blocking(look).await;
        flushed.unwrap_or(Flushed { messages: 0, after: None })
    }
}

impl Inner {
    /// Blocks.
    fn flush(&self, to: &Destination, after: Option<MessageId>, limit: usize) -> Flushed {
        let mut all: Vec<(MessageId, Option<Arc<Entry>>)> = {
            // Locked for both: nothing moves from one to the other meanwhile.
            let index = self.index();
            let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
            let under_way = active.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
            let under_way = under_way.map(|(id, entry)| (*id, Some(Arc::clone(entry))));
            let deferred = index.behind(after).take(limit).map(|(id, _)| (id, None));
            under_way.chain(deferred).collect()
        };
        all.sort_by_key(|(id, _)| *id);
        all.dedup_by_key(|(id, _)| *id);
        all.truncate(limit);
        let last = all.last().map(|(id, _)| *id).filter(|_| all.len() == limit);
        let (mut found, mut hops) = (Vec::new(), HashSet::new());
        for (id, entry) in all {
            // One that is gone by now needs no attempt; one that cannot be read has its own.
            let Ok((listed, record)) = self.look(id, entry.clone()) else { continue };
            let its = self.hops_there(&listed, &record, to);
            if !its.is_empty() {
                hops.extend(its);
                found.push((id, entry));
            }
        }
        self.try_hops_now(|hop| hops.contains(hop) || to.is(hop));
        let now = now();
        let hurried = found.into_iter().filter(|(id, entry)| match entry {
            Some(entry) => entry.hurry(),
            None => self.index().hurry(*id, now),
        });
        let messages = hurried.count();
        self.bell.notify_one();
        Flushed { messages, after: last }
    }

    /// The next hops of those recipients of a message who wait, are not held, and are there.
    fn hops_there(&self, listed: &Listed, record: &Record, to: &Destination) -> Vec<Hop> {
        let guide = &self.ways.load().guide;
        let waits = |address: &str| {
            listed.recipients.iter().any(|waiting| !waiting.held && waiting.address == address)
        };
        let mut hops = Vec::new();
        for dispatch in &record.dispatches {
            let of_each = guide.hops(dispatch, now()).into_iter().zip(&dispatch.recipients);
            let there = of_each
                .filter(|(hop, target)| waits(&target.address) && to.is_of(&target.address, Some(hop)))
                .map(|(hop, _)| hop);
            hops.extend(there);
        }
        hops
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edict_table::model::{Host, Relay, RelayTls};

    #[test]
    fn a_destination_has_several_names() {
        let hosts = ["mx1.provider.example", "192.0.2.7"];
        let hosts = hosts.map(|name| Host { name: name.to_owned(), port: 25 }).to_vec();
        let relay = Relay { name: "Bulk".to_owned(), hosts, tls: RelayTls::Off, credentials: None };
        let (relay, mx) = (Hop::Relay(relay), Hop::Mx("xn--bcher-kva.example".to_owned()));
        for (text, address, hop, want) in [
            ("far.example", "ann@far.example", &relay, true),
            ("FAR.example", "ann@far.example", &relay, true),
            ("far.example", "ann@sub.far.example", &relay, false),
            ("ann@far.example", "ann@far.example", &relay, true),
            ("bob@far.example", "ann@far.example", &relay, false),
            ("bulk", "ann@far.example", &relay, true),
            ("mx1.provider.example", "ann@far.example", &relay, true),
            ("192.0.2.7:25", "ann@far.example", &relay, true),
            ("192.0.2.7:26", "ann@far.example", &relay, false),
            ("bücher.example", "ann@xn--bcher-kva.example", &mx, true),
            ("local", "ann@far.example", &Hop::Local, true),
            ("local", "ann@far.example", &relay, false),
            ("", "ann@far.example", &Hop::Nowhere("no relay".to_owned()), false),
        ] {
            assert_eq!(Destination::new(text).is_of(address, Some(hop)), want, "{text} {address} {hop}");
        }
    }
}
