//! Texts that pass some tests and fail others, found or proved not to exist.
//!
//! Literals, globs and lists are exact within bounds (see [`super::words`]). Regexes are guessed at by a sample; where
//! the guess fails the answer is unknown, never a wrong no.

use super::pattern::{self, Pattern, Piece, around, glob_matches};
use super::shape::Shape;
use super::words::Asked;
use super::{Answer, Space};
use edict_table::model::Test;
use regex_syntax::hir::{Class, Hir, HirKind};
use std::collections::HashMap;

/// The most choices of literals that readable texts are made of.
const MAX_CHOICES: usize = 64;
/// The most texts that only a regex refuses.
const MAX_REFUSED: usize = 200;
/// The longest sample of a regex, in bytes.
const MAX_SAMPLE: usize = 2_000;

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
    solve_as(space, Shape::Text, yes, no)
}

/// The same among the words of a shape that is read from its beginning.
#[must_use]
pub fn solve_as(space: &Space<'_>, shape: Shape, yes: &[&Test], no: &[&Test]) -> Answer<String> {
    if no.contains(&&Test::Present) {
        return Answer::Impossible;
    }
    // A list among the positive tests leaves its entries only.
    let smallest = yes
        .iter()
        .filter_map(|t| if let Test::InList(list) = t { Some(space.keys(*list)) } else { None })
        .min_by_key(|keys| keys.len());
    if let Some(keys) = smallest {
        let effort = space.keys_at_most();
        for entry in keys.iter() {
            if !effort.spend(1) {
                return Answer::Unknown;
            }
            if fits(space, yes, no, entry) {
                return Answer::Found(entry.to_owned());
            }
        }
        return Answer::Impossible;
    }
    let mut samples = Vec::new();
    for test in yes {
        let Test::Regex(text) = test else { continue };
        let Some(found) = sample(text) else { return Answer::Unknown };
        samples.push(around(true, &found, true));
    }
    let wanted: Vec<Vec<Pattern>> = yes.iter().filter_map(|test| pattern::of(test)).collect();
    let total = wanted.iter().map(Vec::len).fold(1, usize::saturating_mul);
    for choice in 0..total.min(MAX_CHOICES) {
        let mut rest = choice;
        let mut picked: Vec<Pattern> = samples.clone();
        for set in &wanted {
            picked.extend(set.get(rest % set.len().max(1)).cloned());
            rest /= set.len().max(1);
        }
        let fine = |text: &String| fits(space, yes, no, text) && (shape == Shape::Text || !text.is_empty());
        if let Some(text) = guesses(&picked).into_iter().find(fine) {
            return Answer::Found(text);
        }
    }
    let search = |samples: Vec<Pattern>| {
        let must = wanted.iter().cloned().chain(samples.into_iter().map(|s| vec![s])).collect();
        let avoid = no.iter().filter_map(|test| pattern::of(test)).flatten().collect();
        search(space, shape, &Asked { must, avoid, open: Vec::new() }, yes, no)
    };
    match search(samples.clone()) {
        // The sample may be at fault: without it the no is sound.
        Answer::Impossible if !samples.is_empty() => search(Vec::new()),
        answer => answer,
    }
}

/// Goes through the texts as they may be written.
fn search(space: &Space<'_>, shape: Shape, asked: &Asked, yes: &[&Test], no: &[&Test]) -> Answer<String> {
    let lists = no.iter().filter_map(|t| if let Test::InList(list) = t { Some(*list) } else { None });
    let effort = space.steps_at_most();
    let Some(words) = space.words(shape, asked, lists, &effort) else { return Answer::Unknown };
    let Some(start) = words.start() else { return Answer::Impossible };
    let (mut refused, mut empty) = (0, false);
    let mut take = |text: &str| {
        let fine = fits(space, yes, no, text);
        if fine && text.is_empty() {
            // Nothing at all is the last resort.
            empty = true;
            return false;
        }
        let listed = || no.iter().any(|t| matches!(t, Test::InList(list) if space.keys(*list).holds(text)));
        refused += usize::from(!fine && !listed());
        fine || refused > MAX_REFUSED
    };
    let found = words.find((start, String::new()), 0, &effort, &mut |_| false, &mut take);
    match found {
        _ if refused > MAX_REFUSED => Answer::Unknown,
        Answer::Found(text) => Answer::Found(text),
        _ if empty => Answer::Found(String::new()),
        Answer::Impossible if refused > 0 => Answer::Unknown,
        answer => answer,
    }
}

/// A few readable texts that match the patterns where these do not interfere.
fn guesses(wanted: &[Pattern]) -> Vec<String> {
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
    use edict_table::model::{List, ListKind, Table};

    fn contains(l: &str) -> Test {
        Test::Contains(vec![l.to_owned()])
    }

    #[test]
    fn finds_and_refutes() {
        let table = Table::default();
        let space = Space::new(&table);
        let glob = |g: &str| Test::Glob(g.to_owned());
        let any = |all: &[&str]| Test::Contains(all.iter().map(|l| (*l).to_owned()).collect());
        for (yes, no, want) in [
            (vec![contains("act now")], vec![], true),
            (vec![contains("act now")], vec![contains("now")], false),
            (vec![glob("spring-*")], vec![contains("sale")], true),
            (vec![glob("spring-*")], vec![Test::StartsWith(vec!["spring".to_owned()])], false),
            (vec![glob("a*b"), glob("*c")], vec![], false),
            (vec![glob("a*b"), contains("cc")], vec![contains("abc")], true),
            (vec![glob("ab?")], vec![glob("abx"), glob("aby")], true),
            (vec![contains("aa")], vec![Test::EndsWith(vec!["a".to_owned()])], true),
            // The empty text is one, too, and so is one of letters that nobody thought of.
            (vec![Test::Present], vec![glob("?*")], true),
            (vec![glob("?")], vec![Test::Contains("xqzjkwy7v".chars().map(String::from).collect())], true),
            (vec![glob("?"), glob("*")], vec![glob("*")], false),
            // A choice for each test, and no other than these.
            (vec![any(&["ab", "cd"]), any(&["ef", "gh"])], vec![contains("b"), contains("d")], false),
            (vec![any(&["ab", "cd"]), any(&["ef", "gh"])], vec![contains("b"), contains("e")], true),
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

    /// What a list takes out is found out whatever its entries are.
    #[test]
    fn lists_leave_what_they_do_not_hold() {
        let entries = ["ab", "ac", "q", "x", "xx", "αβ"];
        let lists = vec![List { name: None, kind: ListKind::Text, entries: entries.iter().collect() }];
        let table = Table { lists, ..Table::default() };
        let space = Space::new(&table);
        let list = Test::InList(0);
        let glob = |g: &str| Test::Glob(g.to_owned());
        let (one, two) = (glob("?"), glob("a?"));
        assert!(matches!(solve(&space, &[&one], &[&list]), Answer::Found(_)));
        assert!(matches!(solve(&space, &[&two], &[&list]), Answer::Found(_)));
        let ends = Test::EndsWith(vec!["b".to_owned(), "c".to_owned()]);
        assert_eq!(solve(&space, &[&two, &ends], &[&list]), Answer::Impossible);
        assert!(matches!(solve(&space, &[&two], &[&list, &ends]), Answer::Found(_)));
        assert_eq!(solve(&space, &[&list, &glob("b*")], &[]), Answer::Impossible);
    }
}
