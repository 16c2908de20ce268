//! Findings as diagnostics.

use super::Finding;
use super::describe::Told;
use crate::diag::{Diagnostic, Severity};
use crate::model::RuleDef;
use crate::span::Span;
use edict_table::model::{Action, Profile, SenderMust, Table};
use std::collections::BTreeMap;

/// Turns what was proved into diagnostics. `written` tells what a rule was made of.
#[must_use]
pub fn report<'m>(
    table: &Table,
    findings: Vec<Finding>,
    written: impl Fn(&str) -> Option<&'m RuleDef>,
) -> Vec<Diagnostic> {
    let name = |place: usize| table.rules.get(place).map_or("", |rule| rule.name.as_str());
    let at = |place: usize| written(name(place)).map_or_else(Span::default, |rule| rule.span);
    let one = |finding: Finding| match finding {
        Finding::Never { rule, clash, empty, elsewhere } => match empty.first() {
            Some(list) => Diagnostic::warning(
                "W2001",
                format!("rule `{}` matches nothing while list `{list}` is empty", name(rule)),
                at(rule),
            )
            .label("can never match")
            .help("fill the list, or set the rule to `mode off`"),
            None => {
                let diagnostic = Diagnostic::error(
                    "E2001",
                    format!("no message can match rule `{}`", name(rule)),
                    at(rule),
                )
                .label("can never match");
                match clash.as_slice() {
                    _ if elsewhere => diagnostic.help(unasked(table, rule)),
                    [] => diagnostic.help("take the rule out, or mend its conditions"),
                    [Told { text: one, .. }] if below_all(one) => diagnostic.help(format!(
                        "`{one}` is never true: {}; correct the number, or take the rule out",
                        if one.starts_with("recipient.count ") {
                            "every message has one recipient at least"
                        } else {
                            "no number is below 0"
                        }
                    )),
                    [Told { text: one, .. }] if needs_inside(&table.profile, one) => diagnostic.help(format!(
                        "`{one}` is never true: no domain is inside, so that all mail is `outbound`; name the domains of this server in `local-domains` or `relay-domains` of the profile, or take the rule out"
                    )),
                    [Told { text: one, .. }] => match bound_by(&table.profile, one) {
                        Some(setting) => diagnostic.help(format!(
                            "`{one}` is never true: `{setting} {}`{} refuses such mail before rules are asked; lower the number here, or set a larger `{setting}` in the profile",
                            bound(&table.profile, setting),
                            if bound(&table.profile, setting) == bound(&Profile::default(), setting) {
                                ", the default,"
                            } else {
                                ""
                            }
                        )),
                        None => diagnostic.help(format!("`{one}` is never true; take it out, or correct it")),
                    },
                    all => together(table, all, written(name(rule)), diagnostic),
                }
            }
        },
        Finding::Overruled { rule, by, example } => {
            let names: Vec<String> = by.iter().take(3).map(|place| format!("`{}`", name(*place))).collect();
            let more = if by.len() > 3 { " and others" } else { "" };
            let mut diagnostic = Diagnostic::error(
                "E2002",
                format!(
                    "rule `{}` never decides: {}{more} always come{} first",
                    name(rule),
                    names.join(", "),
                    if by.len() == 1 { "s" } else { "" }
                ),
                at(rule),
            )
            .label("always overruled")
            .help("give it a lower priority number, narrow the others with `unless`, or take it out")
            .example(example);
            for other in by.iter().take(3) {
                let priority = table.rules.get(*other).map_or(0, |r| r.priority);
                diagnostic = diagnostic.also(at(*other), format!("decides first, with priority {priority}"));
            }
            diagnostic
        }
        Finding::Undecided { first, second, example } => {
            let priority = table.rules.get(second).map_or(0, |r| r.priority);
            Diagnostic::error(
                "E2003",
                format!(
                    "`{}` and `{}` both claim one message, with the same priority {priority}",
                    name(first),
                    name(second)
                ),
                at(second),
            )
            .label("nothing decides between the two")
            .also(at(first), "the other one")
            .help(match table.rules.get(second).map(|rule| &rule.action) {
                Some(Action::Disclaimer(_)) => "give one of them another `priority` (the lower number wins), part them with `unless`, or write `continue` in both where both texts are to be appended",
                _ => "give one of them another `priority` (the lower number wins), or part them with `unless`",
            })
            .example(example)
        }
        Finding::Delays { allow, refusals, all } => {
            let refusals: Vec<(&str, Span)> =
                refusals.iter().map(|place| (name(*place), at(*place))).collect();
            delays((name(allow), at(allow)), &refusals, all)
        }
        Finding::Unfinished { rules } => {
            let rules: Vec<(&str, Span)> = rules.iter().map(|place| (name(*place), at(*place))).collect();
            unfinished(&rules)
        }
        Finding::ByName { first, second, example } => Diagnostic::warning(
            "W2002",
            format!("`{}` and `{}` both match one message with different replies", name(first), name(second)),
            at(second),
        )
        .label(format!("`{}` replies, since its name sorts first", name(first)))
        .also(at(first), "the one that replies")
        .help("give one of them another `priority`, or the same reply")
        .example(example),
    };
    let mut empty: BTreeMap<String, usize> = BTreeMap::new();
    let mut out: Vec<Diagnostic> = Vec::new();
    for finding in findings {
        // One empty list is one mistake, however many rules ask it.
        let list = match &finding {
            Finding::Never { rule, empty, .. } => empty.first().map(|list| (*rule, list.clone())),
            _ => None,
        };
        if let Some((rule, list)) = list {
            if let Some(first) = empty.get(&list).and_then(|place| out.get_mut(*place)) {
                first.labels.push((at(rule), "nor can this one".to_owned()));
                continue;
            }
            empty.insert(list, out.len());
        }
        out.push(one(finding));
    }
    out
}

