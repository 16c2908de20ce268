//! What an author is told when somebody has the message, where he asked for it.
//!
//! It is told at the end of the attempt, of all recipients together. That it is owed is on disk with the word that they have the message, so that a
//! restart in between, whose attempt knows nothing of them any more, tells of them with the others.

use super::Inner;
use super::notice::{self, Event, Line};
use crate::envelope::MessageId;
use crate::spool::deferred::{State, Word};
use std::collections::BTreeMap;

/// What is to be told, if it is not told yet.
fn owed(word: Word) -> Option<Event> {
    match word {
        Word::Delivered => Some(Event::Delivered),
        Word::Relayed => Some(Event::Relayed),
        Word::Delay | Word::Told => None,
    }
}

impl Inner {
    /// Adds to what an attempt tells what is owed of others. `before`: the state as the attempt found it, `after`: at its end.
    pub(super) fn add_owed(&self, id: MessageId, before: &State, after: &State, lines: &mut Vec<Line>) {
        let told = self.told_before(id, before);
        for (dispatch, target, word) in &after.words {
            let (dispatch, target) = (*dispatch, *target);
            let Some(event) = owed(*word) else { continue };
            let line = Line { dispatch, target, event };
            if !told.contains(&(dispatch, target)) && !lines.contains(&line) {
                lines.push(line);
            }
        }
    }

    /// Of whom the last run told, though a kill kept that from being written down: its attempt told of all who had the message
    /// together, and of each of them it is known.
    fn told_before(&self, id: MessageId, before: &State) -> Vec<(u16, u16)> {
        let mut groups: BTreeMap<(u16, &str), Vec<u16>> = BTreeMap::new();
        for (dispatch, target, word) in &before.words {
            if let Some(event) = owed(*word) {
                groups.entry((*dispatch, event.action())).or_default().push(*target);
            }
        }
        let mut told = Vec::new();
        for ((dispatch, action), about) in groups {
            if self.was_made(notice::name(id, dispatch, action, before.attempts, about.clone())) {
                told.extend(about.into_iter().map(|target| (dispatch, target)));
            }
        }
        told
    }
}
