//! Single values that facts are compared with, and the words that people write where one should stand: states of other
//! facts, names of facts and settings, domains that are never seen.

use super::Context;
use super::named::Place;
use super::plain::{is_nothing, is_something};
use super::value::{Bare, nothing};
use super::wording::{TEMPORARY, listed, type_word};
use crate::ast::{Class, Value};
use crate::diag::Diagnostic;
use crate::parse::opposite::{Likely as _, reverses};
use crate::parse::words::{SETTINGS, nearest};
use crate::span::Span;
use edict_table::fact::{Fact, REGISTRY, Row, Type};
use edict_table::model::ListKind;
use edict_table::value::Pattern;

/// Settings that are lists too.
const BUILT_IN: [&str; 2] = ["local-domains", "relay-domains"];

/// Texts that may stand without quotes, since they are names.
pub fn bare_text(fact: Fact) -> bool {
    matches!(fact, Fact::AuthUser | Fact::SenderLocal | Fact::RecipientLocal)
}

pub fn kind_of(ty: Type) -> ListKind {
    match ty {
        Type::Network => ListKind::Network,
        Type::Text => ListKind::Text,
        _ => ListKind::Mailbox,
    }
}

/// One value as the entry of a list of the fact's type.
pub fn one_value(ctx: &mut Context<'_>, row: &Row, value: &Value, place: Place<'_>) -> Option<String> {
    let in_set = matches!(place, Place::Among(..));
    let code = match row.ty {
        Type::Address => "E1110",
        Type::Domain => "E1111",
        Type::Network => "E1112",
        _ => "E1114",
    };
    let (name, bare) = (row.name, row.ty != Type::Text || bare_text(row.fact));
    let (negated, turned) = (ctx.negated, ctx.turned);
    let instead = |one: &str| match (in_set, negated || turned) {
        (true, _) if negated => {
            format!("take it out, and write `({name} not in [...] or {name} is {one})` in place of this test")
        }
        (true, _) => format!(
            "take it out, and write `({name} in [...] and not {name} is {one})` in place of this test"
        ),
        // Whether the two cancel, only the writer knows.
        (false, true) => format!(
            "`not` stands here already: write `{name} is {one}` or `not {name} is {one}`, whichever is meant"
        ),
        (false, false) => {
            format!("the opposite is asked with `not` before the whole test: `not {name} is {one}`")
        }
    };
    if bare && ctx.left_out(code, value, instead) {
        return None;
    }
    // The settings that are lists have a message of their own.
    if !BUILT_IN.contains(&value.text.as_str()) && ctx.names_set(value, place) {
        return None;
    }
    match row.ty {
        Type::Address => {
            if state_of_another(ctx, row, value) || (!in_set && near_state(ctx, row, value)) {
                return None;
            }
            let bare = if in_set { Bare::Taken } else { Bare::Test(row.name) };
            let pattern = ctx.pattern(value, bare)?;
            through_alias(ctx, row, &pattern, value.span);
            Some(pattern.key())
        }
        Type::Domain => {
            if state_of_another(ctx, row, value)
                || names_something(ctx, row, value)
                || (!in_set && near_state(ctx, row, value))
            {
                return None;
            }
            if value.class == Class::Text && value.text.is_empty() {
                let diagnostic = Diagnostic::error("E1111", "an empty text is no domain", value.span)
                    .label("a domain is expected here");
                ctx.report(nothing(diagnostic, row.name, value.span));
                return None;
            }
            let pattern = ctx.domain(value, true)?;
            through_alias(ctx, row, &pattern, value.span);
            Some(pattern.key())
        }
        Type::Network => ctx.network(value, false).map(|n| n.to_string()),
        Type::Text => {
            let local = matches!(row.fact, Fact::SenderLocal | Fact::RecipientLocal);
            if local && value.text.contains('@') {
                let whole = row.name.trim_end_matches(".local");
                let name = row.name;
                ctx.report(
                    Diagnostic::error(
                        "E1114",
                        format!(
                            "`{}` is an address, and `{name}` only what stands before the `@`",
                            value.text
                        ),
                        value.span,
                    )
                    .label("can never be equal")
                    .help(format!("write `{whole} {} {}`", ctx.is(), value.text)),
                );
                return None;
            }
            if bare_text(row.fact) && (names_something(ctx, row, value) || near_state(ctx, row, value)) {
                return None;
            }
            ctx.text(value, bare_text(row.fact))
        }
        _ => None,
    }
}

