//! Lints: what is sound and still looks wrong. One rule or definition at a time, without a search.
//!
//! Conditions are asked in two ways here: what could make them hold ([`possible`]), and what they say
//! about one plain message ([`holds`]). Both are rough on purpose; exact questions belong to `prove`.

mod aliased;
mod text;
mod wide;

use crate::diag::Diagnostic;
use crate::model::{AliasKey, Cond, Model, Op, RuleDef, RuleMode, Test};
use edict_table::fact::{Fact, Stage};
use edict_table::facts::Direction;
use edict_table::model::{Action, Mode, Recipients, Verb};

/// Tells what is sound and still looks wrong.
pub fn check(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    unused(model, diagnostics);
    backscatter(model, diagnostics);
    aliases(model, diagnostics);
    aliased::check(model, diagnostics);
    for rule in &model.rules {
        if rule.mode == RuleMode::Off {
            continue;
        }
        attachments(rule, diagnostics);
        text::check(rule, diagnostics);
        if let Action::Verdict(verdict) = &rule.action {
            match verdict.verb {
                Verb::Allow => forgeable(rule, diagnostics),
                Verb::Reject | Verb::Defer | Verb::Discard => {
                    greetings(rule, diagnostics);
                    wide::check(model, rule, diagnostics);
                }
                Verb::Hold => {}
            }
            parted(rule, diagnostics);
            if let Some(reply) = &verdict.reply {
                talkative(model, rule, &reply.text, diagnostics);
            }
        }
    }
}

/// Local delivery makes a mailbox for everybody; a next hop refuses what it does not know, and then a
/// forged sender gets the bounce.
fn backscatter(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    let profile = &model.profile;
    let any = |own: &Option<Recipients>| own.as_ref().unwrap_or(&profile.recipients) == &Recipients::Any;
    if let Some(domain) = profile.relay_domains.iter().find(|domain| any(&domain.recipients)) {
        let span = model.settings.get("relay-domains").copied().unwrap_or_default();
        diagnostics.push(
            Diagnostic::warning(
                "W0208",
                "mail for addresses that the next hop refuses is accepted and bounced",
                span,
            )
            .label(format!("every address at `{}` counts as existing: `recipients any`", domain.domain))
            .help(format!(
                "write `[{}{} recipients ask]` to ask the next hop, or `recipients known in LIST`",
                domain.domain,
                match &domain.via {
                    Some(name) => format!(" via {name}"),
                    None => String::new(),
                }
            )),
        );
    }
}

fn unused(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    let lists = model.lists.iter().filter(|l| !l.used).map(|l| ("list", &l.name, l.span));
    let groups = model.groups.iter().filter(|g| !g.used).map(|g| ("group", &g.name, g.span));
    let relays = model.relays.iter().filter(|r| !r.used).map(|r| ("relay", &r.name, r.span));
    for (word, name, span) in lists.chain(groups).chain(relays) {
        diagnostics.push(
            Diagnostic::warning("W0001", format!("{word} `{name}` is never used"), span)
                .label("nothing names it")
                .help("name it in a rule, or take it out"),
        );
    }
}

fn aliases(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    let profile = &model.profile;
    for alias in &model.aliases {
        let domain = match &alias.key {
            AliasKey::Exact(address) => address.domain(),
            AliasKey::CatchAll(domain) => domain.as_str(),
            AliasKey::Bare(_) => continue,
        };
        let inside = profile.local_domains.iter().any(|d| d == domain)
            || profile.relay_domains.iter().any(|d| d.domain == domain);
        if !inside {
            diagnostics.push(
                Diagnostic::warning(
                    "W0209",
                    format!("no mail for `{}` arrives here", alias.key.name()),
                    alias.span,
                )
                .label("neither a local nor a relay domain")
                .help(format!("add `{domain}` to `local-domains`, or take the alias out")),
            );
        }
    }
}

/// Facts that are whatever the client says.
fn is_said(fact: Fact) -> bool {
    matches!(
        fact,
        Fact::Helo
            | Fact::HeloUnqualified
            | Fact::Sender
            | Fact::SenderLocal
            | Fact::SenderDomain
            | Fact::Subject
            | Fact::Header
            | Fact::From
            | Fact::To
            | Fact::Cc
            | Fact::Reply
            | Fact::AutoSubmitted
            | Fact::Body
            | Fact::AttachmentName
            | Fact::AttachmentType
    )
}

fn is_sender(fact: Fact) -> bool {
    matches!(fact, Fact::Sender | Fact::SenderLocal | Fact::SenderDomain)
}

fn is_recipient(fact: Fact) -> bool {
    matches!(fact, Fact::Recipient | Fact::RecipientLocal | Fact::RecipientDomain)
}

