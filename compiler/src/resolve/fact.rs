//! The facts that tests ask: found by their names and states, or told with what was probably meant.

use super::{Context, joined};
use crate::ast::{self, Class, FactTest};
use crate::diag::Diagnostic;
use crate::parse::opposite::{Likely, certain, reverses};
use crate::parse::words::nearest;
use edict_table::fact::{Fact, REGISTRY, Row};
use edict_table::value::Domain;

/// Finds the fact of a test, with its parameter.
pub(super) fn fact(ctx: &mut Context<'_>, test: &FactTest) -> Option<(&'static Row, String)> {
    let name = test.fact.name.value.as_str();
    let states: Vec<&str> = REGISTRY
        .iter()
        .filter_map(|row| row.name.strip_prefix(name)?.strip_prefix(" is "))
        .filter(|state| !state.starts_with("listed"))
        .collect();
    if let ast::Op::Is(value) = &test.op
        && value.class == Class::Word
        && let Some(fact) = Fact::by_name(&format!("{name} is {}", value.text))
    {
        no_parameter(ctx, test)?;
        return Some((fact.row(), String::new()));
    }
    if let ast::Op::ListedIn(zone) = &test.op {
        if name != "client.ip" {
            ctx.report(
                Diagnostic::error("E1118", format!("`{name}` cannot be listed in a DNS list"), test.span)
                    .label("only the client's address is looked up")
                    .help("write `client.ip is listed in \"zone.example\"`"),
            );
            return None;
        }
        return match Domain::parse(&zone.value) {
            Ok(domain) if !domain.is_literal() => {
                Some((Fact::ClientListed.row(), domain.as_str().to_owned()))
            }
            _ => {
                ctx.report(
                    Diagnostic::error(
                        "E1127",
                        format!("`{}` is no zone of a DNS list", zone.value),
                        zone.span,
                    )
                    .label("a domain is expected here")
                    .help("write a domain, for example `\"zen.spamhaus.org\"`"),
                );
                None
            }
        };
    }
    // Phrases and the time are no names that a test can begin with.
    let known = Fact::by_name(name).filter(|f| !name.contains(' ') && *f != Fact::Time);
    let Some(fact) = known else {
        unknown_fact(ctx, test, &states);
        return None;
    };
    let row = fact.row();
    if !row.parameter {
        no_parameter(ctx, test)?;
        if let (false, ast::Op::Is(value)) = (states.is_empty(), &test.op)
            && value.class == Class::Word
            && !value.text.contains(['.', '@'])
            && let Some(meant) =
                nearest(&value.text, states.iter().copied()).or_else(|| opposite(&value.text, &states))
        {
            let diagnostic =
                Diagnostic::error("E1117", format!("`{name}` cannot be `{}`", value.text), value.span)
                    .label("no such state");
            // A word for the opposite is no slip: no edit makes the one of the other.
            let diagnostic = if opposite(&value.text, &[meant]).is_some() {
                diagnostic
            } else {
                diagnostic.nearest(&value.text, meant, value.span, meant)
            };
            ctx.report(diagnostic.help(state(name, ctx.is(), &value.text, meant)));
            return None;
        }
        return Some((row, String::new()));
    }
    let Some(text) = &test.fact.parameter else {
        ctx.report(
            Diagnostic::error("E1107", format!("`{name}` needs the name of a field"), test.fact.span)
                .label("which one?")
                .help("write `header(\"X-Spam-Flag\")`"),
        );
        return None;
    };
    let field = text.value.to_ascii_lowercase();
    let printable = field.bytes().all(|b| (33..=126).contains(&b) && b != b':');
    if field.is_empty() || field.len() > 200 || !printable {
        ctx.report(
            Diagnostic::error(
                "E1108",
                if text.value.is_empty() {
                    "an empty text is not the name of a header field".to_owned()
                } else {
                    format!("`{}` is not the name of a header field", text.value)
                },
                text.span,
            )
            .label("letters, digits and hyphens, without the colon (RFC 5322 2.2)")
            .help(header_name(&text.value)),
        );
        return None;
    }
    Some((row, field))
}

