//! The words of a shape with which of some patterns they match, as one deterministic automaton, and a search through
//! them from the shortest on.
//!
//! Exact: every word is a word of the letters that stand in patterns and of one that stands for all others. Bounds:
//! [`MAX_STATES`], [`MAX_WORK`]; past them there is no automaton, and nothing is said.

use super::Answer;
use super::pattern::{Pattern, Piece};
use super::shape::Shape;
use super::space::Effort;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::rc::Rc;

/// The most states.
const MAX_STATES: usize = 20_000;
/// The most states times letters times patterns.
const MAX_WORK: usize = 6_000_000;
/// The longest word that is looked for, in characters.
const MAX_LENGTH: usize = 250;
/// The most characters of a pattern, and the most patterns of which it is told whether they match.
const MAX_BITS: usize = 128;
const NONE: u32 = u32::MAX;

/// What words are asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Asked {
    /// Of each of these at least one matches.
    pub must: Vec<Vec<Pattern>>,
    /// None of these matches.
    pub avoid: Vec<Pattern>,
    /// Of these it is told.
    pub open: Vec<Pattern>,
}

impl Asked {
    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.must.iter().flatten().chain(&self.avoid).chain(&self.open)
    }

    /// Whether a character stands in one of the patterns.
    pub(super) fn holds(&self, c: char) -> bool {
        self.patterns().any(|pattern| pattern.contains(&Piece::Char(c)))
    }
}

/// Which of the open patterns match, by their places.
pub(super) type Signature = u128;

/// A pattern as sets of places, of which the last stands behind it.
struct Bits {
    runs: u128,
    /// For each letter the places that read it and move on.
    moves: Vec<u128>,
    end: u128,
    /// Once it matches, so does whatever follows.
    stays: bool,
}

impl Bits {
    fn new(pattern: &[Piece], letters: &[char]) -> Self {
        let places = |is: &dyn Fn(&Piece) -> bool| {
            pattern.iter().enumerate().filter(|(_, p)| is(p)).fold(0, |set, (at, _)| set | (1_u128 << at))
        };
        let moves = letters.iter().map(|c| places(&|p| *p == Piece::One || *p == Piece::Char(*c))).collect();
        Self {
            runs: places(&|p| *p == Piece::Run),
            moves,
            end: 1 << pattern.len(),
            stays: pattern.last() == Some(&Piece::Run),
        }
    }

    fn start(&self) -> u128 {
        1 | ((1 & self.runs) << 1)
    }

    fn step(&self, set: u128, letter: usize) -> u128 {
        let moved = self.moves.get(letter).map_or(0, |moves| (set & moves) << 1) | (set & self.runs);
        let next = moved | ((moved & self.runs) << 1);
        // What else could still match does not matter then.
        if self.stays && next & self.end != 0 { self.end | (self.end >> 1) } else { next }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Words {
    shape: Shape,
    letters: Vec<char>,
    /// By state and letter.
    next: Vec<u32>,
    back: Vec<Vec<u32>>,
    /// By state, where a word may end.
    ends: Vec<Option<Signature>>,
    signatures: Vec<Signature>,
    distances: RefCell<HashMap<Signature, Rc<Vec<u32>>>>,
}

/// A state while the automaton is made.
#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    shape: u64,
    /// Which of `must` are matched for good.
    sure: u64,
    sets: Vec<u128>,
}

struct Maker {
    shape: Shape,
    letters: Vec<char>,
    bits: Vec<Bits>,
    /// The patterns of each of `must`, then come those to avoid, then the open ones.
    must: Vec<std::ops::Range<usize>>,
    avoid: std::ops::Range<usize>,
}

impl Maker {
    /// A state made canonical; none where no word that is asked for goes on from it.
    fn settle(&self, mut state: State) -> Option<State> {
        if state.shape == 0 {
            return None;
        }
        let ended = |state: &State, at: usize| match (state.sets.get(at), self.bits.get(at)) {
            (Some(set), Some(bits)) => set & bits.end != 0 && bits.stays,
            _ => false,
        };
        if self.avoid.clone().any(|at| ended(&state, at)) {
            return None;
        }
        for (place, group) in self.must.iter().enumerate() {
            if state.sure & (1 << place) != 0 {
                continue;
            }
            if group.clone().any(|at| ended(&state, at)) {
                state.sure |= 1 << place;
                state.sets.get_mut(group.clone())?.fill(0);
            } else if state.sets.get(group.clone())?.iter().all(|set| *set == 0) {
                return None;
            }
        }
        Some(state)
    }

    fn start(&self) -> Option<State> {
        let sets = self.bits.iter().map(Bits::start).collect();
        self.settle(State { shape: self.shape.start(), sure: 0, sets })
    }

    fn step(&self, state: &State, letter: usize) -> Option<State> {
        let shape = self.shape.step(state.shape, *self.letters.get(letter)?);
        if shape == 0 {
            return None;
        }
        let sets = state.sets.iter().zip(&self.bits).map(|(set, bits)| bits.step(*set, letter)).collect();
        self.settle(State { shape, sure: state.sure, sets })
    }

