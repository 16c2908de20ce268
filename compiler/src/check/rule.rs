//! What a rule of each kind can ask and say.

use super::profile::MAX_LINE;
use crate::diag::Diagnostic;
use crate::model::{Cond, Model, Op, RuleDef, Test};
use edict_table::fact::{Fact, Stage};
use edict_table::facts::Direction;
use edict_table::model::{Action, Kind, Limit, Quota, RelayTls, Reply, Verb};

/// Checks one rule.
pub fn check(rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    facts(rule, diagnostics);
    match &rule.action {
        Action::Verdict(verdict) => verdict_reply(rule, verdict.verb, verdict.reply.as_ref(), diagnostics),
        Action::Limit(limit) => check_limit(rule, limit, diagnostics),
        Action::Quota(quota) => check_quota(rule, quota, diagnostics),
        Action::Disclaimer(_) if rule.whole => direction(rule, diagnostics),
        Action::Disclaimer(_) | Action::Bcc(_) | Action::Route(_) => {}
    }
}

fn kind_of(action: &Action) -> Kind {
    match action {
        Action::Verdict(_) => Kind::Verdict,
        Action::Limit(_) => Kind::Limit,
        Action::Bcc(_) => Kind::Bcc,
        Action::Quota(_) => Kind::Quota,
        Action::Disclaimer(_) => Kind::Disclaimer,
        Action::Route(_) => Kind::Route,
    }
}

/// Facts that need the network to be found out.
fn needs_lookup(fact: Fact) -> bool {
    matches!(
        fact,
        Fact::ClientName
            | Fact::ClientUnverified
            | Fact::ClientNameless
            | Fact::ClientListed
            | Fact::HeloUnresolvable
            | Fact::SenderUnresolvable
            | Fact::Spf
            | Fact::Dmarc
            | Fact::DkimDomain
    )
}

/// Facts that are kept with a queued message, for routes.
fn is_kept(fact: Fact) -> bool {
    matches!(
        fact,
        Fact::ClientIp
            | Fact::AuthUser
            | Fact::Sender
            | Fact::SenderLocal
            | Fact::SenderDomain
            | Fact::SenderUnqualified
            | Fact::Submitted
            | Fact::Recipient
            | Fact::RecipientLocal
            | Fact::RecipientDomain
            | Fact::Direction
            | Fact::Time
    )
}

fn facts(rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    let kind = kind_of(&rule.action);
    if kind == Kind::Verdict {
        return;
    }
    let connections =
        matches!(&rule.action, Action::Limit(l) if l.connections.is_some() || l.at_once.is_some());
    rule.condition.visit(&mut |test: &Test, _| {
        let row = test.fact.row();
        let (text, help) = if kind == Kind::Limit && connections && row.stage > Stage::Connect {
            (
                format!("`{}` is not known yet when connections are counted", row.name),
                "count messages instead (`at most 60 messages per minute`), or ask `client.ip` alone",
            )
        } else if kind == Kind::Limit && row.stage > Stage::Mail {
            (
                format!("`{}` is not known yet when messages are counted, at MAIL", row.name),
                "ask the client, the login or the sender",
            )
        } else if kind == Kind::Route && !is_kept(test.fact) {
            (
                format!("`{}` is not kept with a queued message, so no route can ask it", row.name),
                "routes ask `client.ip`, `auth.user`, `sender`, `recipient`, `direction` and `submitted`",
            )
        } else if needs_lookup(test.fact) {
            (
                format!(
                    "`{}` needs a DNS lookup, and only allow, reject, defer, hold and discard wait for one",
                    row.name
                ),
                "ask what is known without DNS, such as `client.ip`, `sender` or `auth.user`",
            )
        } else {
            return;
        };
        diagnostics.push(
            Diagnostic::error("E1302", text, test.span)
                .label("cannot be asked here")
                .also(rule.span, "in this rule")
                .help(help),
        );
    });
}