/// Says about which rules nothing was proved, for want of time.
fn unfinished(rules: &[(&str, Span)]) -> Diagnostic {
    const SHOWN: usize = 8;
    let named: Vec<String> = rules.iter().take(SHOWN).map(|(name, _)| format!("`{name}`")).collect();
    let rest = rules.len() - named.len();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    let of = if rules.len() == 1 { "rule" } else { "rules" };
    let text = format!(
        "{of} {}{more} {} not proved to the end",
        named.join(", "),
        if rules.len() == 1 { "is" } else { "are" }
    );
    let mut places = rules.iter().take(SHOWN).map(|(_, place)| *place);
    let mut note = Diagnostic::warning("W2003", text, places.next().unwrap_or_default())
        .label("there are more ways for a message to fit than were looked through")
        .help("such a rule may still match no message, never decide, or claim what another of its priority claims: look yourself, or write `in [a, b]` for many tests joined with `or`, and part rules of one priority by one fact, as each its own `sender`");
    note.severity = Severity::Note;
    for place in places {
        note = note.also(place, "nor for this one");
    }
    note
}

/// Says which refusals wait for the content that an allow asks for.
fn delays((allow, place): (&str, Span), refusals: &[(&str, Span)], all: bool) -> Diagnostic {
    const SHOWN: usize = 8;
    let one = matches!(refusals, [_]) && all;
    let quoted: Vec<String> = refusals.iter().take(SHOWN).map(|(name, _)| format!("`{name}`")).collect();
    let rest = refusals.len() - quoted.len();
    let more = match (rest, all) {
        (0, true) => None,
        (0, false) => Some("perhaps more".to_owned()),
        (_, true) => Some(format!("{rest} more")),
        (_, false) => Some(format!("{rest} more at least")),
    };
    let named = match (quoted.as_slice(), more) {
        ([all @ .., last], None) if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        (all, None) => all.join(", "),
        (all, Some(more)) => format!("{} and {more}", all.join(", ")),
    };
    let (subject, before, each, wait) = if one {
        (format!("rule {named}"), named.as_str(), named.as_str(), format!("{named} then waits"))
    } else {
        (format!("rules {named}"), "them", "each of them", "they then wait".to_owned())
    };
    let text = format!("{subject} cannot refuse before the whole message has come");
    let mut diagnostic = Diagnostic::warning("W0207", text, place)
        .label(format!("asks for the content, and goes before {before}"))
        .help(format!(
            "ask only what is known before the message in `{allow}` (`client.ip`, `sender`, `recipient`, `auth.user`), or add an `unless` to {each} that spares what `{allow}` is about and asks such an early fact too, or leave it: {wait} for the message"
        ));
    for (_, place) in refusals.iter().take(SHOWN) {
        diagnostic = diagnostic.also(*place, "could be told earlier");
    }
    diagnostic
}

