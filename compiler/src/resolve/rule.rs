//! Rules: defaults filled in, names found, texts read.

use super::named::Place;
use super::names::Sort;
use super::profile::small;
use super::{Context, condition, disclaimer, moment};
use crate::ast::{self, Entry, LimitOf, QuotaOf, Window};
use crate::diag::Diagnostic;
use crate::model::{Cond, RuleDef, RuleMode};
use crate::span::{FileId, Span};
use edict_table::model::{
    Action, Bcc, Disclaimer, Limit, LimitPer, Mode, Quota, QuotaPer, Rate, Reply, Route, Verb, Verdict, Via,
};
use std::collections::BTreeMap;

/// The priority of a rule that states none.
const PRIORITY: u32 = 100;
/// The longest name of a rule, in bytes.
const MAX_NAME: usize = 200;
/// The longest window of a limit, in seconds: a day.
const MAX_WINDOW: u64 = 86_400;

/// Resolves a rule. Where anything in it is wrong it is left out, its name stays known.
pub fn rule(ctx: &mut Context<'_>, file: FileId, rule: &ast::Rule) {
    let name = rule.name.value.trim();
    let place = ctx.model.rules.len();
    let named = !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    if !named {
        // Tests may speak of it by the name that was meant.
        ctx.partial = true;
        ctx.report(
            Diagnostic::error("E1314", "this cannot be the name of a rule", rule.name.span)
                .label(if name.is_empty() {
                    "the name is empty".to_owned()
                } else if name.len() > MAX_NAME {
                    format!("{} bytes long; {MAX_NAME} are the most", name.len())
                } else {
                    "holds a control character".to_owned()
                })
                .help("logs and `explain` speak of rules by their names; write `\"known spammers\"`"),
        );
    }
    let fresh = named && ctx.define(Sort::Rule, name, rule.name.span, place);
    let before = ctx.errors();
    ctx.tests.clear();
    let when = condition::every(ctx, &rule.when);
    let unless = condition::every(ctx, &rule.unless);
    let active = moment::active(ctx, rule.active.as_ref());
    let mut clauses = BTreeMap::new();
    if let Some(span) = rule.priority.as_ref().map(|p| p.span) {
        clauses.insert("priority", span);
    }
    let action = action(ctx, file, rule, &mut clauses);
    // Without an action, which was told, nothing is left to ask.
    let Some(action) = action else { return };
    let sound = ctx.errors() == before && !rule.broken && fresh;
    let mut nots = false;
    for condition in when.iter().flatten() {
        condition.visit(&mut |test, negated| nots |= negated && !test.op.has_opposite());
    }
    let (condition, whole) = match (when, unless, active) {
        (Some(when), Some(unless), Some(active)) => {
            let unless = unless.into_iter().map(Cond::negate);
            (Cond::all(when.into_iter().chain(unless).chain(active)), !rule.broken)
        }
        _ => (Cond::all(ctx.tests.drain(..).map(|test| Cond::Test(Box::new(test)))), false),
    };
    let rules = if sound { &mut ctx.model.rules } else { &mut ctx.model.unsound };
    rules.push(RuleDef {
        name: name.to_owned(),
        span: rule.name.span,
        priority: rule.priority.as_ref().map_or(PRIORITY, |p| p.value),
        mode: match rule.mode.as_ref().map(|m| m.value) {
            None | Some(ast::Mode::Enforce) => RuleMode::On(Mode::Enforce),
            Some(ast::Mode::Audit) => RuleMode::On(Mode::Audit),
            Some(ast::Mode::Off) => RuleMode::Off,
        },
        condition,
        whole,
        excepts: rule.unless.iter().map(ast::Expr::span).collect(),
        nots,
        action,
        clauses,
    });
}

