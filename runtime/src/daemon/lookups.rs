//! Who answers the questions of sessions: DNS, and for inside addresses the next hop.

use crate::deliver::probe::Prober;
use crate::verdict::dns::{Dns, DnsError};
use crate::verdict::lookup::{Answer, Answering, Question, Resolver};
use arc_swap::ArcSwapOption;
use std::net::SocketAddr;

/// A resolver that asks these servers, or those of the system.
///
/// # Errors
/// None can be asked.
pub(super) fn dns(servers: &[SocketAddr]) -> Result<Dns, DnsError> {
    if servers.is_empty() { Dns::system() } else { Dns::with_servers(servers) }
}

/// Both. Without DNS its questions stay unknown. A reload may change whom either asks.
pub(super) struct Lookups {
    pub(super) dns: ArcSwapOption<Dns>,
    pub(super) prober: Prober,
}

impl Resolver for Lookups {
    fn answer(&self, question: Question) -> Answering<'_> {
        match (question, self.dns.load_full()) {
            (Question::Exists(address), _) => Box::pin(async move {
                let found = self.prober.exists(&address).await;
                Answer::Exists(address, found)
            }),
            (question, Some(dns)) => Box::pin(async move { dns.answer(question).await }),
            (question, None) => Box::pin(std::future::ready(question.unknown())),
        }
    }
}
