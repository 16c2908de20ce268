//! What one token looks like: each function reads one from the start of a text, and reports nothing.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while_m_n, take_while1};
use nom::character::complete::{anychar, char, none_of, one_of};
use nom::combinator::{opt, peek, recognize, verify};
use nom::multi::{many0_count, many1_count};
use nom::sequence::{delimited, pair, preceded, terminated};
use nom::{IResult, Parser};

pub(super) type Scan<'a> = IResult<&'a str, &'a str>;

pub(super) fn length(scanned: Scan<'_>) -> usize {
    scanned.map_or(0, |(_, taken)| taken.len())
}

pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
}

/// Control characters, marks of direction, and what takes no room.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What a word is made of, apart from `:`, `=` and `[` in the places that [`word`] knows.
pub(super) fn is_word(c: char) -> bool {
    !c.is_whitespace() && !is_invisible(c) && !"\"{}[](),;#<>=:“”„«»".contains(c)
}

pub(super) fn comment(text: &str) -> Scan<'_> {
    // A lone carriage return does not end it: what a terminal hides would else be rules.
    let (rest, taken) = take_while(|c| c != '\n').parse(text)?;
    match taken.strip_suffix('\r') {
        Some(shorter) if rest.starts_with('\n') => {
            Ok((text.get(shorter.len()..).unwrap_or_default(), shorter))
        }
        _ => Ok((rest, taken)),
    }
}

/// A bare word. `:` belongs to it where it is doubled or a letter or digit follows (`::1`, `host:25`),
/// `=` where the word goes on behind it (`a=b@example.com`), `[…]` behind `@` (`ann@[192.0.2.1]`).
pub(super) fn word(text: &str, colons: bool) -> Scan<'_> {
    let plain = take_while1(|c| is_word(c) && c != '@');
    let at = recognize(pair(char('@'), opt(address_literal)));
    let port = terminated(tag(":"), peek(verify(anychar, |c| c.is_alphanumeric())));
    // A URL is no value, but one word, so that one message can say so.
    let scheme = terminated(tag(":"), peek(tag("//")));
    let colon = verify(alt((tag("::"), port, scheme)), move |_: &str| colons);
    let equals = terminated(tag("="), peek(verify(anychar, |c| is_word(*c))));
    recognize(many1_count(alt((plain, at, colon, equals)))).parse(text)
}

/// `[192.0.2.1]`, `[IPv6:2001:db8::1]`
pub(super) fn address_literal(text: &str) -> Scan<'_> {
    recognize(delimited(
        char('['),
        take_while_m_n(1, 60, |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '.'),
        char(']'),
    ))
    .parse(text)
}

/// `[2001:db8::1]:587`
pub(super) fn socket_literal(text: &str) -> Scan<'_> {
    let inner = take_while_m_n(2, 60, |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.');
    let port = take_while_m_n(1, 5, |c: char| c.is_ascii_digit());
    recognize((delimited(char('['), inner, char(']')), char(':'), port)).parse(text)
}

/// `"a b"@example.com`: an address whose local part needs quotes.
pub(super) fn quoted_local(text: &str) -> Scan<'_> {
    let inner = many1_count(alt((preceded(char('\\'), none_of("\r\n")), none_of("\"\\\r\n"))));
    let domain = alt((address_literal, take_while1(|c| is_word(c) && c != '@')));
    recognize((char('"'), inner, tag("\"@"), opt(domain))).parse(text)
}

/// `"…` up to the closing quote, which is left, or the line's end.
pub(super) fn quoted_open(text: &str) -> Scan<'_> {
    let plain = recognize(none_of("\"\\\n"));
    let escape = recognize(pair(char('\\'), opt(none_of("\n"))));
    let (rest, body) = recognize(pair(char('"'), many0_count(alt((plain, escape))))).parse(text)?;
    match body.strip_suffix('\r') {
        Some(shorter) if rest.starts_with('\n') => {
            Ok((text.get(shorter.len()..).unwrap_or_default(), shorter))
        }
        _ => Ok((rest, body)),
    }
}

/// `"""…` up to the closing quotes, which are left, or the end.
pub(super) fn block_open(text: &str) -> Scan<'_> {
    let plain = take_while1(|c| c != '"' && c != '\\');
    let escape = recognize(pair(char('\\'), opt(anychar)));
    let quote = recognize(terminated(char('"'), nom::combinator::not(tag("\"\""))));
    recognize(pair(tag("\"\"\""), many0_count(alt((plain, escape, quote))))).parse(text)
}

/// `/…` up to the closing slash, which is left, or the line's end.
pub(super) fn regex_open(text: &str) -> Scan<'_> {
    let plain = recognize(none_of("/\\\r\n"));
    let escape = recognize(pair(char('\\'), opt(none_of("\r\n"))));
    recognize(pair(one_of("/"), many0_count(alt((plain, escape))))).parse(text)
}
