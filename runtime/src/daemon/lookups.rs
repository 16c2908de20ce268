//! Who answers the questions of sessions: DNS, and for inside addresses the next hop.

use crate::deliver::probe::Prober;
use crate::verdict::dns::Dns;
use crate::verdict::lookup::{Answer, Answering, Question, Resolver};

/// Both. Without DNS its questions stay unknown.
pub(super) struct Lookups {
    pub(super) dns: Option<Dns>,
    pub(super) prober: Prober,
}

impl Resolver for Lookups {
    fn answer(&self, question: Question) -> Answering<'_> {
        match (question, &self.dns) {
            (Question::Exists(address), _) => Box::pin(async move {
                let found = self.prober.exists(&address).await;
                Answer::Exists(address, found)
            }),
            (question, Some(dns)) => dns.answer(question),
            (question, None) => Box::pin(std::future::ready(question.unknown())),
        }
    }
}