fn action(
    ctx: &mut Context<'_>,
    file: FileId,
    rule: &ast::Rule,
    clauses: &mut BTreeMap<&'static str, Span>,
) -> Option<Action> {
    // What a broken rule lacks has been told.
    let missing = |ctx: &mut Context<'_>, what: &str, help: &str| {
        if !rule.broken {
            ctx.report(
                Diagnostic::error("E1313", format!("`{}` has no {what}", rule.name.value), rule.name.span)
                    .label(format!("the line with {what} is missing"))
                    .help(help),
            );
        }
    };
    match &rule.action {
        ast::Action::Verdict { verb, reply } => {
            let fallback = match verb {
                Verb::Reject => Some((550, "Rejected by policy")),
                Verb::Defer => Some((450, "Not accepted now, try again later")),
                Verb::Allow | Verb::Hold | Verb::Discard => None,
            };
            let reply =
                fallback.and_then(|(code, text)| self::reply(reply.as_ref(), code, (7, 1), text, clauses));
            Some(Action::Verdict(Verdict { verb: *verb, reply }))
        }
        ast::Action::Limit { per, bounds, reply } => {
            let mut limit = Limit {
                per: per.as_ref().map_or(LimitPer::ClientIp, |p| p.value),
                connections: None,
                messages: None,
                at_once: None,
                reply: None,
            };
            if per.is_none() {
                missing(ctx, "`per`", "write `per client.ip`, or `per rule` for one counter shared by all");
            }
            for bound in bounds {
                limit_bound(ctx, &mut limit, bound, clauses);
            }
            let code = if limit.connections.is_some() || limit.at_once.is_some() { 421 } else { 450 };
            if reply.is_some() {
                limit.reply =
                    self::reply(reply.as_ref(), code, (7, 0), "Too much at once, try again later", clauses);
            }
            Some(Action::Limit(limit))
        }
        ast::Action::Bcc { to, modified, record } => {
            let to = to.as_ref()?;
            clauses.insert("to", to.span);
            let targets = targets(ctx, to).unwrap_or_default();
            Some(Action::Bcc(Bcc {
                to: targets,
                modified: modified.as_ref().is_some_and(|m| m.value),
                record_envelope: record.is_some(),
            }))
        }
        ast::Action::Quota { per, bounds, warn, reply } => {
            if let Some(warn) = warn {
                clauses.insert("warn", warn.span);
            }
            if per.is_none() {
                missing(
                    ctx,
                    "`per`",
                    "write `per user`, `per sender`, `per sender.domain`, or `per rule` for one counter shared by all",
                );
            }
            let reply = self::reply(reply.as_ref(), 452, (7, 1), "Daily quota reached", clauses)?;
            let mut quota = Quota {
                per: per.as_ref().map_or(QuotaPer::User, |p| p.value),
                messages: None,
                recipients: None,
                bytes: None,
                rolling: bounds.first().is_some_and(|b| b.rolling),
                warn_percent: warn.as_ref().map(|w| w.value),
                reply,
            };
            for bound in bounds {
                quota_bound(ctx, &mut quota, bound, clauses);
            }
            Some(Action::Quota(quota))
        }
        ast::Action::Disclaimer { text, html, above_quote, replies, signed, proceed } => {
            let plain = text.as_ref().and_then(|text| disclaimer::body(ctx, file, text, false));
            let rich = html.as_ref().and_then(|html| disclaimer::body(ctx, file, html, true));
            Some(Action::Disclaimer(Disclaimer {
                text: plain,
                html: rich,
                above_quote: above_quote.as_ref().is_some_and(|p| p.value),
                replies: replies.as_ref().map(|r| r.value).unwrap_or_default(),
                signed: signed.as_ref().map(|s| s.value).unwrap_or_default(),
                proceed: proceed.is_some(),
            }))
        }
        ast::Action::Route { via, local } => {
            let via = via.as_ref()?;
            clauses.insert("via", via.span);
            let relay = ctx.find(Sort::Relay, via);
            let hop = match via.value.as_str() {
                "mx" => Via::Mx,
                "local" => Via::Local,
                name => {
                    if let Some(relay) = relay.and_then(|place| ctx.model.relays.get_mut(place)) {
                        relay.used = true;
                    }
                    Via::Relay(name.to_owned())
                }
            };
            Some(Action::Route(Route { via: hop, local: local.as_ref().is_some_and(|l| l.value) }))
        }
    }
}

/// A reply, with what is not written filled in.
fn reply(
    written: Option<&ast::Reply>,
    code: u16,
    detail: (u16, u16),
    text: &str,
    clauses: &mut BTreeMap<&'static str, Span>,
) -> Option<Reply> {
    let class = |code: u16| u8::try_from(code / 100).unwrap_or(5);
    let Some(written) = written else {
        return Some(Reply { code, enhanced: (class(code), detail.0, detail.1), text: text.to_owned() });
    };
    clauses.insert("reply", written.span);
    let enhanced = written.enhanced.as_ref().map(|e| e.value);
    let code = match (&written.code, enhanced) {
        (Some(code), _) => code.value,
        // A class without a code: the usual code of that class.
        (None, Some((4, ..))) if class(code) != 4 => 450,
        (None, Some((5, ..))) if class(code) != 5 => 550,
        (None, _) => code,
    };
    Some(Reply {
        code,
        enhanced: enhanced.unwrap_or((class(code), detail.0, detail.1)),
        text: written.text.as_ref().map_or_else(|| text.to_owned(), |t| t.value.clone()),
    })
}