/// Whether a condition can hold and whether it can fail, given what `f` says about each test.
fn possible(cond: &Cond, f: &dyn Fn(&Test) -> (bool, bool)) -> (bool, bool) {
    match cond {
        Cond::True => (true, false),
        Cond::Test(test) => f(test),
        Cond::Not(inner) => {
            let (yes, no) = possible(inner, f);
            (no, yes)
        }
        Cond::All(parts) => {
            parts.iter().map(|p| possible(p, f)).fold((true, false), |a, b| (a.0 && b.0, a.1 || b.1))
        }
        Cond::Any(parts) => {
            parts.iter().map(|p| possible(p, f)).fold((false, true), |a, b| (a.0 || b.0, a.1 && b.1))
        }
    }
}

/// Visits the tests, each with whether it is negated, that stand in a way to fulfil a condition, or its opposite, which is open
/// by what `f` says about each.
fn reached<'a>(
    cond: &'a Cond,
    opposite: bool,
    f: &dyn Fn(&Test) -> (bool, bool),
    visit: &mut dyn FnMut(&'a Test, bool),
) {
    let (yes, no) = possible(cond, f);
    if !(if opposite { no } else { yes }) {
        return;
    }
    match cond {
        Cond::True => {}
        Cond::Test(test) => visit(test, opposite),
        Cond::Not(inner) => reached(inner, !opposite, f, visit),
        Cond::All(parts) | Cond::Any(parts) => parts.iter().for_each(|p| reached(p, opposite, f, visit)),
    }
}

/// What a condition says where each test has one answer.
fn holds(cond: &Cond, f: &dyn Fn(&Test) -> bool) -> bool {
    possible(cond, &|test| (f(test), !f(test))).0
}

const OPEN: (bool, bool) = (true, true);
const NEVER: (bool, bool) = (false, true);
const ALWAYS: (bool, bool) = (true, false);

fn is_direction(test: &Test, direction: Direction) -> bool {
    matches!(test.op, Op::OneOf(bits) if bits & (1 << (direction as u8)) != 0)
}

/// An allow that a stranger can have by saying the right thing.
fn forgeable(rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    let stranger = |test: &Test| match test.fact {
        Fact::Direction if is_direction(test, Direction::Inbound) => ALWAYS,
        Fact::ClientTls
        | Fact::Recipient
        | Fact::RecipientLocal
        | Fact::RecipientDomain
        | Fact::Size
        | Fact::Time => OPEN,
        fact if is_said(fact) => OPEN,
        // A stranger has no login, no good address and no good signature.
        _ => NEVER,
    };
    if possible(&rule.condition, &stranger).0
        && let Some(said) = claimed(&rule.condition, &stranger).or_else(|| denied(&rule.condition))
    {
        diagnostics.push(
            Diagnostic::warning("W0201", format!("allow `{}` trusts what any client can forge", rule.name), said.span)
                .label("enough by itself, and any client can claim it")
                .also(rule.span, "the rule that lets it in")
                .help("join to it a test that cannot be forged: `and client.ip in LIST` or `and submitted`; `and spf is pass` proves the `sender` that a rule names, `and dmarc is pass` the `from`, and either without such a name passes for anybody with a domain"),
        );
    }
}

/// The first test on what a client says, in a way to fulfil the condition that a stranger has.
fn claimed<'a>(cond: &'a Cond, stranger: &dyn Fn(&Test) -> (bool, bool)) -> Option<&'a Test> {
    match cond {
        Cond::Test(test) if is_said(test.fact) => Some(test),
        Cond::True | Cond::Test(_) | Cond::Not(_) => None,
        Cond::All(parts) => parts.iter().find_map(|part| claimed(part, stranger)),
        Cond::Any(parts) => {
            parts.iter().filter(|part| possible(part, stranger).0).find_map(|part| claimed(part, stranger))
        }
    }
}

/// The first test that whoever claims something else passes, where nothing but such tests picks the mail: an allow for one
/// recipient with an `unless` is for that recipient.
fn denied(cond: &Cond) -> Option<&Test> {
    let (mut found, mut picked) = (None, false);
    cond.visit(&mut |test, negated| {
        picked |= !negated && is_recipient(test.fact);
        if negated && is_said(test.fact) && !matches!(test.op, Op::Present) && found.is_none() {
            found = Some(test);
        }
    });
    found.filter(|_| !picked)
}

