//! Globs: `*` any run, `?` one character, `\` takes the next character as it is. From end to end.

/// One piece of a glob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Piece {
    /// Any run of characters.
    Run,
    /// Any one character.
    One,
    /// This character.
    Is(char),
}

/// A glob, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Glob(Vec<Piece>);

impl Glob {
    /// Takes a pattern apart. A lone `\` at the end stands for itself.
    pub(crate) fn new(pattern: &str) -> Self {
        let mut pieces = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            match c {
                // A second run next to a first adds nothing.
                '*' if pieces.last() == Some(&Piece::Run) => {}
                '*' => pieces.push(Piece::Run),
                '?' => pieces.push(Piece::One),
                '\\' => pieces.push(Piece::Is(chars.next().unwrap_or('\\'))),
                c => pieces.push(Piece::Is(c)),
            }
        }
        Self(pieces)
    }

    /// Whether the whole text matches. At most text times pattern steps.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut rest = text;
        let mut at = 0;
        // Where to go on should what follows the last run not fit: the piece after it, and the text
        // that the run has not eaten yet.
        let mut back: Option<(usize, &str)> = None;
        loop {
            let mut chars = rest.chars();
            match (self.0.get(at), chars.next()) {
                (Some(Piece::Run), _) => {
                    at += 1;
                    back = Some((at, rest));
                    continue;
                }
                (Some(Piece::One), Some(_)) => {
                    at += 1;
                    rest = chars.as_str();
                    continue;
                }
                (Some(Piece::Is(want)), Some(c)) if *want == c => {
                    at += 1;
                    rest = chars.as_str();
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((piece, eaten)) = back else { return false };
            let mut chars = eaten.chars();
            if chars.next().is_none() {
                return false;
            }
            at = piece;
            rest = chars.as_str();
            back = Some((piece, rest));
        }
    }

    /// The longest run of plain characters: each match holds it.
    pub(crate) fn literal(&self) -> Option<String> {
        self.0
            .split(|piece| !matches!(piece, Piece::Is(_)))
            .map(|run| {
                run.iter()
                    .filter_map(|p| if let Piece::Is(c) = p { Some(*c) } else { None })
                    .collect::<String>()
            })
            .max_by_key(String::len)
            .filter(|run| !run.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, want) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("?", "ü", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("*ab*abc", "ababababc", true),
            ("spring-*", "spring-2026", true),
            ("spring-*", "my spring-2026", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"a\", r"a\", true),
            ("**a**", "bab", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), want, "{pattern} on {text}");
        }
        assert_eq!(Glob::new(r"*ab?long\*er*x").literal().as_deref(), Some("long*er"));
        assert_eq!(Glob::new("*?*").literal(), None);
    }

    #[test]
    fn many_runs_stay_cheap() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!Glob::new(&pattern).matches(&"a".repeat(20_000)));
    }
}