fn verdict_reply(rule: &RuleDef, verb: Verb, reply: Option<&Reply>, diagnostics: &mut Vec<Diagnostic>) {
    let Some(reply) = reply else { return };
    let want: &[u16] = match verb {
        Verb::Reject => &[5],
        Verb::Defer => &[4],
        Verb::Allow | Verb::Hold | Verb::Discard => {
            // `resolve` has told already that such a rule takes no reply.
            return;
        }
    };
    check_reply(rule, reply, want, verb.name(), diagnostics);
}

fn check_reply(
    rule: &RuleDef,
    reply: &Reply,
    classes: &[u16],
    verb: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(span) = rule.clauses.get("reply").copied() else { return };
    let class = reply.code / 100;
    if !classes.contains(&class) {
        let (wants, example) = match classes {
            [4] => ("4xx, try again later", "450 4.7.1"),
            [5] => ("5xx, do not try again", "550 5.7.1"),
            _ => ("4xx or 5xx", "452 4.7.1"),
        };
        let instead = match (verb, class) {
            ("reject", 4) => ", or make it a `defer` rule",
            ("defer", 5) => ", or make it a `reject` rule",
            _ => "",
        };
        diagnostics.push(
            Diagnostic::error("E1303", format!("`{verb}` cannot reply `{}`", reply.code), span)
                .label(format!("it takes {wants}"))
                .help(format!("write `reply {example} \"{}\"`{instead}", reply.text)),
        );
    } else if u16::from(reply.enhanced.0) != class {
        let (own, subject, detail) = reply.enhanced;
        diagnostics.push(
            Diagnostic::error(
                "E1304",
                format!("the codes `{}` and `{own}.{subject}.{detail}` contradict each other", reply.code),
                span,
            )
            .label("both have to begin with the same digit (RFC 2034)")
            .help(format!("write `reply {} {class}.{subject}.{detail} \"…\"`", reply.code)),
        );
    }
    let problem = match reply.text.chars().find(|c| !c.is_ascii() || c.is_control()) {
        Some('\n' | '\r') => Some("holds a line break".to_owned()),
        Some(c) if c.is_control() => Some("holds a control character".to_owned()),
        Some(c) => Some(format!("holds `{c}`, which is not ASCII")),
        None if reply.text.len() > MAX_LINE => {
            Some(format!("is {} bytes long, {MAX_LINE} are allowed", reply.text.len()))
        }
        None => None,
    };
    if let Some(problem) = problem {
        diagnostics.push(
            Diagnostic::error("E1305", "the text of a reply is one line of printable ASCII", span)
                .label(problem)
                .help("SMTP replies are ASCII (RFC 5321 4.2); write plain words, and a URL for more"),
        );
    }
}

fn check_limit(rule: &RuleDef, limit: &Limit, diagnostics: &mut Vec<Diagnostic>) {
    let zero = limit.connections.is_some_and(|r| r.count == 0 || r.seconds == 0)
        || limit.messages.is_some_and(|r| r.count == 0 || r.seconds == 0)
        || limit.at_once == Some(0);
    if zero {
        zero_bound(rule, diagnostics);
    }
    if let Some(reply) = &limit.reply {
        check_reply(rule, reply, &[4], "limit", diagnostics);
    }
}

fn check_quota(rule: &RuleDef, quota: &Quota, diagnostics: &mut Vec<Diagnostic>) {
    let bounds = [quota.messages, quota.recipients, quota.bytes];
    if bounds.contains(&Some(0)) {
        zero_bound(rule, diagnostics);
    }
    if let Some(percent) = quota.warn_percent
        && !(1..100).contains(&percent)
    {
        diagnostics.push(
            Diagnostic::error(
                "E1307",
                format!("a warning at {percent} % comes at no useful time"),
                rule.clause("warn"),
            )
            .label("the soft limit has to be below the hard one")
            .help("write `warn at 80 %`"),
        );
    }
    check_reply(rule, &quota.reply, &[4, 5], "quota", diagnostics);
}

fn zero_bound(rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.push(
        Diagnostic::error(
            "E1308",
            format!("`{}` has a bound of 0, which refuses everything", rule.name),
            rule.clause("zero"),
        )
        .label("0 takes nothing")
        .help("write a higher number; where no bound is meant take the rule out, where nothing is to be taken write a `reject` rule with the same `when`"),
    );
}

