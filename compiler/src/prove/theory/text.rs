//! Texts that pass some tests and fail others, found or proved not to exist.
//!
//! Literals and globs are regular languages: the product of their automata is searched breadth first
//! over the letters that stand in them and one that does not, which is exact. Regexes are guessed at by
//! a sample; where the guess fails the answer is unknown, never a wrong no.

use super::{Answer, Space};
use edict_table::model::Test;
use regex_syntax::hir::{Class, Hir, HirKind};
use std::collections::{HashMap, HashSet, VecDeque};

/// The most choices of literals that are tried.
const MAX_CHOICES: usize = 64;
/// The most states of the product that are looked at.
const MAX_STATES: usize = 20_000;
/// The most entries of a list that are tried.
const MAX_ENTRIES: usize = 200_000;
/// The longest sample of a regex, in bytes.
const MAX_SAMPLE: usize = 2_000;

/// A piece of a glob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Piece {
    /// This character.
    Char(char),
    /// Any one character.
    One,
    /// Any run.
    Run,
}

/// Reads a glob into pieces.
fn pieces(glob: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Piece::Run,
            '?' => Piece::One,
            '\\' => Piece::Char(chars.next().unwrap_or('\\')),
            c => Piece::Char(c),
        });
    }
    out
}

fn around(before: bool, literal: &str, after: bool) -> Vec<Piece> {
    let run = |wanted: bool| wanted.then_some(Piece::Run);
    run(before).into_iter().chain(literal.chars().map(Piece::Char)).chain(run(after)).collect()
}

/// Whether a whole text matches a glob. On a mismatch only the last run takes one character more.
#[must_use]
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let pieces = pieces(glob);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let fits = match pieces.get(p) {
            Some(Piece::Run) => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(Piece::One) => true,
            Some(Piece::Char(c)) => text.get(t) == Some(c),
            None => false,
        };
        if fits {
            p += 1;
            t += 1;
        } else {
            let Some((at, taken)) = star else { return false };
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        }
    }
    pieces.get(p..).is_none_or(|rest| rest.iter().all(|p| *p == Piece::Run))
}

/// Whether a text passes a test.
#[must_use]
pub fn passes(space: &Space<'_>, test: &Test, text: &str) -> bool {
    match test {
        Test::Present => true,
        Test::InList(list) => space.keys(*list).holds(text),
        Test::Contains(literals) => literals.iter().any(|l| text.contains(l.as_str())),
        Test::StartsWith(literals) => literals.iter().any(|l| text.starts_with(l.as_str())),
        Test::EndsWith(literals) => literals.iter().any(|l| text.ends_with(l.as_str())),
        Test::Glob(glob) => glob_matches(glob, text),
        Test::Regex(regex) => space.regex(regex).is_some_and(|r| r.is_match(text)),
        _ => false,
    }
}

fn fits(space: &Space<'_>, yes: &[&Test], no: &[&Test], text: &str) -> bool {
    yes.iter().all(|t| passes(space, t, text)) && !no.iter().any(|t| passes(space, t, text))
}

/// A text that passes all of `yes` and none of `no`.
#[must_use]
pub fn solve(space: &Space<'_>, yes: &[&Test], no: &[&Test]) -> Answer<String> {
    if no.contains(&&Test::Present) {
        return Answer::Impossible;
    }
    // A list among the positive tests leaves its entries only.
    let smallest = yes
        .iter()
        .filter_map(|t| if let Test::InList(list) = t { Some(space.keys(*list)) } else { None })
        .min_by_key(|keys| keys.len());
    if let Some(keys) = smallest {
        let found = keys.iter().take(MAX_ENTRIES).find(|entry| fits(space, yes, no, entry));
        return match found {
            Some(entry) => Answer::Found(entry.to_owned()),
            None if keys.len() <= MAX_ENTRIES => Answer::Impossible,
            None => Answer::Unknown,
        };
    }
    let is_regex = |t: &&&Test| matches!(t, Test::Regex(_));
    let plain: Vec<&Test> = yes.iter().filter(|t| !is_regex(t)).copied().collect();
    let regexes: Vec<&Test> = yes.iter().filter(is_regex).copied().collect();
    let mut samples = Vec::new();
    for regex in &regexes {
        let Test::Regex(text) = regex else { continue };
        let Some(found) = sample(text) else { return Answer::Unknown };
        samples.push(found);
    }
    let with_samples: Vec<Vec<Piece>> = samples.iter().map(|s| around(true, s, true)).collect();
    let open = !regexes.is_empty() || no.iter().any(|t| matches!(t, Test::Regex(_)));
    match choices(space, &plain, no, &with_samples, yes) {
        Answer::Impossible if open && !with_samples.is_empty() => {
            // The sample may be at fault: without it the no is sound.
            match choices(space, &plain, no, &[], &plain) {
                Answer::Impossible => Answer::Impossible,
                _ => Answer::Unknown,
            }
        }
        answer => answer,
    }
}