fn bound_twice(ctx: &mut Context<'_>, what: &str, span: Span) {
    ctx.report(
        Diagnostic::error("E1315", format!("{what} are bounded twice"), span)
            .label("the second bound")
            .help("keep the lower of the two"),
    );
}

fn limit_bound(
    ctx: &mut Context<'_>,
    limit: &mut Limit,
    bound: &ast::LimitBound,
    clauses: &mut BTreeMap<&'static str, Span>,
) -> Option<()> {
    if bound.count.value == 0 {
        clauses.entry("zero").or_insert(bound.span);
    }
    let count = small(ctx, bound.count.value, bound.count.span)?;
    let seconds = match bound.window.value {
        Window::Once => None,
        Window::Seconds(seconds) => {
            if seconds == 0 {
                ctx.report(
                    Diagnostic::error("E1308", "a limit counts over no time", bound.window.span)
                        .label("nothing comes within 0 s")
                        .help("write a time, as `per second` or `per 10 s`; for how many may be open together write `connections at once`"),
                );
                return None;
            }
            if seconds > MAX_WINDOW {
                ctx.report(
                    Diagnostic::error("E1312", "limits count over a day at most", bound.window.span)
                        .label("too long a window")
                        .help("write `per hour`, or a `quota` for what a user sends in a day"),
                );
                return None;
            }
            u32::try_from(seconds).ok()
        }
    };
    let rate = seconds.map(|seconds| Rate { count, seconds });
    let (slot, what) = match (bound.of.value, rate) {
        (LimitOf::Connections, None) => {
            if limit.at_once.replace(count).is_some() {
                bound_twice(ctx, "connections at once", bound.span);
            }
            return Some(());
        }
        (LimitOf::Messages, None) => {
            ctx.report(
                Diagnostic::error("E1316", "messages do not come at once", bound.span)
                    .label("one connection sends one message after the other")
                    .help("write `messages per minute`, or `connections at once`"),
            );
            return None;
        }
        (LimitOf::Connections, Some(_)) => (&mut limit.connections, "connections"),
        (LimitOf::Messages, Some(_)) => (&mut limit.messages, "messages"),
    };
    let twice = slot.is_some();
    *slot = rate;
    if twice {
        bound_twice(ctx, what, bound.span);
    }
    Some(())
}

fn quota_bound(
    ctx: &mut Context<'_>,
    quota: &mut Quota,
    bound: &ast::QuotaBound,
    clauses: &mut BTreeMap<&'static str, Span>,
) -> Option<()> {
    if bound.count.value == 0 {
        clauses.entry("zero").or_insert(bound.span);
    }
    if bound.rolling != quota.rolling {
        ctx.report(
            Diagnostic::error(
                "E1317",
                "one quota cannot count by the calendar and by rolling days",
                bound.span,
            )
            .label(if bound.rolling {
                "rolling, unlike the bound above"
            } else {
                "by the calendar, unlike the bound above"
            })
            .help("write `per day` in all bounds, or `per rolling day` in all"),
        );
        return None;
    }
    let (slot, what) = match bound.of.value {
        QuotaOf::Messages => (&mut quota.messages, "messages"),
        QuotaOf::Recipients => (&mut quota.recipients, "recipients"),
        QuotaOf::Bytes => (&mut quota.bytes, "bytes"),
    };
    if slot.replace(bound.count.value).is_some() {
        bound_twice(ctx, what, bound.span);
    }
    Some(())
}

/// Targets of blind copies, in order, each once.
fn targets(ctx: &mut Context<'_>, to: &ast::Entries) -> Option<Vec<String>> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut sound = true;
    for entry in &to.entries {
        match entry {
            Entry::Value(value) => match ctx.mailbox_at(value, Place::Mailboxes { groups: true }) {
                Some(mailbox) => out.push((mailbox.address.as_str().to_owned(), mailbox.wire)),
                None => sound = false,
            },
            Entry::Group(name) => match ctx.find(Sort::Group, name) {
                Some(place) => {
                    if let Some(group) = ctx.model.groups.get_mut(place) {
                        group.used = true;
                        out.extend(
                            group.members.iter().map(|m| (m.address.as_str().to_owned(), m.wire.clone())),
                        );
                    }
                }
                None => sound = false,
            },
        }
    }
    // The order means nothing; each target gets one copy.
    out.sort();
    out.dedup_by(|a, b| a.0 == b.0);
    sound.then(|| out.into_iter().map(|(_, wire)| wire).collect())
}
