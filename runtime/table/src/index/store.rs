//! Compiled regexes and their search caches, all of a table together under one byte budget.
//!
//! A regex is compiled when it is first asked, and what a search needs (a lazy DFA, mostly) is kept beside it
//! for the next one. Past the budget what was not asked for longest is dropped; it is compiled again when it
//! is asked again. What a thread is searching with right now is its own: at most one regex and one cache of
//! [`CACHE_LIMIT`] for each direction a thread, on top of the budget.

use regex_automata::Input;
use regex_automata::meta::{Cache, Regex};
use regex_automata::util::syntax;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that the regexes of a table may keep.
pub(crate) const BUDGET: usize = 64 << 20;
/// Bytes of one compiled regex.
const NFA_LIMIT: usize = 1 << 20;
/// Bytes of one lazy DFA.
const CACHE_LIMIT: usize = 1 << 18;
/// The deepest nesting of a regex.
pub(crate) const NEST_LIMIT: u32 = 64;
/// Caches that are kept for one regex: about as many as threads ask it at once.
const CACHES: usize = 16;

/// Compiles a regex within its bounds, or not at all.
pub(crate) fn compile(pattern: &str) -> Option<Regex> {
    let config = Regex::config()
        .nfa_size_limit(Some(NFA_LIMIT))
        .onepass_size_limit(Some(NFA_LIMIT))
        .hybrid_cache_capacity(CACHE_LIMIT);
    let syntax = syntax::Config::new().case_insensitive(true).nest_limit(NEST_LIMIT);
    Regex::builder().configure(config).syntax(syntax).build(pattern).ok()
}

/// A compiled regex with the caches that nobody uses at the moment.
#[derive(Debug)]
struct Compiled {
    regex: Arc<Regex>,
    caches: Vec<Cache>,
    /// When it was last asked, by the store's clock.
    asked: u64,
}

impl Compiled {
    fn bytes(&self) -> usize {
        self.regex.memory_usage() + self.caches.iter().map(Cache::memory_usage).sum::<usize>()
    }
}

/// What is kept of one regex.
#[derive(Debug, Default)]
enum Slot {
    /// Nothing.
    #[default]
    Empty,
    /// It does not compile within bounds. Not tried again.
    Failed,
    /// Ready.
    Ready(Box<Compiled>),
}

/// The regexes of a table.
#[derive(Debug)]
pub(crate) struct Store {
    slots: Vec<Mutex<Slot>>,
    /// Bytes of everything kept.
    kept: AtomicUsize,
    clock: AtomicU64,
    budget: usize,
    /// Memory for the one who makes room.
    oldest: Mutex<Vec<(u64, usize)>>,
}

impl Store {
    /// With room for so many regexes, all of which may keep `budget` bytes together.
    pub(crate) fn new(regexes: usize, budget: usize) -> Self {
        Self {
            slots: (0..regexes).map(|_| Mutex::default()).collect(),
            kept: AtomicUsize::new(0),
            clock: AtomicU64::new(0),
            budget,
            oldest: Mutex::default(),
        }
    }

    /// Whether a regex is found in a text; none where it does not compile.
    pub(crate) fn is_match(&self, place: usize, pattern: &str, text: &str) -> Option<bool> {
        let slot = self.slots.get(place)?;
        let (regex, cache) = self.take(slot, pattern)?;
        let mut cache = cache.unwrap_or_else(|| regex.create_cache());
        let found = regex.search_half_with(&mut cache, &Input::new(text).earliest(true)).is_some();
        self.give_back(slot, &regex, cache);
        Some(found)
    }