/// The state whose opposite a word says, in a way that is no slip: `resolved` for `unresolvable`.
fn opposite<'a>(word: &str, states: &[&'a str]) -> Option<&'a str> {
    const SAID: &[(&[&str], &str)] = &[
        (&["resolved", "resolving", "resolves", "unresolved", "nxdomain"], "unresolvable"),
        (&["fqdn", "full"], "unqualified"),
        (&["valid", "invalid", "broken"], "malformed"),
        (&["verified", "confirmed"], "unverified"),
        (&["named", "unnamed", "anonymous"], "nameless"),
    ];
    let (_, state) = SAID.iter().find(|(words, _)| words.contains(&word))?;
    states.iter().copied().find(|known| known == state)
}

/// What to write in place of a state that there is not.
fn state(name: &str, is: &str, written: &str, meant: &str) -> String {
    if matches!(written, "unresolved" | "nxdomain" | "invalid" | "broken") {
        return format!("write `{name} {is} {meant}`");
    }
    if reverses(written, meant) || opposite(written, &[meant]).is_some() {
        let nameless =
            if meant == "unverified" { "; a client without a reverse name is unverified too" } else { "" };
        return format!(
            "the state is `{name} is {meant}`; its opposite is written `{name} is not {meant}`{nameless}"
        );
    }
    format!("did you mean `{meant}`?")
}

/// What to write in place of a name that no header field can have.
fn header_name(text: &str) -> String {
    let plain: String = text
        .trim()
        .trim_end_matches(':')
        .chars()
        .map(|c| if c.is_whitespace() || c == '_' || c == ':' { '-' } else { c })
        .filter(|c| c.is_ascii_graphic())
        .collect();
    let usable = !plain.is_empty() && plain != text && plain.len() <= 200;
    let shown = if usable { plain.as_str() } else { "X-Spam-Flag" };
    let why = if text.contains(char::is_whitespace) { "; no field has a space in its name" } else { "" };
    format!("write `header(\"{shown}\")`{why}")
}

fn no_parameter(ctx: &mut Context<'_>, test: &FactTest) -> Option<()> {
    let Some(text) = &test.fact.parameter else { return Some(()) };
    ctx.report(
        Diagnostic::error(
            "E1107",
            format!("`{}` takes nothing in parentheses", test.fact.name.value),
            text.span,
        )
        .label("only `header` does")
        .help(format!("write `{}`", test.fact.name.value)),
    );
    None
}

