//! The bytes of a message on their way in, and the memory that they are counted for.

use super::{Phase, Session};
use crate::envelope::Refusal;
use crate::smtp::log;
use crate::smtp::receiver::{Flaw, Receiver};

impl Session {
    /// Begins to take a message.
    pub(in crate::smtp) fn receive(&mut self, max: u64, announced: Option<u64>) {
        self.phase = Phase::Data(Box::new(Receiver::new(max, announced)));
        self.count_memory();
    }

    /// Begins to take a chunk of a message.
    pub(in crate::smtp) fn receive_chunk(&mut self, receiver: Box<Receiver>, length: u64, last: bool) {
        let most = receiver.max().saturating_mul(2).saturating_add(1 << 20);
        if length > most {
            self.end_transaction();
            self.hang_up(Flaw::TooLong.reply());
            return;
        }
        self.phase = Phase::Chunk(receiver, length, last);
    }

    /// Begins to read a chunk that is refused.
    pub(in crate::smtp) fn swallow(&mut self, length: u64, reply: String) {
        if length > self.table().profile().max_message_size.saturating_mul(2).saturating_add(1 << 20) {
            self.hang_up(&reply);
        } else {
            self.phase = Phase::Swallow(length, reply);
        }
    }

    pub(super) fn end_of_chunk(&mut self, last: bool) {
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
    pub(super) fn count_memory(&mut self) {
        let (Phase::Data(receiver) | Phase::Chunk(receiver, ..)) = &mut self.phase else {
            return;
        };
        let trusted = self.transaction.as_ref().is_some_and(|t| t.trusted);
        let client = (!trusted).then_some(self.peer.ip);
        let (metrics, most) = (&self.cx.metrics, self.settings.max_memory);
        if !self.cx.holders.count(metrics, &mut self.memory, client, receiver.memory(), most) {
            receiver.spoil(Flaw::NoMemory);
        }
    }

    /// Keeps a message that waits for answers, and counts what was read out of it. False where there is no memory for that.
    pub(super) fn keep_waiting(&mut self, receiver: Box<Receiver>) -> bool {
        let trusted = self.transaction.as_ref().is_some_and(|t| t.trusted);
        let client = (!trusted).then_some(self.peer.ip);
        let held = receiver.memory() + self.transaction.as_ref().map_or(0, |t| t.held());
        let (metrics, most) = (&self.cx.metrics, self.settings.max_memory);
        let fits = self.cx.holders.count_kept(metrics, &mut self.memory, client, held, most);
        if fits {
            self.phase = Phase::End(receiver);
        } else {
            self.end_transaction();
            self.say(Flaw::NoMemory.reply());
        }
        fits
    }

    /// Whether a message of this session holds memory.
    pub(in crate::smtp) fn holds_memory(&self) -> bool {
        self.memory.is_some()
    }

    pub(super) fn free_memory(&mut self) {
        self.cx.holders.free(&self.cx.metrics, &mut self.memory);
    }
}
