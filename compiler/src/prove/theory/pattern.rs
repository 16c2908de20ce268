//! Globs and literals as patterns over characters, and what a pattern on a whole address asks of its parts.

use edict_table::model::Test;

/// A piece of a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Piece {
    /// This character.
    Char(char),
    /// Any one character.
    One,
    /// Any run.
    Run,
}

/// What a text is to look like from end to end. Of runs there are never two in a row.
pub(super) type Pattern = Vec<Piece>;

/// Reads a glob.
pub(super) fn glob(text: &str) -> Pattern {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Piece::Run,
            '?' => Piece::One,
            '\\' => Piece::Char(chars.next().unwrap_or('\\')),
            c => Piece::Char(c),
        });
    }
    simple(out)
}

/// A literal, with any run before and behind it where that is wanted.
pub(super) fn around(before: bool, literal: &str, after: bool) -> Pattern {
    let run = |wanted: bool| wanted.then_some(Piece::Run);
    simple(run(before).into_iter().chain(literal.chars().map(Piece::Char)).chain(run(after)).collect())
}

fn simple(mut pattern: Pattern) -> Pattern {
    pattern.dedup_by(|a, b| *a == Piece::Run && *b == Piece::Run);
    pattern
}

/// Whether everything matches it.
pub(super) fn is_all(pattern: &[Piece]) -> bool {
    pattern == [Piece::Run]
}

/// The patterns of a test on how a text is written, one of which it matches; none for other tests.
pub(super) fn of(test: &Test) -> Option<Vec<Pattern>> {
    let each = |all: &[String], before, after| all.iter().map(|l| around(before, l, after)).collect();
    Some(match test {
        Test::Contains(all) => each(all, true, true),
        Test::StartsWith(all) => each(all, false, true),
        Test::EndsWith(all) => each(all, true, false),
        Test::Glob(text) => vec![glob(text)],
        _ => return None,
    })
}

/// The ways in which an address matches a pattern: the last `@` of the address stands at some place of the pattern, and
/// what lies before and behind is asked of the local part and of the domain.
pub(super) fn split(pattern: &[Piece]) -> Vec<(Pattern, Pattern)> {
    let mut out = Vec::new();
    for (at, piece) in pattern.iter().enumerate() {
        let behind = if *piece == Piece::Run { at } else { at + 1 };
        let until = if *piece == Piece::Run { at + 1 } else { at };
        let (Some(local), Some(domain)) = (pattern.get(..until), pattern.get(behind..)) else { continue };
        // No domain holds an `@`.
        let fits = matches!(piece, Piece::Run | Piece::One | Piece::Char('@'));
        if fits && !domain.contains(&Piece::Char('@')) {
            out.push((local.to_vec(), domain.to_vec()));
        }
    }
    out
}

/// Whether a whole text matches a glob. On a mismatch only the last run takes one character more.
#[must_use]
pub(super) fn glob_matches(text: &str, of: &str) -> bool {
    let pieces = glob(text);
    let text: Vec<char> = of.chars().collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole() {
        for (glob, text, want) in [
            ("a*", "abc", true),
            ("a*", "ba", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("*", "", true),
            ("**?", "", false),
        ] {
            assert_eq!(glob_matches(glob, text), want, "{glob} {text}");
        }
    }

    /// An address matches a pattern exactly where its parts match one of the ways.
    #[test]
    fn parts_say_what_the_whole_says() {
        let letters = ['a', '@', '.'];
        let words = |most: u32| -> Vec<String> {
            (1..=most)
                .flat_map(|len| {
                    (0..3usize.pow(len))
                        .map(move |n| (0..len).map(|at| letters[n / 3usize.pow(at) % 3]).collect::<String>())
                })
                .collect()
        };
        let matches = |pattern: &[Piece], text: &str| {
            let glob: String = pattern
                .iter()
                .map(|piece| match piece {
                    Piece::Char(c) => format!("\\{c}"),
                    Piece::One => "?".to_owned(),
                    Piece::Run => "*".to_owned(),
                })
                .collect();
            glob_matches(&glob, text)
        };
        for text in ["*", "a*", "*@a", "*a?a*", "?@*", "*@*@*", "a?.*", "*a", "??", "@*", "*@"] {
            let ways = split(&glob(text));
            for local in words(3) {
                for domain in words(2).iter().filter(|d| !d.contains('@')) {
                    let whole = format!("{local}@{domain}");
                    let by_parts = ways.iter().any(|(l, d)| matches(l, &local) && matches(d, domain));
                    assert_eq!(by_parts, glob_matches(text, &whole), "{text} {whole}");
                }
            }
        }
    }
}
