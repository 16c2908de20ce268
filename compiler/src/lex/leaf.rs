//! The leaf values: what stands inside one token, or in a number and its unit. Pure functions over
//! text; no spans of files, no diagnostics.
//!
//! Limits: numbers up to `u64`; dates from 1970 to 9999.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n, take_while1};
use nom::character::complete::{anychar, char};
use nom::combinator::{all_consuming, map_opt, opt, rest, value};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};
use std::ops::Range;

/// A number with or without a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
    /// Digits alone.
    Number(u64),
    /// Bytes.
    Size(u64),
    /// Seconds.
    Duration(u64),
}

/// Why digits are no amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AmountError {
    /// It does not start with a digit: no number at all.
    #[error("no number")]
    NoNumber,
    /// Digits, and something behind them that is no unit.
    #[error("no unit")]
    Unit,
    /// Past `u64`.
    #[error("the number is too large")]
    TooLarge,
}

/// The units of size, each with its bytes. Decimal and binary units are both exact.
pub const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// The units of time, each with its seconds.
pub const DURATIONS: &[(&str, u64)] = &[("s", 1), ("min", 60), ("h", 3600), ("d", 86400)];

fn digits(text: &str) -> IResult<&str, &str> {
    take_while1(|c: char| c.is_ascii_digit()).parse(text)
}

fn unit(text: &str) -> Option<(bool, u64)> {
    let find = |units: &[(&str, u64)]| units.iter().find(|(name, _)| *name == text).map(|(_, scale)| *scale);
    find(SIZES).map(|scale| (true, scale)).or_else(|| find(DURATIONS).map(|scale| (false, scale)))
}

/// Whether a word is a unit of size or time.
#[must_use]
pub fn is_unit(word: &str) -> bool {
    unit(word).is_some()
}

/// The unit that a word in other letters probably means: `kb`, `mib`, `seconds`.
#[must_use]
pub fn meant_unit(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    let long = match word.as_str() {
        "k" => Some("KiB"),
        "m" => Some("MiB"),
        "g" => Some("GiB"),
        "byte" | "bytes" => Some("B"),
        "kilobyte" | "kilobytes" => Some("KB"),
        "megabyte" | "megabytes" => Some("MB"),
        "gigabyte" | "gigabytes" => Some("GB"),
        "second" | "seconds" | "sec" | "secs" => Some("s"),
        "minute" | "minutes" | "mins" => Some("min"),
        "hour" | "hours" | "hr" | "hrs" => Some("h"),
        "day" | "days" => Some("d"),
        _ => None,
    };
    let same = |units: &'static [(&'static str, u64)]| {
        units.iter().map(|(name, _)| *name).find(|name| name.to_lowercase() == word)
    };
    long.or_else(|| same(SIZES)).or_else(|| same(DURATIONS))
}

/// Reads `100`, `25MiB`, or digits with the unit that stands in the word behind them.
///
/// # Errors
/// See [`AmountError`].
pub fn amount(word: &str, unit_word: Option<&str>) -> Result<Amount, AmountError> {
    let (behind, digits) = digits(word).map_err(|_| AmountError::NoNumber)?;
    let number: u64 = digits.parse().map_err(|_| AmountError::TooLarge)?;
    let name = if behind.is_empty() { unit_word } else { Some(behind) };
    let Some(name) = name else { return Ok(Amount::Number(number)) };
    let (size, scale) = unit(name).ok_or(AmountError::Unit)?;
    let number = number.checked_mul(scale).ok_or(AmountError::TooLarge)?;
    Ok(if size { Amount::Size(number) } else { Amount::Duration(number) })
}

/// Reads `5.7.1` (RFC 3463): class 2, 4 or 5, then two numbers of at most three digits.
#[must_use]
pub fn enhanced(word: &str) -> Option<(u8, u16, u16)> {
    fn part(text: &str) -> IResult<&str, u16> {
        map_opt(take_while_m_n(1, 3, |c: char| c.is_ascii_digit()), |s: &str| s.parse().ok()).parse(text)
    }
    let class = map_opt(alt((char('2'), char('4'), char('5'))), |c| {
        c.to_digit(10).and_then(|d| u8::try_from(d).ok())
    });
    let parsed: IResult<&str, (u8, u16, u16)> =
        all_consuming((class, preceded(char('.'), part), preceded(char('.'), part))).parse(word);
    parsed.ok().map(|(_, code)| code)
}

/// A date, and a time of day if there is one.
pub type DateTime = (u16, u8, u8, Option<(u8, u8, u8)>);

