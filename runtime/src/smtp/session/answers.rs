//! Answers to what a session asked of others: the next hop and lookups.

use super::{Phase, Session};
use crate::acceptor::Offered;
use crate::envelope::Refusal;
use crate::smtp::escape::{Clean, with_status};
use crate::smtp::log;
use crate::verdict::audit::Job;
use crate::verdict::lookup::Answer;
use crate::verdict::transaction::Passing;

impl Session {
    /// The answer to [`Step::Offer`](super::Step::Offer).
    pub fn offered(&mut self, offered: Offered) {
        if !matches!(self.phase, Phase::Offering) {
            return;
        }
        self.phase = Phase::Command;
        if offered != Offered::Taken {
            self.habit.untold();
        }
        let Some(transaction) = &mut self.transaction else { return };
        match offered {
            Offered::Taken => transaction.passing = Passing::Taken,
            Offered::Store => transaction.passing = Passing::Stored,
            Offered::Refused(reply) => {
                let to = transaction.withdraw().map(|wire| format!("<{}>", Clean(&wire))).unwrap_or_default();
                let from = format!("<{}>", Clean(&transaction.reverse.wire));
                let refusal = Refusal { reply: with_status(&reply), rule: None };
                log::refused_for(self, &self.table(), "next-hop", &from, &to, &refusal);
                self.refuse_recipient(&refusal.reply);
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

    /// Answers to [`Step::Look`](super::Step::Look).
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
}