fn unknown_fact(ctx: &mut Context<'_>, test: &FactTest, states: &[&str]) {
    let name = test.fact.name.value.as_str();
    let span = test.fact.name.span;
    if !states.is_empty() {
        // `message` and `client`: only together with a state.
        let mut diagnostic = match &test.op {
            ast::Op::Is(value) => {
                Diagnostic::error("E1117", format!("`{name}` cannot be `{}`", value.text), value.span)
                    .label("no such state")
            }
            _ => Diagnostic::error("E1122", format!("`{name}` alone is no test"), test.span)
                .label("asked by its state only"),
        };
        let meant = match &test.op {
            ast::Op::Is(value) => nearest(&value.text, states.iter().copied())
                .map(|meant| state(name, ctx.is(), &value.text, meant)),
            _ => None,
        };
        diagnostic = match meant {
            Some(meant) => diagnostic.help(meant),
            None => diagnostic.help(format!("write `{name} is {}`", states.join("`, `is "))),
        };
        ctx.report(diagnostic);
        return;
    }
    if let Some(plain) = name.strip_prefix('!').filter(|plain| !plain.is_empty()) {
        ctx.report(
            Diagnostic::error("E1106", format!("no fact is named `{name}`"), span)
                .label("`!` is written `not`")
                .help(format!("write `not {plain}`, before the whole test"))
                .fix(format!("write `not {plain}`"), span, format!("not {plain}")),
        );
        return;
    }
    if joined::alone(ctx, test) {
        return;
    }
    let names = REGISTRY.iter().map(|row| row.name).filter(|n| !n.contains(' ') && *n != "time");
    let renamed = [
        ("mail.from", "sender"),
        ("envelope.from", "sender"),
        ("rcpt", "recipient"),
        ("rcpt.to", "recipient"),
        ("ip", "client.ip"),
        ("remote.ip", "client.ip"),
        ("user", "auth.user"),
        ("login", "auth.user"),
        ("attachment", "attachment.name"),
        ("attachments", "attachment.name"),
        ("headers", "header"),
        ("tls", "client.tls"),
        ("rcpt.count", "recipient.count"),
    ];
    let whole = name.strip_suffix(".domain").or(name.strip_suffix(".local"));
    if let Some(whole) = whole.filter(|whole| matches!(*whole, "from" | "to" | "cc")) {
        let part = if name.ends_with("domain") { "is @example.com" } else { "is ann@" };
        let envelope = if whole == "from" { "sender" } else { "recipient" };
        ctx.report(
            Diagnostic::error("E1106", format!("no fact is named `{name}`"), span)
                .label("rules cannot ask this")
                // No fix: header or envelope, only the writer knows.
                .help(format!(
                    "ask the whole address in the header, as `{whole} {part}`, or the envelope, as `{envelope}{} is ...`",
                    name.trim_start_matches(whole)
                )),
        );
        return;
    }
    if name == "dkim" {
        ctx.report(
            Diagnostic::error("E1106", "no fact is named `dkim`", span)
                .label("rules cannot ask this")
                // No fix: as the name of a domain, `pass` would never be met.
                .help("write `dkim.domain is present` for any valid signature, `dkim.domain is partner.example` for one of that domain"),
        );
        return;
    }
    if matches!(name, "attachment" | "attachments")
        && matches!(test.op, ast::Op::Present | ast::Op::Absent | ast::Op::Holds)
    {
        let absent = matches!(test.op, ast::Op::Absent) != test.negated;
        let count = if absent { "is 0" } else { "> 0" };
        ctx.report(
            Diagnostic::error("E1106", format!("no fact is named `{name}`"), span)
                .label("rules cannot ask this")
                // An attachment may have no name.
                .help(format!("write `attachment.count {count}`")),
        );
        return;
    }
    let compared = matches!(test.op, ast::Op::Compare(..));
    if name == "time" {
        ctx.report(
            Diagnostic::error("E1106", "no fact is named `time`", span)
                .label("rules cannot ask this")
                .help("rules know dates, not the hours of every day: take the test out where others are joined with it by `and`, else the rule, or write `active from 2026-12-01 until 2027-01-15` on a line of its own"),
        );
        return;
    }
    let listed = renamed
        .iter()
        .find(|(from, _)| name.eq_ignore_ascii_case(from))
        .map(|(_, to)| *to)
        .or((compared && name == "recipients").then_some("recipient.count"));
    let stem =
        ["not-", "non-", "not", "non", "no-", "no", "is-", "is"].iter().find_map(|p| name.strip_prefix(p));
    let negated = stem.and_then(|stem| nearest(stem, names.clone())).filter(|meant| reverses(name, meant));
    let meant = listed.or_else(|| nearest(name, names)).or(negated);
    let mut diagnostic =
        Diagnostic::error("E1106", format!("no fact is named `{name}`"), span).label("rules cannot ask this");
    diagnostic = match meant {
        // A part of a name may be meant in several ways; a slip of the finger in one.
        Some(meant) if meant.starts_with(name) || name.starts_with(meant) => {
            diagnostic.help(format!("did you mean `{meant}`?"))
        }
        Some(meant) if listed.is_none() && reverses(name, meant) => {
            diagnostic.help(format!("the fact is `{meant}`; the opposite is asked with `not` before the whole test"))
        }
        Some(meant) => {
            let diagnostic = diagnostic.help(format!("did you mean `{meant}`?"));
            if listed.is_some() || certain(name, meant) {
                diagnostic.fix(format!("write `{meant}`"), span, meant)
            } else {
                diagnostic
            }
        }
        None => diagnostic.help("rules ask `client.ip`, `auth.user`, `sender`, `recipient`, `direction`, `subject`, `header(\"X\")`, `size`, `body` and so on"),
    };
    ctx.report(diagnostic);
}
