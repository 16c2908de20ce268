//! Test blocks.

use super::block::block;
use super::cursor::{Cursor, named, short};
use super::list::{entries, list, words};
use super::reply::reply_code;
use super::rule::quantity;
use super::value::{moment, value};
use crate::ast::{
    Answer, Class, Dns, Expect, Expectation, Item, Record, RecordKind, Sender, Spanned, Test, Text, Thing,
    Usage,
};
use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::parse::opposite::Likely as _;
use crate::span::Span;
use edict_table::fact::{DMARC_RESULTS, RESULTS, Stage};
use edict_table::model::Verb;

/// What an expectation is made of.
pub(super) const PARTS: &[&str] = &[
    "accept",
    "allow",
    "reject",
    "defer",
    "hold",
    "discard",
    "by",
    "at",
    "reply",
    "recipients",
    "bcc",
    "disclaimer",
    "quota",
    "route",
    "no",
    "for",
];

/// Reads a test behind its keyword, which was taken.
pub(super) fn test(c: &mut Cursor<'_>, keyword: Span) -> Option<Item> {
    let name = c.expect_text("the test's name in quotes");
    let mut test = Test {
        name: name.clone().unwrap_or(Text { value: String::new(), block: false, span: keyword }),
        keyword,
        client: None,
        client_name: None,
        helo: None,
        tls: None,
        spf: None,
        dmarc: None,
        dkim: Vec::new(),
        login: None,
        sender: None,
        recipients: Vec::new(),
        headers: Vec::new(),
        body: None,
        message: None,
        size: None,
        time: None,
        dns: Vec::new(),
        usage: Vec::new(),
        expects: Vec::new(),
        note: None,
        broken: false,
        span: keyword,
    };
    let seen = block(c, "test", |c, clause| read(c, &mut test, clause));
    test.span = c.since(keyword);
    test.broken = c.broken_since(keyword);
    if !test.broken && seen.block && test.expects.is_empty() {
        let diagnostic = Diagnostic::error("E0030", "this `test` has no `expect`", keyword)
            .help("say what should become of the mail, as in `expect reject 554 by \"bad networks\"`");
        c.report(diagnostic);
    }
    name.map(|_| Item::Test(Box::new(test)))
}

fn read(c: &mut Cursor<'_>, test: &mut Test, clause: &'static str) -> Option<()> {
    match clause {
        "client" => test.client = Some(c.expect_word("an address such as `203.0.113.9`")?),
        "client-name" => test.client_name = Some(c.expect_word("a host name")?),
        "helo" => test.helo = Some(c.expect_word("a host name, or an address as `[192.0.2.1]`")?),
        "tls" => {
            let words = [("yes", true), ("no", false), ("on", true), ("off", false)];
            test.tls = Some(c.choice("answer", &words)?);
        }
        "spf" => test.spf = Some(result(c, "result of SPF", RESULTS)?),
        "dmarc" => test.dmarc = Some(result(c, "result of DMARC", DMARC_RESULTS)?),
        "dkim" => test.dkim.extend(words(c, "a domain")?),
        "login" => test.login = Some(value(c, "a login")?),
        "sender" => {
            if let Some(token) = c.peek().filter(|t| t.kind == TokenKind::Less) {
                let diagnostic =
                    Diagnostic::error("E0017", "an address stands without `<` and `>`", token.span)
                        .help("write `sender ann@example.com`; `<>` is the sender of a bounce");
                c.report(diagnostic);
                return None;
            }
            let null = c.eat(TokenKind::Null);
            test.sender = Some(match null {
                Some(span) => Sender::Null(span),
                None => Sender::Address(c.expect_word("an address or `<>`")?),
            });
        }
        "recipient" => test.recipients.extend(words(c, "an address")?),
        "header" if c.word().is_some() && !c.next_clause() => {
            let diagnostic = c
                .missing("a header field in quotes")
                .map(|d| d.help("name, colon and value stand in one text: `header \"Subject: hello\"`"));
            if let Some(diagnostic) = diagnostic {
                c.report(diagnostic);
            }
            return None;
        }
        "header" => test.headers.push(c.expect_text("a header field in quotes")?),
        "body" => test.body = Some(c.expect_text("a text")?),
        "message" => test.message = Some(c.expect_text("a file's name in quotes")?),
        "size" => {
            let size = value(c, "a size such as `10 KiB`")?;
            let Class::Size(bytes) = size.class else {
                let diagnostic =
                    Diagnostic::error("E0026", format!("`{}` is no size", short(&size.text)), size.span);
                c.report(diagnostic.help("write a number and `B`, `KB`, `KiB`, `MB`, `MiB`, as in `10 KiB`"));
                return None;
            };
            test.size = Some(Spanned::new(bytes, size.span));
        }
        "time" => test.time = Some(moment(c)?),
        "dns" => test.dns.push(dns(c)?),
        "usage" => {
            let start = c.last_span();
            let (count, of) = quantity(c)?;
            test.usage.push(Usage { count, of: of.value, span: c.since(start) });
        }
        "expect" => test.expects.push(expect(c)?),
        "note" => test.note = Some(c.expect_text("a text")?),
        _ => return None,
    }
    Some(())
}

