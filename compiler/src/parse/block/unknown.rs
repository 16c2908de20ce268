//! Words that are no clause of the item around them: what was meant, or what to write instead.

use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::parse::condition::is_fact;
use crate::parse::cursor::{Cursor, short};
use crate::parse::opposite::Likely as _;
use crate::parse::testing::PARTS;
use crate::parse::words::{RESERVED, clauses, items_with, meant};
use crate::span::Span;

/// Reports a word that is no clause of the item. Answers the clause that is surely meant, to read on with it.
pub(super) fn unknown(c: &mut Cursor<'_>, item: &'static str, behind: &str) -> Option<&'static str> {
    let token = c.peek()?;
    let (word, span) = (token.text, token.span);
    let known = clauses(item);
    let thing = if item == "profile" { "setting" } else { "clause" };
    let listed = || {
        let words: Vec<String> = known.iter().map(|w| format!("`{w}`")).collect();
        format!("the {thing}s of `{item}` are {}", words.join(", "))
    };
    if let Some((_, today)) = RESERVED.iter().find(|(reserved, _)| *reserved == word) {
        c.starts_here(false);
        c.report(reserved(word, span, today));
        return None;
    }
    if known.contains(&"when") && is_fact(word) {
        // Which of the two is missing only the author knows.
        c.report(
            Diagnostic::error("E0015", format!("a test on `{word}` stands behind `when` or `unless`"), span)
                .label("no clause begins so")
                .help(format!("write `when {word} ...`; `unless {word} ...` makes it an exception")),
        );
        return None;
    }
    if item != "test" && matches!(word, "no" | "not" | "non" | "dont" | "don't" | "never" | "without") {
        let next = c.nth(1).filter(|t| t.kind == TokenKind::Word && !c.starts_line(1)).map(|t| t.text);
        let help = match next {
            Some(next) if known.contains(&next) => {
                format!("leave the {thing} out where it is not wanted: without `{next}` there is none")
            }
            Some(next) if known.contains(&"when") && is_fact(next) => {
                format!(
                    "a test stands behind `when` or `unless`: write `when not {next} ...`, or `unless {next} ...`"
                )
            }
            _ => listed(),
        };
        c.report(
            Diagnostic::error("E0014", format!("no {thing} begins with `{word}`"), span)
                .label(format!("a {thing} says what is wanted, and is else left out"))
                .help(help),
        );
        return None;
    }
    if word == "then" && known.contains(&"when") {
        c.report(
            Diagnostic::error("E0014", "unknown clause `then`", span).label("nothing stands for it").help(
                format!(
                    "take it out, and what follows: the word before the name, `{item}`, says what happens"
                ),
            ),
        );
        return None;
    }
    if item == "relay" && matches!(word, "user" | "username" | "login" | "password" | "auth" | "secret") {
        c.starts_here(false);
        c.report(
            Diagnostic::error("E0014", format!("unknown clause `{word}`"), span)
                .label("no passwords stand in rules")
                .help(
                    "write `credentials \"provider\"`; under this name `edictd.ron` keeps user and password",
                ),
        );
        return None;
    }
    if item == "test" && lost_expect(c) {
        let insert = Span { end: span.start, ..span };
        // What stands behind it on its line, as far as that is one word or text.
        let operand = c.nth(1).filter(|t| !c.starts_line(1) && t.kind != TokenKind::CloseBrace);
        let said = match operand {
            None => format!("`expect {word}`"),
            Some(t) if matches!(t.kind, TokenKind::Word | TokenKind::Text) && c.starts_line(2) => {
                format!("`expect {word} {}`", short(t.text))
            }
            Some(_) => format!("`expect {word} ...`"),
        };
        c.report(
            Diagnostic::error("E0014", format!("`{word}` is no clause of `test`"), span)
                .label("something to expect")
                .help(format!("write {said}"))
                .fix("write `expect`", insert, "expect "),
        );
        return None;
    }
    // A keyword run together with its number.
    let run = known.iter().find_map(|known| {
        let rest = word.strip_prefix(known)?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("{known} {rest}"))
    });
    if let Some(parted) = run {
        c.report(
            Diagnostic::error("E0014", format!("unknown {thing} `{}`", short(word)), span)
                .label("a space is missing")
                .help(format!("write `{}`", short(&parted)))
                .fix("part the two", span, parted),
        );
        return None;
    }
    let elsewhere: Vec<String> = items_with(word).map(|item| format!("`{item}`")).collect();
    if !elsewhere.is_empty() {
        let message = format!("`{word}` is no {thing} of `{item}`");
        let shown = elsewhere.get(..elsewhere.len().min(6)).unwrap_or_default().join(", ");
        let diagnostic = Diagnostic::error("E0015", message, span).label(format!("belongs into {shown}"));
        c.report(diagnostic.help(listed()));
        return None;
    }
    let likely = meant(word, known);
    if !c.starts_line(0) && !behind.is_empty() && likely.is_none() {
        let message = format!("`{}` does not belong behind this `{behind}`", short(word));
        let diagnostic =
            Diagnostic::error("E0017", message, span).label(format!("expected another {thing} or `}}`"));
        let quote = c.gap_is_empty() && c.last_kind() == Some(TokenKind::Text);
        c.report(match behind {
            _ if quote => diagnostic.help("a `\"` inside of a text is written `\\\"`"),
            "reply" => diagnostic
                .help("code, class and text stand in this order, as in `reply 554 5.7.1 \"not here\"`"),
            "expect" => diagnostic.help(
                "an `expect` says what happens, in parts that follow one another, as in `expect reject 550 by \"block list\" at rcpt for ann@example.com`",
            ),
            "host" if word == "port" || word.bytes().all(|b| b.is_ascii_digit()) => {
                diagnostic.help("a port stands behind a colon, as in `host [smtp.example.com:587]`")
            }
            _ => diagnostic.help(format!(
                "take it out, or write what belongs behind `{behind}`: {}",
                form(behind)
            )),
        });
        return None;
    }
    let diagnostic = Diagnostic::error("E0014", format!("unknown {thing} `{}`", short(word)), span);
    if let Some(likely) = likely {
        c.report(
            diagnostic
                .label(format!("did you mean `{likely}`?"))
                .help(listed())
                .nearest(word, likely, span, likely),
        );
        return Some(likely);
    }
    c.report(diagnostic.help(listed()));
    None
}