    fn take(&self, slot: &Mutex<Slot>, pattern: &str) -> Option<(Arc<Regex>, Option<Cache>)> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        match &mut *lock(slot) {
            Slot::Ready(compiled) => {
                compiled.asked = now;
                let cache = compiled.caches.pop();
                self.less(cache.as_ref().map_or(0, Cache::memory_usage));
                return Some((Arc::clone(&compiled.regex), cache));
            }
            Slot::Failed => return None,
            Slot::Empty => {}
        }
        // Compiled without the lock: others may do the same, and the first one back is kept.
        let Some(regex) = compile(pattern).map(Arc::new) else {
            *lock(slot) = Slot::Failed;
            return None;
        };
        let mut kept = lock(slot);
        if let Slot::Ready(compiled) = &*kept {
            return Some((Arc::clone(&compiled.regex), None));
        }
        self.kept.fetch_add(regex.memory_usage(), Ordering::Relaxed);
        let compiled = Compiled { regex: Arc::clone(&regex), caches: Vec::with_capacity(1), asked: now };
        *kept = Slot::Ready(Box::new(compiled));
        Some((regex, None))
    }

    fn give_back(&self, slot: &Mutex<Slot>, regex: &Arc<Regex>, cache: Cache) {
        match &mut *lock(slot) {
            // A cache fits the regex that made it, and that one may have been dropped meanwhile.
            Slot::Ready(compiled)
                if Arc::ptr_eq(&compiled.regex, regex) && compiled.caches.len() < CACHES =>
            {
                self.kept.fetch_add(cache.memory_usage(), Ordering::Relaxed);
                compiled.caches.push(cache);
            }
            _ => return,
        }
        if self.kept.load(Ordering::Relaxed) > self.budget {
            self.make_room();
        }
    }

    fn less(&self, bytes: usize) {
        self.kept.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Drops what was not asked for longest, until a quarter of the budget is free again.
    #[cold]
    fn make_room(&self) {
        // Somebody else may be at it: he sees what was added here.
        let Ok(mut oldest) = self.oldest.try_lock() else { return };
        oldest.clear();
        for (place, slot) in self.slots.iter().enumerate() {
            if let Slot::Ready(compiled) = &*lock(slot) {
                oldest.push((compiled.asked, place));
            }
        }
        oldest.sort_unstable();
        for (_, place) in oldest.iter() {
            if self.kept.load(Ordering::Relaxed) <= self.budget / 4 * 3 {
                break;
            }
            let Some(slot) = self.slots.get(*place) else { continue };
            let mut slot = lock(slot);
            if let Slot::Ready(compiled) = std::mem::take(&mut *slot) {
                self.less(compiled.bytes());
            }
        }
    }

    /// Bytes kept.
    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(store: &Store) -> usize {
        let bytes = |slot: &Mutex<Slot>| match &*lock(slot) {
            Slot::Ready(compiled) => compiled.bytes(),
            _ => 0,
        };
        store.slots.iter().map(bytes).sum()
    }

    fn pattern(i: usize) -> String {
        format!("word{i} [a-f]+[0-9]{{2,4}} (end|stop){i}")
    }

    #[test]
    fn all_together_stay_under_the_budget_and_answer_right() {
        let budget = 1 << 20;
        let store = Store::new(300, budget);
        let mut dropped = 0;
        for round in 0..3 {
            for i in 0..300 {
                let before = store.kept();
                let yes = format!("so word{i} abcdef123 end{i}, it says");
                assert_eq!(store.is_match(i, &pattern(i), &yes), Some(true), "{i} in round {round}");
                let no = format!("so word{i} abcdef123 end, it says");
                assert_eq!(store.is_match(i, &pattern(i), &no), Some(false), "{i} in round {round}");
                assert!(store.kept() <= budget, "{} bytes after {i}", store.kept());
                dropped += usize::from(store.kept() < before);
            }
            assert_eq!(store.kept(), counted(&store));
        }
        assert!(dropped > 2, "the budget was never reached");
    }

    #[test]
    fn threads_share_it() {
        let budget = 1 << 19;
        let store = Store::new(40, budget);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for step in 0..2000 {
                        let i = (step * 7 + thread) % 40;
                        let text = format!("word{i} abc12 stop{i}");
                        assert_eq!(store.is_match(i, &pattern(i), &text), Some(true));
                    }
                });
            }
        });
        assert_eq!(store.kept(), counted(&store));
        // Whoever came while room was made left what he added; the next one sees to it.
        store.is_match(0, &pattern(0), "word0");
        assert!(store.kept() <= budget, "{}", store.kept());
    }

    #[test]
    fn what_does_not_compile_is_tried_once() {
        let store = Store::new(1, BUDGET);
        assert_eq!(store.is_match(0, r"(\w{100}){100}", "x"), None);
        assert!(matches!(*lock(&store.slots[0]), Slot::Failed));
        assert_eq!(store.is_match(0, r"(\w{100}){100}", "x"), None);
        assert_eq!(store.is_match(7, "x", "x"), None);
        assert_eq!(store.kept(), 0);
    }
}