    fn end(&self, state: &State) -> Option<Signature> {
        let matches = |at: usize| match (state.sets.get(at), self.bits.get(at)) {
            (Some(set), Some(bits)) => set & bits.end != 0,
            _ => false,
        };
        let all = self
            .must
            .iter()
            .enumerate()
            .all(|(place, group)| state.sure & (1 << place) != 0 || group.clone().any(matches));
        let fits = self.shape.ends(state.shape) && all && !self.avoid.clone().any(matches);
        fits.then(|| {
            let open = self.avoid.end..self.bits.len();
            open.enumerate().filter(|(_, at)| matches(*at)).fold(0, |set, (bit, _)| set | (1 << bit))
        })
    }
}

impl Words {
    /// The automaton; none past the bounds. `other` stands for all letters that are in no pattern. `may` is asked now and
    /// then whether so much more work may be done.
    pub(super) fn new(shape: Shape, asked: &Asked, other: char, may: &dyn Fn(usize) -> bool) -> Option<Self> {
        let patterns: Vec<&Pattern> = asked.patterns().collect();
        if patterns.iter().any(|p| p.len() >= MAX_BITS)
            || asked.open.len() > MAX_BITS
            || asked.must.len() > 64
        {
            return None;
        }
        let letters: Vec<char> = match shape.letters() {
            Some(all) => all.chars().collect(),
            None => {
                let own = patterns.iter().flat_map(|p| p.iter());
                let own = own.filter_map(|p| if let Piece::Char(c) = p { Some(*c) } else { None });
                // Extensions begin there.
                let own: BTreeSet<char> = own.chain(['+']).filter(|c| *c != other).collect();
                std::iter::once(other).chain(own).collect()
            }
        };
        let reversed: Vec<Pattern> = patterns
            .iter()
            .map(|p| if shape.is_reversed() { p.iter().rev().copied().collect() } else { (*p).clone() })
            .collect();
        let mut from = 0;
        let must: Vec<std::ops::Range<usize>> = asked
            .must
            .iter()
            .map(|group| {
                from += group.len();
                from - group.len()..from
            })
            .collect();
        let maker = Maker {
            bits: reversed.iter().map(|p| Bits::new(p, &letters)).collect(),
            avoid: from..from + asked.avoid.len(),
            shape,
            letters,
            must,
        };
        Self::explore(maker, may)
    }