/// Tries every choice of one literal for each positive test.
fn choices(
    space: &Space<'_>,
    yes: &[&Test],
    no: &[&Test],
    samples: &[Vec<Piece>],
    all: &[&Test],
) -> Answer<String> {
    let sets: Vec<Vec<Vec<Piece>>> = yes
        .iter()
        .filter_map(|test| match test {
            Test::Contains(literals) => Some(literals.iter().map(|l| around(true, l, true)).collect()),
            Test::StartsWith(literals) => Some(literals.iter().map(|l| around(false, l, true)).collect()),
            Test::EndsWith(literals) => Some(literals.iter().map(|l| around(true, l, false)).collect()),
            Test::Glob(glob) => Some(vec![pieces(glob)]),
            _ => None,
        })
        .collect();
    let avoid: Vec<Vec<Piece>> = no
        .iter()
        .flat_map(|test| match test {
            Test::Contains(literals) => literals.iter().map(|l| around(true, l, true)).collect(),
            Test::StartsWith(literals) => literals.iter().map(|l| around(false, l, true)).collect(),
            Test::EndsWith(literals) => literals.iter().map(|l| around(true, l, false)).collect(),
            Test::Glob(glob) => vec![pieces(glob)],
            _ => Vec::new(),
        })
        .collect();
    // Short lists of texts that must be avoided are patterns too; long ones are checked at the end.
    let total: usize = sets.iter().map(Vec::len).fold(1, usize::saturating_mul);
    let mut unknown = total > MAX_CHOICES;
    for choice in 0..total.min(MAX_CHOICES) {
        let mut rest = choice;
        let mut wanted: Vec<Vec<Piece>> = samples.to_vec();
        for set in &sets {
            let pick = rest % set.len().max(1);
            rest /= set.len().max(1);
            wanted.extend(set.get(pick).cloned());
        }
        for candidate in guesses(&wanted) {
            if fits(space, all, no, &candidate) {
                return Answer::Found(candidate);
            }
        }
        match search(&wanted, &avoid, &mut |text| fits(space, all, no, text)) {
            Answer::Found(text) => return Answer::Found(text),
            Answer::Unknown => unknown = true,
            Answer::Impossible => {}
        }
    }
    if unknown { Answer::Unknown } else { Answer::Impossible }
}

/// A few readable texts that match the patterns where these do not interfere.
fn guesses(wanted: &[Vec<Piece>]) -> Vec<String> {
    let write = |pattern: &[Piece], run: &str| -> String {
        pattern
            .iter()
            .map(|p| match p {
                Piece::Char(c) => c.to_string(),
                Piece::One => "x".to_owned(),
                Piece::Run => run.to_owned(),
            })
            .collect()
    };
    if wanted.is_empty() {
        return ["hello", "something else", "x7", "quite another text"].map(str::to_owned).to_vec();
    }
    let mut out = Vec::new();
    for run in ["", "x", "hello"] {
        let parts: Vec<String> = wanted.iter().map(|p| write(p, run)).collect();
        // Anchored ones first, those that end the text last.
        let mut order: Vec<(bool, bool, &String)> = wanted
            .iter()
            .zip(&parts)
            .map(|(p, s)| (p.first() == Some(&Piece::Run), p.last() != Some(&Piece::Run), s))
            .collect();
        order.sort_by_key(|(floats, ends, _)| (*floats, *ends));
        let words: Vec<&str> = order.iter().map(|(.., s)| s.as_str()).collect();
        out.push(words.join(" ").trim().to_owned());
        out.push(words.concat());
    }
    out
}