/// Tells a word that is a state of other facts: as a domain or an address it would never be met.
fn state_of_another(ctx: &mut Context<'_>, row: &Row, value: &Value) -> bool {
    let phrase = format!(" is {}", value.text);
    let facts: Vec<String> = REGISTRY
        .iter()
        .filter(|other| other.name.ends_with(&phrase))
        .filter_map(|other| other.name.strip_suffix(&phrase))
        .map(|other| format!("`{other}`"))
        .collect();
    if value.class != Class::Word || facts.is_empty() {
        return false;
    }
    let domain = format!("`{}.domain`", row.name);
    let help = if facts.contains(&domain) {
        format!("write `{}.domain {} {}`", row.name, ctx.is(), value.text)
    } else if row.fact == Fact::Recipient && value.text == "unknown" {
        "no rule can ask this: mail for recipients that are not known is refused by itself, unless the profile says `recipients any`; `recipients known in LIST` there names them".to_owned()
    } else {
        format!(
            "no rule can ask this of `{}`, only of {}, which is about other mail: if that is meant, write it, else take this out (without its only test, the rule)",
            row.name,
            facts.join(" and ")
        )
    };
    ctx.report(
        Diagnostic::error("E1117", format!("`{}` cannot be `{}`", row.name, value.text), value.span)
            .label(format!("`{}` is not asked of `{}`", value.text, row.name))
            .help(help),
    );
    true
}

/// Whether a bare word is the name of a fact or a setting: values are written down, not taken from elsewhere.
fn names_something(ctx: &mut Context<'_>, row: &Row, value: &Value) -> bool {
    let text = value.text.as_str();
    let what = if REGISTRY.iter().any(|other| other.name == text) {
        "a fact"
    } else if SETTINGS.contains(&text) {
        "a setting of the profile"
    } else {
        return false;
    };
    // `subject` and `body` may well be logins, who sends and who receives hardly.
    let login = row.ty == Type::Text && !matches!(text, "sender" | "recipient" | "helo");
    if value.class != Class::Word || (what == "a fact" && login && !text.contains('.')) {
        return false;
    }
    ctx.report(
        Diagnostic::error("E1128", format!("`{text}` is {what}, not a value"), value.span)
            .label(format!("`{}` is compared with what is written here, letter by letter", row.name))
            .help(if row.ty == Type::Domain && BUILT_IN.contains(&text) {
                format!("the name of a list stands behind `in`, without brackets: write `{} {} {text}`", row.name, ctx.within())
            } else if what == "a fact" && !text.contains('.') {
                format!(
                    "a rule cannot compare two facts: write the value itself, or `in` and the name of a list; {} of this name stands in quotes: `\"{text}\"`",
                    if row.ty == Type::Domain { "a host" } else { "one" }
                )
            } else if what == "a fact" {
                "a rule cannot compare two facts: write the value itself, or `in` and the name of a list".to_owned()
            } else {
                format!("write the values themselves, or give them a name: `list NAME: {} = [...]`, then `in NAME`", type_word(row.ty))
            }),
    );
    true
}

/// A mistyped `present` or `absent`, or another language's word for it.
fn near_state(ctx: &mut Context<'_>, row: &Row, value: &Value) -> bool {
    let text = value.text.as_str();
    if value.class != Class::Word || (!row.optional && row.ty != Type::Domain) {
        return false;
    }
    let found = ["resolved", "unresolved", "resolvable", "verified", "valid"].contains(&text);
    if row.fact == Fact::ClientName && found {
        ctx.report(
            Diagnostic::error("E1117", format!("`client.name` cannot be `{text}`"), value.span)
                .label("no such state")
                .help("whether there is a name is asked with `client.name is present` or `is absent`; of why there is none with `client is unverified`, where they do not agree or there is none, and `client is nameless`, where there is no reverse name"),
        );
        return true;
    }
    let meant = if is_nothing(text) {
        Some("absent")
    } else if is_something(text) {
        Some("present")
    } else {
        nearest(text, ["present", "absent"]).filter(|_| text.len() > 4 && !text.contains(['.', '@']))
    };
    let Some(meant) = meant else { return false };
    let name = row.name;
    let (is, within) = (ctx.is(), ctx.within());
    let never = (meant == "absent") != (ctx.negated != ctx.turned);
    let state = match meant {
        _ if !ctx.negated => meant,
        "absent" => "present",
        _ => "absent",
    };
    ctx.report(
        Diagnostic::error("E1117", format!("`{name}` cannot be `{text}`"), value.span)
            .label("no such state")
            .help(match row.ty {
                Type::Address => format!("write `{name} is {state}`"),
                Type::Domain if !row.optional => format!(
                    "`{name}` is always there, so this {} holds: {}; where a host of this name is meant, write `{name} {within} [{text}]`",
                    if never { "never" } else { "always" },
                    if never {
                        "in `when` the rule matches nothing, and beside `or` this test alone"
                    } else {
                        "beside `and` it adds nothing, and an `unless` of it alone takes all mail out"
                    }
                ),
                Type::Domain => format!(
                    "write `{name} is {state}`, or, where a host of this name is meant, `{name} {within} [{text}]`"
                ),
                _ => format!(
                    "write `{name} is {state}`, or, where the word itself is meant, `{name} {is} \"{text}\"`"
                ),
            }),
    );
    true
}