    fn explore(maker: Maker, may: &dyn Fn(usize) -> bool) -> Option<Self> {
        let work = maker.letters.len() * (1 + maker.bits.len());
        let most = MAX_STATES.min(MAX_WORK / work);
        let (mut next, mut back, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut known: HashMap<State, u32> = HashMap::new();
        let mut waiting = VecDeque::new();
        if let Some(start) = maker.start() {
            known.insert(start.clone(), 0);
            waiting.push_back(start);
            back.push(Vec::new());
        }
        while let Some(state) = waiting.pop_front() {
            let at = u32::try_from(ends.len()).ok()?;
            if at % 16 == 0 && !may(work * 16) {
                return None;
            }
            ends.push(maker.end(&state));
            for letter in 0..maker.letters.len() {
                let Some(found) = maker.step(&state, letter) else {
                    next.push(NONE);
                    continue;
                };
                let place = match known.get(&found) {
                    Some(place) => *place,
                    None if known.len() >= most => return None,
                    None => {
                        let place = u32::try_from(known.len()).ok()?;
                        known.insert(found.clone(), place);
                        waiting.push_back(found);
                        back.push(Vec::new());
                        place
                    }
                };
                next.push(place);
                if let Some(from) = back.get_mut(place as usize)
                    && from.last() != Some(&at)
                {
                    from.push(at);
                }
            }
        }
        let signatures: BTreeSet<Signature> = ends.iter().copied().flatten().collect();
        Some(Self {
            shape: maker.shape,
            letters: maker.letters,
            next,
            back,
            ends,
            signatures: signatures.into_iter().collect(),
            distances: RefCell::default(),
        })
    }

    /// Where reading begins; none where there are no words.
    pub(super) fn start(&self) -> Option<u32> {
        (!self.ends.is_empty()).then_some(0)
    }

    /// Where these characters lead, in the order of reading.
    pub(super) fn read(&self, from: u32, text: impl Iterator<Item = char>) -> Option<u32> {
        let mut at = from;
        for c in text {
            let known = self.letters.iter().position(|letter| *letter == c);
            // The first letter stands for all that are in no pattern.
            let letter = known.or_else(|| self.shape.letters().is_none().then_some(0))?;
            at = self.at(at, letter)?;
        }
        Some(at)
    }

    fn at(&self, state: u32, letter: usize) -> Option<u32> {
        self.next.get(state as usize * self.letters.len() + letter).copied().filter(|next| *next != NONE)
    }

    /// What a word that ends here matches; none where none ends.
    pub(super) fn end(&self, state: u32) -> Option<Signature> {
        self.ends.get(state as usize).copied().flatten()
    }

    /// How far each state is from words of a signature.
    fn distances(&self, signature: Signature) -> Rc<Vec<u32>> {
        if let Some(known) = self.distances.borrow().get(&signature) {
            return Rc::clone(known);
        }
        let mut out = vec![NONE; self.ends.len()];
        let mut waiting: VecDeque<u32> = VecDeque::new();
        for (at, end) in (0u32..).zip(&self.ends) {
            if *end == Some(signature) {
                waiting.push_back(at);
                out.get_mut(at as usize).into_iter().for_each(|d| *d = 0);
            }
        }
        while let Some(at) = waiting.pop_front() {
            let far = out.get(at as usize).copied().unwrap_or(NONE);
            for before in self.back.get(at as usize).into_iter().flatten() {
                if let Some(d) = out.get_mut(*before as usize).filter(|d| **d == NONE) {
                    *d = far + 1;
                    waiting.push_back(*before);
                }
            }
        }
        let out = Rc::new(out);
        self.distances.borrow_mut().insert(signature, Rc::clone(&out));
        out
    }

    /// The signatures of the words that go on from a state.
    pub(super) fn signatures(&self, from: u32) -> impl Iterator<Item = Signature> {
        self.signatures
            .iter()
            .copied()
            .filter(move |s| self.distances(*s).get(from as usize).is_some_and(|far| *far != NONE))
    }

    /// Goes through the words of a signature that begin as read so far, from the shortest on, until one is taken.
    /// `cut` drops all words that begin like that, in the order of reading. `effort` is for what may still be done.
    pub(super) fn find(
        &self,
        (from, read): (u32, String),
        signature: Signature,
        effort: &Effort<'_>,
        cut: &mut dyn FnMut(&str) -> bool,
        take: &mut dyn FnMut(&str) -> bool,
    ) -> Answer<String> {
        let distances = self.distances(signature);
        let far = |state: u32| distances.get(state as usize).copied().filter(|far| *far != NONE);
        let mut heap = BinaryHeap::new();
        if let Some(left) = far(from) {
            heap.push(Reverse((read.chars().count() + left as usize, 0_usize, read, from)));
        }
        let (mut count, mut long) = (0, false);
        while let Some(Reverse((_, _, read, state))) = heap.pop() {
            if !effort.spend(1) {
                return Answer::Unknown;
            }
            if far(state) == Some(0) {
                let word = if self.shape.is_reversed() { read.chars().rev().collect() } else { read.clone() };
                if take(&word) {
                    return Answer::Found(word);
                }
            }
            let length = read.chars().count() + 1;
            for (letter, c) in self.letters.iter().enumerate() {
                let Some((next, left)) = self.at(state, letter).and_then(|n| Some((n, far(n)?))) else {
                    continue;
                };
                let mut read = read.clone();
                read.push(*c);
                if length + left as usize > MAX_LENGTH {
                    long = true;
                } else if !cut(&read) {
                    count += 1;
                    heap.push(Reverse((length + left as usize, count, read, next)));
                }
            }
        }
        if long { Answer::Unknown } else { Answer::Impossible }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Space;
    use super::super::pattern::{around, glob};
    use super::*;
    use edict_table::model::Table;

    fn all(shape: Shape, asked: &Asked, most: usize) -> Vec<String> {
        let words = Words::new(shape, asked, 'x', &|_| true).unwrap();
        let table = Table::default();
        let space = Space::new(&table);
        let mut out = Vec::new();
        for signature in words.signatures.clone() {
            let mut take = |word: &str| {
                out.push(word.to_owned());
                out.len() >= most
            };
            let effort = space.steps_at_most();
            words.find((0, String::new()), signature, &effort, &mut |_| false, &mut take);
        }
        out
    }

    #[test]
    fn words_come_by_length() {
        let asked = Asked {
            must: vec![vec![glob("a*b"), glob("ca*")], vec![around(true, "c", true)]],
            avoid: vec![around(true, "aa", true), glob("???")],
            open: vec![],
        };
        let found = all(Shape::Name, &asked, 6);
        assert_eq!(found.first().map(String::as_str), Some("ca"), "{found:?}");
        assert!(found.is_sorted_by_key(|w| w.len()));
        for word in &found {
            assert!(word.starts_with("ca") || (word.starts_with('a') && word.ends_with('b')), "{word}");
            assert!(word.contains('c') && !word.contains("aa") && word.len() != 3, "{word}");
        }
        let never = Asked { must: vec![vec![glob("a?")]], avoid: vec![glob("a*")], ..Asked::default() };
        assert!(all(Shape::Name, &never, 1).is_empty());
    }

    #[test]
    fn domains_are_read_from_the_end() {
        let asked = Asked { must: vec![vec![glob("a*.b?")]], ..Asked::default() };
        let found = all(Shape::Domain, &asked, 1);
        assert_eq!(found, ["a.bx"]);
        let literal = Asked { must: vec![vec![glob("[*")]], ..Asked::default() };
        assert!(all(Shape::Host, &literal, 1).is_empty());
        assert!(all(Shape::Domain, &literal, 1)[0].starts_with('['));
    }
}
