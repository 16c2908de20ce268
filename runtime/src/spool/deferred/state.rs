//! What happened to a deferred message so far: its state, as the store keeps it beside the message.
//!
//! Behind a checksum, fields that came later follow the others where they say something: older versions wrote none of them.

use crate::spool::frame::u64_at;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::io;
use xxhash_rust::xxh3::xxh3_64;

/// What the author of a message was told of a recipient, or is to be told. Of two, the one further down counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Word {
    /// He was told of the delay.
    Delay,
    /// He is to be told that it was delivered.
    Delivered,
    /// He is to be told that it was passed on to a server that sends no notices.
    Relayed,
    /// He was told of one of the two.
    Told,
}

/// By recipient (dispatch, place in it).
pub type Words = Vec<(u16, u16, Word)>;

/// What is known of recipients of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Fates {
    /// Who needs nothing more, sorted.
    pub settled: Vec<(u16, u16)>,
    /// What is told of them.
    pub words: Words,
}

/// What happened to a deferred message so far.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Attempts made.
    pub attempts: u32,
    /// Unix milliseconds of the next attempt.
    pub due: i64,
    /// Recipients (dispatch, place in it) that need nothing more, sorted.
    pub settled: Vec<(u16, u16)>,
    /// Kept until released.
    pub held: bool,
    /// Was released: what its record says of holding counts no more.
    pub released: bool,
    /// A notice of the delay was sent.
    pub warned: bool,
    /// What was last said of a recipient that waits.
    pub reasons: Vec<(u16, u16, String)>,
    /// Unix milliseconds of its release, from which its lifetime counts then. Stands behind the rest, which may end before.
    #[serde(skip)]
    pub since: i64,
    /// What is told of recipients. Stands behind that.
    #[serde(skip)]
    pub words: Words,
}

impl State {
    /// Lets it go, also what a rule holds of it.
    pub fn release(&mut self, now: i64) {
        (self.held, self.released, self.since) = (false, true, now);
    }

    /// Adds what is known of recipients.
    pub fn add(&mut self, settled: &[(u16, u16)], words: &[(u16, u16, Word)]) {
        self.settled.extend_from_slice(settled);
        self.settled.sort_unstable();
        self.settled.dedup();
        self.words.extend_from_slice(words);
        self.words.sort_unstable_by_key(|(dispatch, target, word)| (*dispatch, *target, Reverse(*word)));
        self.words.dedup_by_key(|(dispatch, target, _)| (*dispatch, *target));
    }

    /// Whether this word of a recipient counts.
    #[must_use]
    pub fn says(&self, dispatch: u16, target: u16, word: Word) -> bool {
        self.words.contains(&(dispatch, target, word))
    }

    /// When it is due, as the plan has it: never while it is held.
    #[must_use]
    pub fn planned(&self) -> i64 {
        if self.held { i64::MAX } else { self.due }
    }
}

/// The largest state, in bytes.
pub(super) const MAX: u64 = 16 << 20;

/// Of very many recipients not all reasons are kept, which are for people to read.
///
/// # Errors
/// What else there is to say is too much.
pub(super) fn encode(state: &State) -> io::Result<Vec<u8>> {
    let bytes = encode_whole(state)?;
    if bytes.len() as u64 <= MAX {
        return Ok(bytes);
    }
    let mut less = state.clone();
    loop {
        less.reasons.truncate(less.reasons.len() / 2);
        let bytes = encode_whole(&less)?;
        if bytes.len() as u64 <= MAX {
            return Ok(bytes);
        }
        if less.reasons.is_empty() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

fn encode_whole(state: &State) -> io::Result<Vec<u8>> {
    let mut body = postcard::to_allocvec(state).map_err(io::Error::other)?;
    if state.since != 0 || !state.words.is_empty() {
        body = postcard::to_extend(&state.since, body).map_err(io::Error::other)?;
    }
    if !state.words.is_empty() {
        body = postcard::to_extend(&state.words, body).map_err(io::Error::other)?;
    }
    let mut bytes = xxh3_64(&body).to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// None where it is damaged.
pub(super) fn decode(bytes: &[u8]) -> Option<State> {
    let (sum, body) = bytes.split_at_checked(8)?;
    if u64_at(sum, 0) != Some(xxh3_64(body)) {
        return None;
    }
    let (mut state, rest) = postcard::take_from_bytes::<State>(body).ok()?;
    if !rest.is_empty() {
        let (since, rest) = postcard::take_from_bytes(rest).ok()?;
        state.since = since;
        if !rest.is_empty() {
            state.words = postcard::from_bytes(rest).ok()?;
        }
    }
    Some(state)
}