/// Searches the product of the patterns for a text that all of `wanted` and none of `avoid` match.
fn search(
    wanted: &[Vec<Piece>],
    avoid: &[Vec<Piece>],
    accept: &mut dyn FnMut(&str) -> bool,
) -> Answer<String> {
    let patterns: Vec<&[Piece]> = wanted.iter().chain(avoid).map(Vec::as_slice).collect();
    if patterns.iter().any(|p| p.len() >= 128) || patterns.len() > 2_000 {
        return Answer::Unknown;
    }
    let letters = alphabet(&patterns);
    let start: Vec<u128> = patterns.iter().map(|p| closure(p, 1)).collect();
    let mut parents: Vec<(usize, char)> = vec![(0, ' ')];
    let mut states: Vec<Vec<u128>> = vec![start.clone()];
    let mut seen: HashSet<(Vec<u128>, bool)> = HashSet::from([(start, false)]);
    let mut queue = VecDeque::from([(0usize, false)]);
    let mut refused = 0usize;
    let budget = MAX_STATES / (1 + patterns.len() / 16);
    while let Some((at, space_before)) = queue.pop_front() {
        let Some(state) = states.get(at).cloned() else { break };
        let whole = at != 0;
        let done = |(place, (set, pattern)): (usize, (&u128, &&[Piece]))| {
            (set & (1 << pattern.len()) != 0) == (place < wanted.len())
        };
        if whole && state.iter().zip(&patterns).enumerate().all(done) {
            let text = spell(&parents, at);
            if accept(&text) {
                return Answer::Found(text);
            }
            // Something outside the product said no: from here on a no is no proof.
            refused += 1;
            if refused > 200 {
                return Answer::Unknown;
            }
        }
        for letter in &letters {
            if *letter == ' ' && space_before {
                continue;
            }
            let next: Vec<u128> = state.iter().zip(&patterns).map(|(s, p)| step(p, *s, *letter)).collect();
            let dead = next.iter().zip(&patterns).enumerate().any(|(place, (set, pattern))| {
                let stays = pattern.last() == Some(&Piece::Run) && set & (1 << pattern.len()) != 0;
                if place < wanted.len() { *set == 0 } else { stays }
            });
            let key = (next, *letter == ' ');
            if dead || seen.contains(&key) {
                continue;
            }
            if states.len() >= budget {
                return Answer::Unknown;
            }
            parents.push((at, *letter));
            queue.push_back((states.len(), key.1));
            states.push(key.0.clone());
            seen.insert(key);
        }
    }
    if refused > 0 { Answer::Unknown } else { Answer::Impossible }
}

fn spell(parents: &[(usize, char)], mut at: usize) -> String {
    let mut out = Vec::new();
    while at != 0 {
        let Some((before, letter)) = parents.get(at) else { break };
        out.push(*letter);
        at = *before;
    }
    out.iter().rev().collect()
}

/// The letters of the patterns, and some that stand in none.
fn alphabet(patterns: &[&[Piece]]) -> Vec<char> {
    let mut all: Vec<char> = patterns
        .iter()
        .flat_map(|p| p.iter())
        .filter_map(|p| if let Piece::Char(c) = p { Some(*c) } else { None })
        .collect();
    all.sort_unstable();
    all.dedup();
    let fresh = "xqzjkwy7v".chars().find(|c| !all.contains(c));
    all.extend(fresh);
    all
}

/// All places that a pattern can stand at without reading anything more.
fn closure(pattern: &[Piece], mut set: u128) -> u128 {
    for (place, piece) in pattern.iter().enumerate() {
        if *piece == Piece::Run && set & (1 << place) != 0 {
            set |= 1 << (place + 1);
        }
    }
    set
}

fn step(pattern: &[Piece], set: u128, letter: char) -> u128 {
    let mut out = 0;
    for (place, piece) in pattern.iter().enumerate() {
        if set & (1 << place) == 0 {
            continue;
        }
        match piece {
            Piece::Run => out |= 1 << place,
            Piece::One => out |= 1 << (place + 1),
            Piece::Char(c) if *c == letter => out |= 1 << (place + 1),
            Piece::Char(_) => {}
        }
    }
    closure(pattern, out)
}

/// A short text in which a regex is found, if one is easily made.
fn sample(regex: &str) -> Option<String> {
    let hir = regex_syntax::parse(regex).ok()?;
    let mut out = String::new();
    write_sample(&hir, &mut out)?;
    Some(edict_table::value::fold_text(&out).into_owned())
}

