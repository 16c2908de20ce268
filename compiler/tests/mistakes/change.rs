//! Mistakes of one token, as hands make them: each an edit of a good file.

use edict_compiler::lex::{Token, TokenKind, lex};
use edict_compiler::span::FileId;

/// A mistake: an edit.
pub struct Mistake {
    /// What sort of slip it is.
    pub what: &'static str,
    /// What it replaces.
    pub place: std::ops::Range<usize>,
    /// What stands there then.
    pub new: String,
}

impl Mistake {
    /// The text with the mistake in it.
    pub fn make(&self, text: &str) -> String {
        [&text[..self.place.start], &self.new, &text[self.place.end..]].concat()
    }
}

/// Words that other languages, or a slip of memory, put in the place of ours.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("is", "in"),
    ("is", "=="),
    ("is", "equals"),
    ("in", "is"),
    ("in", "="),
    ("not", "!"),
    ("not", "no"),
    ("and", "&&"),
    ("and", ","),
    ("or", "||"),
    ("or", ","),
    ("contains", "has"),
    ("contains", "starts"),
    ("contains", "in"),
    ("matches", "contains"),
    ("matches", "~"),
    ("with", ""),
    ("any", "one"),
    ("of", "in"),
    ("present", "there"),
    ("when", "if"),
    ("when", "where"),
    ("unless", "except"),
    ("unless", "if not"),
    ("reply", "message"),
    ("reply", "answer"),
    ("priority", "prio"),
    ("per", "for"),
    ("most", "least"),
    ("at", "up to"),
    ("to", "into"),
    ("until", "to"),
    ("from", "in"),
    ("from", "="),
    ("expect", "assert"),
    ("by", "with"),
    ("via", "to"),
    ("list", "set"),
    ("list", "group"),
    ("group", "list"),
    ("alias", "aliases"),
    ("reject", "deny"),
    ("allow", "accept"),
    ("allow", "permit"),
    ("discard", "drop"),
    ("defer", "tempfail"),
    ("disclaimer", "footer"),
    ("quota", "limit"),
    ("limit", "quota"),
    ("bcc", "copy"),
    ("import", "include"),
    ("profile", "settings"),
    ("sender", "from-address"),
    ("recipient", "rcpt"),
    ("subject", "header"),
    ("size", "length"),
    ("domain", "domains"),
    ("address", "email"),
    ("network", "cidr"),
    ("text", "string"),
    ("inbound", "incoming"),
    ("outbound", "outgoing"),
    ("required", "yes"),
    ("off", "no"),
    ("local-domains", "domains"),
    ("hostname", "host"),
];

/// Every mistake that can be made in a file, in the order of the text.
pub fn all(text: &str) -> Vec<Mistake> {
    let lexed = lex(FileId(0), text.as_bytes());
    let tokens: Vec<Token> = lexed.tokens.iter().copied().filter(|t| t.kind != TokenKind::Space).collect();
    let mut out = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        one(text, *token, tokens.get(place + 1).copied(), &mut out);
    }
    out
}