/// What stands behind a clause or a setting.
fn form(clause: &str) -> &'static str {
    match clause {
        "when" | "unless" => "tests joined with `and` or `or`, as in `sender in partners and size > 1 MiB`",
        "at" => "`at most 60 messages per minute`",
        "reply" => "`reply 554 5.7.1 \"not here\"`",
        "priority" => "one number, as in `priority 10`",
        "active" => "`active from 2026-12-01 until 2027-01-15`",
        "to" | "local-domains" | "trusted-networks" | "postmaster" | "notice-copies" | "recipient"
        | "host" | "may-send" => "one value, or several as `[a, b]`",
        "note" | "banner" | "text" | "html" | "header" | "body" | "message" => "one text in quotes",
        "max-message-size" | "max-attachment-size" | "size" => "one size, as `25 MiB`",
        _ => "one value",
    }
}

/// The report of a word that is kept for a later edition.
pub(in crate::parse) fn reserved(word: &str, span: Span, today: &str) -> Diagnostic {
    Diagnostic::error("E0013", format!("`{word}` is reserved for a later edition"), span)
        .label("not in edition 1")
        .help(today)
}

/// Whether a line of a test says what is to come of the mail, and only `expect` is missing.
pub(super) fn lost_expect(c: &Cursor<'_>) -> bool {
    let block = c.nth(2).is_some_and(|t| t.kind == TokenKind::OpenBrace);
    c.word().is_some_and(|word| PARTS.contains(&word)) && !block && !c.flush_left()
}
