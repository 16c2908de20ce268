//! Findings as diagnostics.

use super::Finding;
use crate::diag::Diagnostic;
use crate::span::Span;
use edict_table::model::{Action, Table};
use std::collections::BTreeMap;

/// Turns what was proved into diagnostics. `span` tells where a rule's name stands.
#[must_use]
pub fn report(table: &Table, findings: Vec<Finding>, span: impl Fn(&str) -> Span) -> Vec<Diagnostic> {
    let name = |place: usize| table.rules.get(place).map_or("", |rule| rule.name.as_str());
    let at = |place: usize| span(name(place));
    let one = |finding: Finding| {
        match finding {
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
                    [one] if below_all(one) => diagnostic.help(format!(
                        "`{one}` is never true: {}; correct the number, or take the test out",
                        if one.starts_with("recipient.count ") {
                            "every message has one recipient at least"
                        } else {
                            "no number is below 0"
                        }
                    )),
                    [one] => match bound_by(one) {
                        Some(setting) => diagnostic.help(format!(
                            "`{one}` is never true: `{setting} {}` refuses such mail before rules are asked; lower the number here, or set a larger `{setting}` in the profile",
                            bound(table, setting)
                        )),
                        None => diagnostic.help(format!("`{one}` is never true; take it out, or correct it")),
                    },
                    all => diagnostic.help(together(table, all)),
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
            .help("give one of them another `priority` (the lower number wins), or part them with `unless`")
            .example(example)
        }
        Finding::Delays { allow, refusal } => Diagnostic::warning(
            "W0207",
            format!("rule `{}` cannot refuse before the whole message has come", name(refusal)),
            at(allow),
        )
        .label(format!("asks for the content, and goes before `{}`", name(refusal)))
        .also(at(refusal), "could be told earlier")
        .help(format!(
            "ask only what is known before the message in `{}` (`client.ip`, `sender`, `recipient`, `auth.user`), or give it a higher priority number, so that `{}` refuses first",
            name(allow),
            name(refusal)
        )),
        Finding::ByName { first, second, example } => Diagnostic::warning(
            "W2002",
            format!("`{}` and `{}` both match one message with different replies", name(first), name(second)),
            at(second),
        )
        .label(format!("`{}` replies, since its name sorts first", name(first)))
        .also(at(first), "the one that replies")
        .help("give one of them another `priority`, or the same reply")
        .example(example),
    }
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

/// Why several tests cannot hold at once, and what to do about it.
fn together(table: &Table, all: &[String]) -> String {
    let said = |word: &str| all.iter().any(|test| test.contains(word));
    let list = format!("`{}`", all.join("` and `"));
    let local = |test: &String| {
        test.starts_with("recipient") && table.profile.local_domains.iter().any(|d| test.contains(d.as_str()))
    };
    if said("direction") && (all.iter().any(local) || said("local-domains") || said("relay-domains")) {
        return format!(
            "{list} can never be true together: mail to a local or relay domain is `inbound` or `internal`, never `outbound`"
        );
    }
    format!(
        "{list} can never be true together; correct one of them, join them with `or`, or narrow the `unless`"
    )
}

/// What a setting allows, as the profile would write it.
fn bound(table: &Table, setting: &str) -> String {
    let profile = &table.profile;
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
            "a quota counts mail that leaves (`outbound`), and only other mail fits here: take that test out, or ask something else".to_owned()
        }
        _ => {
            "such a rule judges recipients as the client named them, and no mail is `forwarded` then: an alias makes it so later, where a `bcc`, a `disclaimer` or a `route` can ask for it".to_owned()
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

/// The setting that bounds what a test asks for: it wants more than that.
fn bound_by(test: &str) -> Option<&'static str> {
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
    bounds.iter().find(|(fact, _)| test.starts_with(fact)).map(|(_, setting)| *setting)
}