/// The result of a check of the sender, by its place in the registry.
fn result(c: &mut Cursor<'_>, what: &str, results: &'static [&'static str]) -> Option<Spanned<u8>> {
    let words: Vec<(&str, u8)> =
        results.iter().copied().zip(0..).filter(|(word, _)| !word.is_empty()).collect();
    c.choice(what, &words)
}

/// `"name" answers …`
fn dns(c: &mut Cursor<'_>) -> Option<Dns> {
    let start = c.last_span();
    let name = c.expect_text("the name that is asked for in quotes")?;
    c.expect_keyword("answers")?;
    let answer = if c.eat_word("nothing").is_some() {
        Answer::Nothing
    } else if c.eat_word("failure").is_some() {
        Answer::Failure
    } else if c.at_kind(TokenKind::OpenBracket) {
        Answer::Records(list(c, "records", record)?.0)
    } else {
        Answer::Records(vec![record(c)?])
    };
    Some(Dns { name, answer, span: c.since(start) })
}

fn record(c: &mut Cursor<'_>) -> Option<Record> {
    let kind = match c.word() {
        Some("mx") => RecordKind::Mx,
        Some("ptr") => RecordKind::Ptr,
        Some("txt") => RecordKind::Txt,
        _ => RecordKind::Address,
    };
    if kind != RecordKind::Address {
        c.bump();
    }
    let what = match kind {
        RecordKind::Address => "`nothing`, `failure`, an address, or `mx`, `ptr`, `txt` and a value",
        RecordKind::Txt => "a text",
        _ => "a host name",
    };
    Some(Record { kind, value: value(c, what)? })
}

fn expect(c: &mut Cursor<'_>) -> Option<Expect> {
    let start = c.last_span();
    let mut expect = Expect { parts: Vec::new(), recipient: None, span: start };
    while let Some(token) = c.peek().filter(|t| t.kind == TokenKind::Word && PARTS.contains(&t.text)) {
        c.bump();
        c.doubled(token.text);
        if token.text == "for" {
            expect.recipient = Some(c.expect_word("an address")?);
            continue;
        }
        expect.parts.push(part(c, token.text, token.span)?);
    }
    if expect.parts.is_empty() {
        let unknown = c.peek().filter(|t| t.kind == TokenKind::Word && !c.starts_line(0));
        let listed: Vec<String> = PARTS.iter().map(|word| format!("`{word}`")).collect();
        if let Some(token) = unknown {
            let message = format!("`{}` is nothing to expect", short(token.text));
            let mut diagnostic = Diagnostic::error("E0022", message, token.span)
                .help(format!("write one of {}", listed.join(", ")));
            let taken = ["pass", "passed", "ok", "deliver", "delivered", "accepted"].contains(&token.text);
            let meant = if taken { Some("accept") } else { super::words::meant(token.text, PARTS) };
            if token.text == "not" {
                diagnostic = diagnostic.label("say what happens instead, or `no bcc` and the like for none");
            } else if let Some(meant) = meant {
                diagnostic = diagnostic.label(format!("did you mean `{meant}`?"));
                diagnostic = if taken {
                    diagnostic.fix(format!("write `{meant}`"), token.span, meant)
                } else {
                    diagnostic.nearest(token.text, meant, token.span, meant)
                };
            }
            c.report(diagnostic);
        } else {
            c.expected("what to expect, such as `accept` or `reject 554`");
        }
        return None;
    }
    expect.span = c.since(start);
    Some(expect)
}

fn part(c: &mut Cursor<'_>, word: &str, span: Span) -> Option<Expectation> {
    let verdict = |verb| Some(Expectation::Verdict(Spanned::new(verb, span), None));
    match word {
        "accept" => Some(Expectation::Accept(span)),
        "allow" => verdict(Verb::Allow),
        "hold" => verdict(Verb::Hold),
        "discard" => verdict(Verb::Discard),
        "reject" | "defer" => {
            let verb = if word == "reject" { Verb::Reject } else { Verb::Defer };
            Some(Expectation::Verdict(Spanned::new(verb, span), code(c)?))
        }
        "by" => Some(Expectation::By(c.expect_text("a rule's name in quotes")?)),
        "at" => {
            let stages = [
                ("connect", Stage::Connect),
                ("mail", Stage::Mail),
                ("rcpt", Stage::Rcpt),
                ("data", Stage::Data),
                ("end-of-data", Stage::Body),
            ];
            Some(Expectation::At(c.choice("stage", &stages)?))
        }
        "reply" => Some(Expectation::Reply(c.expect_text("a part of the reply in quotes")?)),
        "recipients" => Some(Expectation::Recipients(entries(c, "an address")?)),
        "bcc" => Some(Expectation::Bcc(entries(c, "an address, or a rule's name in quotes")?)),
        "disclaimer" => Some(Expectation::Disclaimer(entries(c, "a rule's name in quotes")?)),
        "quota" => Some(Expectation::Quota(entries(c, "a rule's name in quotes")?)),
        "route" => Some(Expectation::Route(entries(c, "a rule's name in quotes, or a relay's")?)),
        _ => {
            let things = [
                ("recipients", Thing::Recipients),
                ("bcc", Thing::Bcc),
                ("disclaimer", Thing::Disclaimer),
                ("quota", Thing::Quota),
                ("route", Thing::Route),
            ];
            Some(Expectation::No(c.choice("thing to expect none of", &things)?))
        }
    }
}

/// The code behind `reject` or `defer`, if there is one. None where it is no code.
fn code(c: &mut Cursor<'_>) -> Option<Option<Spanned<u16>>> {
    let digit = |t: &super::cursor::Tok<'_>| {
        t.kind == TokenKind::Word && t.text.starts_with(|d: char| d.is_ascii_digit())
    };
    let Some(token) = c.peek().filter(digit) else { return Some(None) };
    c.bump();
    let code = reply_code(token.text);
    if code.is_none() {
        let diagnostic = Diagnostic::error("E0028", format!("{} is no reply code", named(token)), token.span);
        c.report(diagnostic.help("a reply code has three digits, as in `reject 554`"));
        return None;
    }
    Some(code.map(|code| Spanned::new(code, token.span)))
}