/// A recipient at a domain alias is seen at the domain it stands for: such a test never holds.
fn through_alias(ctx: &mut Context<'_>, row: &Row, pattern: &Pattern, span: Span) {
    if !matches!(row.fact, Fact::Recipient | Fact::RecipientDomain) {
        return;
    }
    let domain = match pattern {
        Pattern::Exact(address) => address.domain(),
        Pattern::Domain(domain) => domain.as_str(),
        Pattern::Subdomains(_) | Pattern::Local(_) => return,
    };
    let target = ctx.model.profile.domain_aliases.iter().find(|(from, _)| from == domain);
    if let Some((from, to)) = target {
        let text = format!("no recipient is at `{from}`, which is an alias of `{to}`");
        let diagnostic = Diagnostic::warning("W0102", text, span)
            .label("domain aliases are replaced before rules are asked")
            .help(match pattern {
                Pattern::Exact(address) => format!("write `{}@{to}`", address.local()),
                _ if row.ty == Type::Address => format!("write `@{to}`"),
                _ => format!("write `{to}`"),
            });
        ctx.report(diagnostic);
    }
}

/// The place of an enum's word.
pub fn word(ctx: &mut Context<'_>, row: &Row, words: &[&str], value: &Value) -> Option<u8> {
    let place = words.iter().position(|w| *w == value.text && value.class == Class::Word);
    if value.text == TEMPORARY && place.is_some() {
        ctx.report(
            Diagnostic::error(
                "E1117",
                format!("`{}` is never `{TEMPORARY}` in a rule", row.name),
                value.span,
            )
            .label("where a lookup fails for now, the test is neither yes nor no")
            .help("take it out: a verdict that hangs on such a check is put off with 451 4.4.3 by itself"),
        );
        return None;
    }
    if let Some(place) = place.and_then(|p| u8::try_from(p).ok()) {
        return Some(place);
    }
    let name = row.name;
    let mut diagnostic =
        Diagnostic::error("E1117", format!("`{name}` cannot be `{}`", value.text), value.span)
            .label("no such word");
    let other = [
        ("outgoing", "outbound"),
        ("incoming", "inbound"),
        ("local", "internal"),
        ("out", "outbound"),
        ("in", "inbound"),
    ];
    if row.fact == Fact::Direction
        && matches!(value.text.as_str(), "external" | "outside" | "foreign" | "remote")
    {
        ctx.report(diagnostic.help(format!(
            "write one of {}; mail from or to the outside is `not direction is internal`",
            listed(words)
        )));
        return None;
    }
    let other = other.iter().find(|(from, _)| *from == value.text).map(|(_, to)| *to);
    let other = other.filter(|to| words.contains(to));
    diagnostic = match other.or_else(|| nearest(&value.text, words.iter().copied().filter(|w| !w.is_empty())))
    {
        Some(meant) if other.is_none() && reverses(&value.text, meant) => diagnostic.help(format!(
            "write `{name} is {meant}` or, for the opposite, `{name} is not {meant}`; the words are {}",
            listed(words)
        )),
        Some(meant) => {
            let diagnostic = diagnostic.help(if value.text == "local" {
                "`internal` is from this server's domains to them, `inbound` from outside to them".to_owned()
            } else {
                format!("did you mean `{meant}`?")
            });
            match other {
                // Mail within this server may be called local, and so may all that is delivered here.
                Some(_) if value.text == "local" => diagnostic,
                Some(_) => diagnostic.fix(format!("write `{meant}`"), value.span, meant),
                None => diagnostic.nearest(&value.text, meant, value.span, meant),
            }
        }
        None => diagnostic.help(format!("write one of {}", listed(words))),
    };
    ctx.report(diagnostic);
    None
}
