//! What texts, local parts and domains look like at all, as small automata: a set of places is a set of bits.

/// A sort of words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shape {
    /// A folded text: no two spaces in a row.
    Text,
    /// A login or a local part: anything but nothing.
    Name,
    /// A domain or an address literal, read from its end.
    Domain,
    /// A domain alone, read from its end.
    Host,
}

/// All that stands in domains and literals, what reads best first.
const OF_DOMAINS: &str = "xabcdefghijklmnopqrstuvwyz0123456789.-_[]:";

const DOT: u64 = 1 << 1;
const IN_LABEL: u64 = 1 << 2;
const HYPHEN: u64 = 1 << 3;
const LITERAL: u64 = 1 << 4;
/// Digits of an IPv4 literal: three places for each of four numbers, then three for the dots between them.
const FOUR: u32 = 5;
const FOUR_DOTS: u32 = 17;
const SIX: u64 = 1 << 20;
const SIX_COLON: u64 = 1 << 21;
/// Behind a `6` that ends the tag `IPv6`, and what is read of the tag from there.
const TAG: u32 = 22;
const CLOSED: u64 = 1 << 26;

impl Shape {
    /// Where reading begins.
    pub(super) fn start(self) -> u64 {
        1
    }

    /// Whether words are read from their end.
    pub(super) fn is_reversed(self) -> bool {
        matches!(self, Self::Domain | Self::Host)
    }

    /// All letters, where there are few.
    pub(super) fn letters(self) -> Option<&'static str> {
        self.is_reversed().then_some(OF_DOMAINS)
    }

    /// Whether a word may end here.
    pub(super) fn ends(self, at: u64) -> bool {
        match self {
            Self::Text => true,
            Self::Name => at & 2 != 0,
            Self::Domain | Self::Host => at & (IN_LABEL | CLOSED) != 0,
        }
    }

    /// Reads one character. No place is left where no word goes on like that.
    pub(super) fn step(self, at: u64, c: char) -> u64 {
        match self {
            Self::Text if c == ' ' => {
                if at & 4 == 0 {
                    4
                } else {
                    0
                }
            }
            Self::Text | Self::Name => 2,
            Self::Domain => label(at, c) | literal(at, c),
            Self::Host => label(at, c),
        }
    }
}

/// Labels, which neither begin nor end with a hyphen.
fn label(at: u64, c: char) -> u64 {
    match c {
        'a'..='z' | '0'..='9' | '_' if at & (1 | DOT | IN_LABEL | HYPHEN) != 0 => IN_LABEL,
        '-' if at & (IN_LABEL | HYPHEN) != 0 => HYPHEN,
        '.' if at & IN_LABEL != 0 => DOT,
        _ => 0,
    }
}

/// Literals, more widely than they are: whoever finds one parses it.
fn literal(at: u64, c: char) -> u64 {
    let is = |places: u64| at & places != 0;
    let mut out = 0;
    match c {
        ']' if is(1) => out |= LITERAL,
        '[' if is((0b111 << (FOUR + 9)) | (1 << (TAG + 3))) => out |= CLOSED,
        'v' if is(1 << TAG) => out |= 1 << (TAG + 1),
        'p' if is(1 << (TAG + 1)) => out |= 1 << (TAG + 2),
        'i' if is(1 << (TAG + 2)) => out |= 1 << (TAG + 3),
        _ => {}
    }
    if c.is_ascii_digit() {
        for number in 0..4 {
            let first = FOUR + 3 * number;
            let before = if number == 0 { LITERAL } else { 1 << (FOUR_DOTS + number - 1) };
            if is(before) {
                out |= 1 << first;
            }
            // Two more digits at most.
            out |= ((at >> first) & 0b11) << (first + 1);
        }
    }
    if c == '.' {
        for number in 0..3 {
            if is(0b111 << (FOUR + 3 * number)) {
                out |= 1 << (FOUR_DOTS + number);
            }
        }
    }
    if is(LITERAL | SIX | SIX_COLON | (1 << TAG)) {
        out |= match c {
            ':' => SIX_COLON,
            'a'..='f' | '0'..='9' | '.' => SIX,
            _ => 0,
        };
    }
    if c == '6' && is(SIX_COLON) {
        out |= 1 << TAG;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use edict_table::value::Domain;

    fn is(shape: Shape, text: &str) -> bool {
        let at = text.chars().rev().fold(shape.start(), |at, c| shape.step(at, c));
        at != 0 && shape.ends(at)
    }

    #[test]
    fn domains_have_the_shape() {
        for text in [
            "a",
            "a.b",
            "a-b.c",
            "_x.y",
            "1.2",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a.",
            "a.-b",
            "a-.b",
            "[192.0.2.1]",
            "[ipv6:::]",
            "[ipv6:2001:db8::6]",
            "[1.2.3]",
            "[ipv6:",
            "a[b",
            "[]",
            "[1.2.3.4.5]",
            "]",
            "a]",
        ] {
            assert_eq!(is(Shape::Domain, text), Domain::parse(text).is_ok(), "{text}");
            assert_eq!(is(Shape::Host, text), is(Shape::Domain, text) && !text.starts_with('['), "{text}");
        }
    }

    /// Whatever is a domain has the shape; else a no would be wrong.
    #[test]
    fn no_domain_is_left_out() {
        let letters = ['a', '1', '.', '-', '_', '[', ']', ':', '6'];
        for len in 1..=6_u32 {
            for n in 0..letters.len().pow(len) {
                let text: String =
                    (0..len).map(|at| letters[n / letters.len().pow(at) % letters.len()]).collect();
                if Domain::parse(&text).is_ok_and(|d| d.as_str() == text) {
                    assert!(is(Shape::Domain, &text), "{text}");
                }
            }
        }
        for text in
            ["[ipv6:::ffff:192.0.2.1]", "[ipv6:::6]", "[ipv6:6::]", "[255.255.255.255]", "[ipv6:fe80::1:6]"]
        {
            assert_eq!(Domain::parse(text).unwrap().as_str(), text);
            assert!(is(Shape::Domain, text), "{text}");
        }
    }
}