fn one(text: &str, token: Token, next: Option<Token>, out: &mut Vec<Mistake>) {
    let (start, end) = (token.start as usize, token.end as usize);
    let own = &text[start..end];
    let mut put = |what: &'static str, new: &str| {
        if new != own {
            out.push(Mistake { what, place: start..end, new: new.to_owned() });
        }
    };
    if token.kind == TokenKind::Comment {
        for sign in [";", "//", "--"] {
            put("another sign of a comment", &own.replacen('#', sign, 1));
        }
        return;
    }
    put("lost", "");
    put("doubled", &format!("{own} {own}"));
    put("a semicolon behind it", &format!("{own};"));
    put("a comma behind it", &format!("{own},"));
    put("an invisible character behind it", &format!("{own}\0"));
    match token.kind {
        TokenKind::Word => word(own, &mut put),
        TokenKind::Text => quoted(own, &mut put),
        TokenKind::Regex => {
            put("unclosed", own.strip_suffix('/').unwrap_or(own));
            put("unopened", own.strip_prefix('/').unwrap_or(own));
            put("in quotes", &format!("\"{}\"", own.trim_matches('/')));
        }
        TokenKind::OpenBrace | TokenKind::OpenBracket | TokenKind::OpenParen => {
            ["{", "[", "("].iter().for_each(|other| put("another bracket", other));
        }
        TokenKind::CloseBrace | TokenKind::CloseBracket | TokenKind::CloseParen => {
            ["}", "]", ")"].iter().for_each(|other| put("another bracket", other));
        }
        TokenKind::Comma => [";", ":", ".", "and"].iter().for_each(|other| put("another sign", other)),
        TokenKind::Colon => ["=", ";", ","].iter().for_each(|other| put("another sign", other)),
        TokenKind::Equals => [":", ":=", "is", "from"].iter().for_each(|other| put("another sign", other)),
        TokenKind::Less | TokenKind::AtMost | TokenKind::More | TokenKind::AtLeast => {
            ["=<", "=>", "<>", "is", "above", ">>"].iter().for_each(|other| put("another sign", other));
        }
        _ => {}
    }
    if let Some(next) =
        next.filter(|next| next.kind != TokenKind::Comment && !text[end..next.start as usize].contains('\n'))
    {
        let (from, to) = (next.start as usize, next.end as usize);
        if from > end {
            let place = end..from;
            out.push(Mistake { what: "run together with the next", place, new: String::new() });
        }
        let new = [&text[from..to], &text[end..from], own].concat();
        out.push(Mistake { what: "swapped with the next", place: start..to, new });
    }
}

fn word(own: &str, put: &mut impl FnMut(&'static str, &str)) {
    let letters: Vec<char> = own.chars().collect();
    let spelt = |letters: &[char]| letters.iter().collect::<String>();
    let middle = letters.len() / 2;
    if own.bytes().all(|b| b.is_ascii_digit()) {
        put("a decimal point", &format!("{own}.5"));
        put("a decimal comma", &format!("{own},5"));
        put("thousands in groups", &format!("{own}_000"));
        put("thousands in groups", &format!("{own},000"));
        put("thousands in groups", &format!("{own}'000"));
        put("negative", &format!("-{own}"));
        put("a letter for a digit", &format!("{own}O"));
        return;
    }
    if letters.len() > 3 {
        put("a letter lost", &spelt(&[&letters[..middle], &letters[middle + 1..]].concat()));
        let mut swapped = letters.clone();
        swapped.swap(middle - 1, middle);
        put("two letters swapped", &spelt(&swapped));
        put("cut in two", &format!("{} {}", spelt(&letters[..middle]), spelt(&letters[middle..])));
        put(
            "an invisible character inside",
            &spelt(&[&letters[..middle], &['\0'], &letters[middle..]].concat()),
        );
        put("another character inside", &spelt(&[&letters[..middle], &['ä'], &letters[middle..]].concat()));
    }
    put("another word", "zebra");
    put("in quotes", &format!("\"{own}\""));
    put("capitals", &own.to_uppercase());
    put("a dot behind it", &format!("{own}."));
    if own.contains('-') {
        put("another word", &own.replace('-', "_"));
    }
    if own.contains('@') {
        put("two at signs", &own.replacen('@', "@@", 1));
        put("in angle brackets", &format!("<{own}>"));
    }
    if own.contains('/') {
        put("another network", &own.replace('/', "-"));
        put("another network", &format!("{own}0"));
    }
    for (ours, theirs) in NEIGHBOURS.iter().filter(|(ours, _)| *ours == own) {
        debug_assert_ne!(ours, theirs);
        put("a neighbour's word", theirs);
    }
}

fn quoted(own: &str, put: &mut impl FnMut(&'static str, &str)) {
    let inner = own.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(own);
    put("unclosed", &format!("\"{inner}"));
    put("unopened", &format!("{inner}\""));
    put("bare", inner);
    put("single quotes", &format!("'{inner}'"));
    put("typographic quotes", &format!("“{inner}”"));
    put("half typographic quotes", &format!("“{inner}\""));
    put("empty", "\"\"");
    put("a backslash", &format!("\"\\{inner}\""));
    let middle = inner.char_indices().map(|(at, _)| at).nth(inner.chars().count() / 2).unwrap_or(0);
    let (left, right) = inner.split_at(middle);
    put("broken over lines", &format!("\"{left}\n    {right}\""));
    put("a quote inside", &format!("\"{left}\"{right}\""));
}