/// A disclaimer stands in mail of our own people: outbound or internal.
fn direction(rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    for direction in [Direction::Inbound, Direction::Forwarded] {
        if can_hold(&rule.condition, direction).0 {
            let name = direction.name();
            let text = format!("disclaimer `{}` can apply to {name} mail", rule.name);
            let mut asks = false;
            rule.condition
                .visit(&mut |test, _| asks |= matches!(test.fact, Fact::Direction | Fact::Submitted));
            let way = hole(&rule.condition, direction);
            let diagnostic = Diagnostic::error("E1309", text, way.map_or(rule.span, |test| test.span));
            diagnostics.push(match way {
                Some(_) if asks => diagnostic
                    .label(format!("enough by itself, and also true of {name} mail"))
                    .also(rule.span, "this would change what strangers wrote")
                    .help("write `direction is outbound and (...)` around all of it, or take that part out"),
                _ => Diagnostic { span: rule.span, ..diagnostic }
                    .label("would change what strangers wrote")
                    .help("add `when direction is outbound`, or `when direction in [outbound, internal]`"),
            });
            return;
        }
    }
}

/// A test by which a condition holds for mail of a direction, where an `or` leads round the others.
fn hole(cond: &Cond, direction: Direction) -> Option<&Test> {
    match cond {
        Cond::Test(test) if !matches!(test.fact, Fact::Direction | Fact::Submitted) => Some(test),
        Cond::True | Cond::Test(_) | Cond::Not(_) => None,
        Cond::All(parts) => parts.iter().find_map(|part| hole(part, direction)),
        Cond::Any(parts) => {
            parts.iter().filter(|p| can_hold(p, direction).0).find_map(|part| hole(part, direction))
        }
    }
}

/// Whether a condition can hold, and whether it can fail, for mail of this direction. What is asked of
/// other facts counts as open.
fn can_hold(cond: &Cond, direction: Direction) -> (bool, bool) {
    let known = |holds: bool| (holds, !holds);
    match cond {
        Cond::True => known(true),
        Cond::Test(test) => match (test.fact, &test.op) {
            (Fact::Direction, Op::OneOf(bits)) => known(bits & (1 << (direction as u8)) != 0),
            (Fact::Submitted, Op::Set) => {
                known(matches!(direction, Direction::Outbound | Direction::Internal))
            }
            _ => (true, true),
        },
        Cond::Not(inner) => {
            let (yes, no) = can_hold(inner, direction);
            (no, yes)
        }
        Cond::All(parts) => {
            parts.iter().map(|p| can_hold(p, direction)).fold((true, false), |a, b| (a.0 && b.0, a.1 || b.1))
        }
        Cond::Any(parts) => {
            parts.iter().map(|p| can_hold(p, direction)).fold((false, true), |a, b| (a.0 || b.0, a.1 && b.1))
        }
    }
}

/// Relays: no way back to this server, and no login over a connection that may be in the clear.
pub fn relays(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    for relay in &model.relays {
        let own = relay.hosts.iter().find(|(host, _)| Some(&host.name) == model.profile.hostname.as_ref());
        if let Some((host, span)) = own {
            diagnostics.push(
                Diagnostic::error(
                    "E1701",
                    format!("relay `{}` leads back to this server", relay.name),
                    *span,
                )
                .label(format!("`{}` is the hostname of this server", host.name))
                .also(model.settings.get("hostname").copied().unwrap_or_default(), "set here")
                .help("name the next server; for delivery on this one write `via local`"),
            );
        }
        if let Some((name, span)) = &relay.credentials
            && matches!(relay.tls, RelayTls::Off | RelayTls::Opportunistic)
        {
            diagnostics.push(
                Diagnostic::error("E1702", format!("the login `{name}` could travel without TLS"), *span)
                    .label("sent to the relay")
                    .also(relay.span, "whose connection may be in the clear")
                    .help("write `tls required`, `tls verified` or `tls implicit`"),
            );
        }
    }
}
