//! The same rules in Edict's table and in the engines that somebody might pick instead.
//!
//! Each engine gets the rules in its own terms, compiled or indexed beforehand where it can, and the facts of a mail in its own
//! form, made beforehand too; timed is the decision alone. `bench.rs` times, [`agree`] holds each engine to the verdicts of
//! Edict's table first.

pub mod edict;
pub mod engines;
pub mod linear;
pub mod mail;
pub mod postfix;
pub mod rules;
pub mod sieve;

use mail::Mail;
use rules::Set;
use std::time::{Duration, Instant};

/// A rule set in an engine.
pub trait Engine {
    /// Whether each of these mails is refused. Not timed.
    fn refuses(&mut self, mails: &[Mail]) -> Vec<bool>;

    /// What so many decisions on this mail take together.
    fn time(&mut self, mail: &Mail, count: u64) -> Duration;
}

/// Engines by name: what makes one with so many rules; none where it cannot be had here.
pub type Make = fn(Set, usize) -> Option<Box<dyn Engine>>;

/// Decisions one after the other.
pub fn timed(count: u64, mut decide: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    for _ in 0..count {
        std::hint::black_box(decide());
    }
    start.elapsed()
}

/// Whether an engine refuses what Edict's table refuses, of mails that hit rules all over the set and mails that just miss them.
///
/// # Panics
/// Where they differ, or the sample does not hold both kinds.
pub fn agree(name: &str, engine: &mut dyn Engine, set: Set, size: usize) {
    let mails = mail::samples(set, size);
    let want = edict::Edict::new(set, size).refuses(&mails);
    let hits = want.iter().filter(|refused| **refused).count();
    assert!(hits >= 6 && want.len() - hits >= 6, "{hits} of {} mails hit", want.len());
    for ((got, want), mail) in engine.refuses(&mails).iter().zip(&want).zip(&mails) {
        assert_eq!(got, want, "{name} on {mail:?}");
    }
    assert_eq!(engine.refuses(&[Mail::plain()]), [false], "{name}");
}