/// Says why several tests cannot hold at once, and what to do about it.
fn together(table: &Table, all: &[Told], rule: Option<&RuleDef>, diagnostic: Diagnostic) -> Diagnostic {
    let said = |word: &str| all.iter().any(|test| test.text.contains(word));
    let quoted = |texts: &[&str], word: &str| format!("`{}`", texts.join(&format!("` {word} `")));
    let texts: Vec<&str> = all.iter().map(|test| test.text.as_str()).collect();
    let list = quoted(&texts, "and");
    let local = |test: &Told| {
        let text = &test.text;
        text.starts_with("recipient") && table.profile.local_domains.iter().any(|d| text.contains(d.as_str()))
    };
    if said("direction") && (all.iter().any(local) || said("local-domains") || said("relay-domains")) {
        return diagnostic.help(format!(
            "{list} can never be true together: mail to a local or relay domain is `inbound` or `internal`, never `outbound`"
        ));
    }
    if said("auth.user ") && said("sender") && table.profile.sender_must != SenderMust::BeAnything {
        let must =
            if table.profile.sender_must == SenderMust::EqualLogin { "equal-login" } else { "own-address" };
        return diagnostic.help(format!(
            "{list} can never be true together: a login may not write such a sender (`sender-must {must}`), and such mail is refused at MAIL; take the rule out, correct one of the tests, or give the login that address by `may-send` of an alias"
        ));
    }
    let (excepts, nots) = rule.map_or((&[][..], false), |rule| (rule.excepts.as_slice(), rule.nots));
    let excluded: Vec<&str> = all.iter().filter_map(|test| test.excluded.as_deref()).collect();
    let asked: Vec<&str> =
        all.iter().filter(|test| test.excluded.is_none()).map(|test| test.text.as_str()).collect();
    if excluded.is_empty() {
        if excepts.is_empty() {
            let mend = "correct one of them, or join them with `or`";
            return diagnostic.help(format!("{list} can never be true together; {mend}"));
        }
        let diagnostic = excepts.iter().take(3).fold(diagnostic, |d, span| d.also(*span, "an exception"));
        return diagnostic.help(format!(
            "{list} can never be true together, where what stands behind `unless` counts as its opposite; correct one of them, or narrow the `unless`"
        ));
    }
    // With `or` such a rule would match nearly all mail: nobody is told to write that.
    let why = if asked.is_empty() {
        format!("every message fits {}", quoted(&excluded, "or"))
    } else if asked == excluded {
        format!("{} is asked for and excluded at once", quoted(&asked, "and"))
    } else {
        format!("whatever fits {} fits {} too", quoted(&asked, "and"), quoted(&excluded, "or"))
    };
    if excepts.is_empty() {
        return diagnostic.help(format!(
            "{why}, so nothing is left for this rule: change the test with `not`, or take it out"
        ));
    }
    if nots {
        return diagnostic.help(format!(
            "{why}, so nothing is left for this rule: narrow the `not` or the `unless` that asks for {}, or take that part out",
            quoted(&excluded, "or")
        ));
    }
    let label = if excepts.len() == 1 { "takes out all that `when` lets in" } else { "an exception" };
    let diagnostic = excepts.iter().take(3).fold(diagnostic, |d, span| d.also(*span, label));
    diagnostic
        .help(format!("{why}, so `unless` takes out all that `when` lets in: narrow it, or take it out"))
}

/// What a setting allows, as the profile would write it.
fn bound(profile: &Profile, setting: &str) -> String {
    let size = |bytes: u64| super::describe::number(edict_table::fact::Type::Size, bytes);
    match setting {
        "max-message-size" => size(profile.max_message_size),
        "max-attachment-size" => profile.max_attachment_size.map(size).unwrap_or_default(),
        "max-recipients" => profile.max_recipients.to_string(),
        _ => profile.max_hops.to_string(),
    }
}

/// Why a rule is not asked about the only messages that match it.
fn unasked(table: &Table, rule: usize) -> String {
    let action = table.rules.get(rule).map(|rule| &rule.action);
    match action {
        Some(Action::Route(_)) => {
            "a route is asked about mail that leaves, and only mail to recipients of this server fits here: write `local yes` in its block to route such mail too".to_owned()
        }
        Some(Action::Quota(_)) => {
            "a quota counts mail that leaves (`outbound`), and only other mail fits here: to bound what comes in write a `limit`, as `limit \"what comes\" { per client.ip  at most 60 messages per minute }`; to count what leaves take that test out".to_owned()
        }
        _ => {
            "take the rule out: such a rule judges recipients as the client named them, and no mail is `forwarded` then. What an alias forwards ends with the alias, what a user's program forwards by itself with `auto-forwarding off` in the profile; a `bcc`, a `disclaimer` or a `route` can ask for `forwarded`".to_owned()
        }
    }
}

/// Whether a test asks for a number that is below all that there can be.
fn below_all(test: &str) -> bool {
    let words: Vec<&str> = test.split(' ').collect();
    matches!(
        words.as_slice(),
        ["recipient.count", "<", "1"] | ["recipient.count", "<=" | "is", "0"] | [_, "<", "0", ..]
    )
}

/// Whether a test asks for mail to or from a domain of this server, of which there is none.
fn needs_inside(profile: &Profile, test: &str) -> bool {
    let asks = test.starts_with("direction ") || matches!(test, "not submitted" | "sender is unknown");
    asks && profile.local_domains.is_empty() && profile.relay_domains.is_empty()
}

/// The setting that bounds what a test asks for: it wants more than that.
fn bound_by(profile: &Profile, test: &str) -> Option<&'static str> {
    let more = [" > ", " >= ", " is "].iter().any(|sign| test.contains(sign)) && !test.contains(" is not ");
    if !more || test.starts_with("not ") {
        return None;
    }
    let bounds = [
        ("size ", "max-message-size"),
        ("attachment.size ", "max-attachment-size"),
        ("recipient.count ", "max-recipients"),
        ("hops ", "max-hops"),
    ];
    // An attachment is no longer than the message that it is in.
    let whole = profile.max_attachment_size.is_none_or(|most| most > profile.max_message_size);
    let setting = bounds.iter().find(|(fact, _)| test.starts_with(fact)).map(|(_, setting)| *setting)?;
    Some(if whole && setting == "max-attachment-size" { "max-message-size" } else { setting })
}