fn write_sample(hir: &Hir, out: &mut String) -> Option<()> {
    if out.len() > MAX_SAMPLE {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(Class::Unicode(class)) => {
            let inside = |c: char| class.ranges().iter().any(|r| r.start() <= c && c <= r.end());
            let usual = "xa0 -.@".chars().find(|c| inside(*c));
            out.push(usual.or_else(|| class.ranges().first().map(|r| r.start()))?);
        }
        HirKind::Class(Class::Bytes(class)) => {
            let first = class.ranges().first()?.start();
            out.push(char::from(first));
        }
        HirKind::Repetition(repetition) => {
            for _ in 0..repetition.min {
                write_sample(&repetition.sub, out)?;
            }
        }
        HirKind::Capture(capture) => write_sample(&capture.sub, out)?,
        HirKind::Concat(parts) => {
            for part in parts {
                write_sample(part, out)?;
            }
        }
        HirKind::Alternation(parts) => write_sample(parts.first()?, out)?,
    }
    Some(())
}

/// Texts of a fact with several values: for each positive test one that passes it, none of which
/// passes a negative test.
#[must_use]
pub fn solve_many(space: &Space<'_>, yes: &[&Test], no: &[&Test]) -> Answer<Vec<String>> {
    if no.contains(&&Test::Present) {
        return if yes.is_empty() { Answer::Found(Vec::new()) } else { Answer::Impossible };
    }
    let mut out: Vec<String> = Vec::new();
    let mut cache: HashMap<&Test, ()> = HashMap::new();
    // Presence last: any other value gives it.
    let mut wanted: Vec<&Test> = yes.to_vec();
    wanted.sort_by_key(|t| matches!(t, Test::Present));
    for test in wanted {
        if cache.insert(test, ()).is_some() || out.iter().any(|value| passes(space, test, value)) {
            continue;
        }
        match solve(space, &[test], no) {
            Answer::Found(value) => out.push(value),
            Answer::Impossible => return Answer::Impossible,
            Answer::Unknown => return Answer::Unknown,
        }
    }
    Answer::Found(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edict_table::model::Table;

    fn contains(l: &str) -> Test {
        Test::Contains(vec![l.to_owned()])
    }

    #[test]
    fn finds_and_refutes() {
        let table = Table::default();
        let space = Space::new(&table);
        let glob = |g: &str| Test::Glob(g.to_owned());
        for (yes, no, want) in [
            (vec![contains("act now")], vec![], true),
            (vec![contains("act now")], vec![contains("now")], false),
            (vec![glob("spring-*")], vec![contains("sale")], true),
            (vec![glob("spring-*")], vec![Test::StartsWith(vec!["spring".to_owned()])], false),
            (vec![glob("a*b"), glob("*c")], vec![], false),
            (vec![glob("a*b"), contains("cc")], vec![contains("abc")], true),
            (vec![glob("ab?")], vec![glob("abx"), glob("aby")], true),
            (vec![contains("aa")], vec![Test::EndsWith(vec!["a".to_owned()])], true),
        ] {
            let (yes, no): (Vec<&Test>, Vec<&Test>) = (yes.iter().collect(), no.iter().collect());
            match solve(&space, &yes, &no) {
                Answer::Found(text) => {
                    assert!(want, "{yes:?} {no:?} gave {text}");
                    assert!(fits(&space, &yes, &no, &text));
                }
                Answer::Impossible => assert!(!want, "{yes:?} {no:?} was refuted"),
                Answer::Unknown => panic!("{yes:?} {no:?} is unknown"),
            }
        }
    }

    #[test]
    fn regexes_are_guessed() {
        let table = Table::default();
        let space = Space::new(&table);
        let regex = Test::Regex(r"inv(oice|\d+)\s+due".to_owned());
        assert!(matches!(solve(&space, &[&regex], &[]), Answer::Found(_)));
        let never = contains("due");
        assert!(matches!(solve(&space, &[&regex], &[&never]), Answer::Unknown));
    }

    #[test]
    fn globs_match_whole() {
        for (glob, text, want) in [
            ("a*", "abc", true),
            ("a*", "ba", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("*", "", true),
        ] {
            assert_eq!(glob_matches(glob, text), want, "{glob} {text}");
        }
    }
}