/// HELO and reverse names are bad in mail programs, whose users have logged in.
fn greetings(rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    let ours = |test: &Test| match (test.fact, &test.op) {
        (Fact::Submitted, _) | (Fact::AuthUser, Op::Present) => ALWAYS,
        // Users do not send from `<>`.
        (fact, Op::Present) if is_sender(fact) => ALWAYS,
        (Fact::Direction, Op::OneOf(_))
            if !is_direction(test, Direction::Internal) && !is_direction(test, Direction::Outbound) =>
        {
            NEVER
        }
        _ => OPEN,
    };
    let mut found = None;
    reached(&rule.condition, false, &ours, &mut |test, negated| {
        let bad = matches!(
            test.fact,
            Fact::ClientUnverified
                | Fact::ClientNameless
                | Fact::HeloUnqualified
                | Fact::HeloMalformed
                | Fact::HeloUnresolvable
        );
        let nameless = test.fact == Fact::ClientName && test.op == Op::Present;
        if ((bad && !negated) || (nameless && negated)) && found.is_none() {
            found = Some(test);
        }
    });
    if let Some(found) = found {
        diagnostics.push(
            Diagnostic::warning(
                "W0202",
                format!("`{}` hits our own users too: this is true of most mail programs", rule.name),
                found.span,
            )
            .label("true of mail programs at home or on the road")
            .also(rule.span, "in this rule")
            .help("add `unless submitted`"),
        );
    }
}

/// A verdict on content that differs by recipient.
fn parted(rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    if rule.mode != RuleMode::On(Mode::Enforce) {
        return;
    }
    let (mut recipient, mut content) = (None, None);
    rule.condition.visit(&mut |test, _| {
        if is_recipient(test.fact) {
            recipient = recipient.or(Some(test.span));
        }
        if test.fact.row().stage >= Stage::Header {
            content = content.or(Some(test.span));
        }
    });
    let inbound = |test: &Test| match test.fact {
        Fact::Submitted | Fact::AuthUser => NEVER,
        Fact::Direction if is_direction(test, Direction::Inbound) => ALWAYS,
        Fact::Direction => NEVER,
        _ => OPEN,
    };
    if let (Some(recipient), Some(content)) = (recipient, content)
        && possible(&rule.condition, &inbound).0
    {
        diagnostics.push(
            Diagnostic::warning(
                "W0204",
                format!("`{}` may decide differently for each recipient of one message", rule.name),
                recipient,
            )
            .label("differs between recipients")
            .also(content, "known only after DATA, and one reply then covers all recipients")
            .help("ask the recipient or the content, not both; where both are needed leave it: a client from outside then has further recipients put off with 452 4.5.3, and sends them again in a message of their own"),
        );
    }
}

/// Several tests on attachments in one `and`.
fn attachments(rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    fn walk<'a>(cond: &'a Cond, found: &mut Option<(&'a Test, &'a Test)>) {
        let parts = match cond {
            Cond::True | Cond::Test(_) => return,
            Cond::Not(inner) => return walk(inner, found),
            Cond::Any(parts) => return parts.iter().for_each(|p| walk(p, found)),
            Cond::All(parts) => parts,
        };
        let tests: Vec<&Test> = parts
            .iter()
            .filter_map(|p| if let Cond::Test(test) = p { Some(&**test) } else { None })
            .filter(|t| matches!(t.fact, Fact::AttachmentName | Fact::AttachmentType | Fact::AttachmentSize))
            .collect();
        if let [first, second, ..] = tests.as_slice() {
            *found = found.or(Some((first, second)));
        }
        parts.iter().for_each(|p| walk(p, found));
    }
    let mut found = None;
    walk(&rule.condition, &mut found);
    if let Some((first, second)) = found {
        diagnostics.push(
            Diagnostic::warning(
                "W0206",
                format!("`{}` may be about two different attachments", rule.name),
                second.span,
            )
            .label("true if any attachment is so, maybe another one")
            .also(first.span, "true if any attachment is so")
            .help("rules cannot ask both of one attachment: keep the test that matters, or leave the rule if it may be two"),
        );
    }
}

/// A reply that tells a stranger what he can use.
fn talkative(model: &Model, rule: &RuleDef, text: &str, diagnostics: &mut Vec<Diagnostic>) {
    let Some(span) = rule.clauses.get("reply").copied() else { return };
    let lower = text.to_lowercase();
    let words = || lower.split(|c: char| c.is_whitespace() || "()<>[],;\"'".contains(c));
    let is_inside = |word: &str| {
        let Some((_, domain)) = word.trim_end_matches('.').rsplit_once('@') else { return false };
        let contact = ["postmaster@", "abuse@", "support@", "help@", "hostmaster@"];
        !contact.iter().any(|c| word.starts_with(c))
            && model.profile.local_domains.iter().any(|d| d == domain)
    };
    let is_ip = |word: &str| word.trim_end_matches('.').parse::<std::net::IpAddr>().is_ok();
    let name = rule.name.to_lowercase();
    let what = if words().any(is_inside) {
        "an address of our own"
    } else if words().any(is_ip) {
        "an IP address"
    } else if name.len() >= 6 && lower.contains(&name) {
        "the name of the rule"
    } else {
        return;
    };
    diagnostics.push(
        Diagnostic::warning("W0205", format!("the reply of `{}` tells strangers {what}", rule.name), span)
            .label("whoever probes the server learns from it")
            .help("write a few plain words, as `\"message refused\"`, and a URL for more; the log names the rule"),
    );
}