/// Reads `2026-12-01`, `2026-12-01T10:30` or `2026-12-01T10:30:05`, and holds it to the calendar.
#[must_use]
pub fn date(word: &str) -> Option<DateTime> {
    fn fixed<'a>(length: usize) -> impl Parser<&'a str, Output = u16, Error = nom::error::Error<&'a str>> {
        map_opt(take_while_m_n(length, length, |c: char| c.is_ascii_digit()), |s: &str| s.parse().ok())
    }
    let time =
        preceded(char('T'), (fixed(2), preceded(char(':'), fixed(2)), opt(preceded(char(':'), fixed(2)))));
    let mut whole =
        all_consuming((fixed(4), preceded(char('-'), fixed(2)), preceded(char('-'), fixed(2)), opt(time)));
    let parsed: IResult<&str, _> = whole.parse(word);
    let (_, (year, month, day, time)) = parsed.ok()?;
    let small = |n: u16| u8::try_from(n).ok();
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || day == 0 || day > days {
        return None;
    }
    let time = match time {
        None => None,
        Some((h, m, s)) => {
            let s = s.unwrap_or(0);
            if h > 23 || m > 59 || s > 59 {
                return None;
            }
            Some((small(h)?, small(m)?, small(s)?))
        }
    };
    Some((year, small(month)?, small(day)?, time))
}

/// One escape, behind its backslash. None in it: no such escape, or no such character.
fn escape(text: &str) -> IResult<&str, Option<char>> {
    let hex = take_while_m_n(1, 6, |c: char| c.is_ascii_hexdigit());
    let unicode = delimited(tag("u{"), hex, char('}'))
        .map(|digits: &str| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32));
    alt((
        value(Some('"'), char('"')),
        value(Some('\\'), char('\\')),
        value(Some('\n'), char('n')),
        value(Some('\t'), char('t')),
        unicode,
        value(None, anychar),
        value(None, rest),
    ))
    .parse(text)
}

/// The places of escapes in a quoted token that mean nothing, each with what to say.
#[must_use]
pub fn bad_escapes(token: &str) -> Vec<(Range<usize>, String)> {
    let mut out = Vec::new();
    let mut left = token;
    while let Some((_, behind)) = left.split_once('\\') {
        let Ok((next, meant)) = escape(behind) else { break };
        // A backslash at the very end stands in a text that is not closed, which has its own message.
        if meant.is_none() && !behind.is_empty() {
            let start = token.len() - behind.len() - 1;
            let end = token.len() - next.len();
            let written = token.get(start..end).unwrap_or_default();
            let what = match written.strip_prefix("\\u") {
                None => {
                    format!("`{}` is no escape", written.escape_debug().to_string().replace("\\\\", "\\"))
                }
                Some(_) if behind.starts_with("u{") => "`\\u{…}` holds no character's number".to_owned(),
                Some(_) => "`\\u` needs a number in braces: `\\u{20AC}`".to_owned(),
            };
            out.push((start..end, what));
        }
        left = next;
    }
    out
}

/// What a quoted token says: quotes off, escapes resolved. An escape that means nothing stays as written.
///
/// In a `"""` text a line end behind the opening quotes is dropped; where the closing quotes stand alone
/// on their line, that line end is dropped too and their indentation is taken off every line. Line ends
/// are `\n`.
#[must_use]
pub fn text(token: &str) -> String {
    if let Some(inner) = token.strip_prefix("\"\"\"") {
        return unescape(&block(inner.strip_suffix("\"\"\"").unwrap_or(inner)));
    }
    let Some(inner) = token.strip_prefix('"') else {
        // Foreign quotes have been reported; what they hold is taken as it is.
        let mut chars = token.chars();
        chars.next();
        chars.next_back();
        return chars.as_str().to_owned();
    };
    // An unclosed text may end in an escaped quote.
    let ends_escaped = inner.len() - inner.trim_end_matches('"').len() == 1
        && inner.trim_end_matches('"').chars().rev().take_while(|c| *c == '\\').count() % 2 == 1;
    let inner = if ends_escaped { inner } else { inner.strip_suffix('"').unwrap_or(inner) };
    unescape(inner)
}

fn block(inner: &str) -> String {
    let inner = inner.replace("\r\n", "\n");
    let inner = inner.strip_prefix('\n').unwrap_or(&inner);
    let Some((body, indent)) = inner.rsplit_once('\n').map_or_else(
        || if inner.trim().is_empty() { Some(("", inner)) } else { None },
        |(body, last)| if last.chars().all(|c| c == ' ' || c == '\t') { Some((body, last)) } else { None },
    ) else {
        return inner.to_owned();
    };
    let mut out = String::with_capacity(body.len());
    for (at, line) in body.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let shared = line.bytes().zip(indent.bytes()).take_while(|(a, b)| a == b).count();
        out.push_str(line.get(shared..).unwrap_or(line));
    }
    out
}

fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut left = inner;
    while let Some((before, behind)) = left.split_once('\\') {
        out.push_str(before);
        let Ok((next, meant)) = escape(behind) else { break };
        match meant {
            Some(c) => out.push(c),
            None => {
                out.push('\\');
                out.push_str(behind.get(..behind.len() - next.len()).unwrap_or_default());
            }
        }
        left = next;
    }
    out.push_str(left);
    out
}

/// What a regex token says: slashes off, `\/` as `/`, all else as written.
#[must_use]
pub fn regex(token: &str) -> String {
    let inner = token.strip_prefix('/').unwrap_or(token);
    let inner = inner.trim_end_matches(|c: char| c.is_ascii_alphabetic() && inner.contains('/'));
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('/') => out.push('/'),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

/// A text as one line in double quotes.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:X}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
