//! Rules and relays: defaults filled in, names found, texts read, dates put into the profile's zone.

use super::names::Sort;
use super::profile::small;
use super::{Context, condition};
use crate::ast::{self, Active, Entry, LimitOf, Moment, QuotaOf, Spanned, Text, Window};
use crate::data::MAX_TOLD;
use crate::diag::Diagnostic;
use crate::model::{Cond, Op, RelayDef, RuleDef, RuleMode, Test};
use crate::parse::words::nearest;
use crate::span::{FileId, Span};
use edict_table::fact::Fact;
use edict_table::model::{
    Action, Bcc, Disclaimer, Host, Limit, LimitPer, Mode, Quota, QuotaPer, Rate, RelayTls, Reply, Route,
    Verb, Verdict, Via,
};
use edict_table::template;
use edict_table::value::Domain;
use std::collections::BTreeMap;

/// The priority of a rule that states none.
const PRIORITY: u32 = 100;
/// The longest name of a rule, in bytes.
const MAX_NAME: usize = 200;
/// The largest disclaimer, in bytes.
const MAX_DISCLAIMER: usize = 1 << 20;
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
    let active = active(ctx, rule.active.as_ref());
    let mut clauses = BTreeMap::new();
    if let Some(span) = rule.priority.as_ref().map(|p| p.span) {
        clauses.insert("priority", span);
    }
    let action = action(ctx, file, rule, &mut clauses);
    // Without an action, which was told, nothing is left to ask.
    let Some(action) = action else { return };
    let sound = ctx.errors() == before && !rule.broken && fresh;
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
        action,
        clauses,
    });
}

/// The days of a rule as a condition on the time. A date alone begins at midnight, and as the end it is
/// the last day in force; with a time of day the end is that moment. None where it is wrong.
fn active(ctx: &mut Context<'_>, active: Option<&Active>) -> Option<Vec<Cond>> {
    let Some(active) = active else { return Some(Vec::new()) };
    let from = active.from.as_ref().map(|m| seconds(ctx, m, false));
    let until = active.until.as_ref().map(|m| seconds(ctx, m, true));
    let mut out = Vec::new();
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        ctx.report(
            Diagnostic::error("E1310", "the rule ends before it begins", active.span)
                .label("never in force")
                .help("write the earlier date after `from`"),
        );
        return None;
    }
    let test = |op: Op, span: Span| {
        Cond::Test(Box::new(Test { fact: Fact::Time, parameter: String::new(), op, span }))
    };
    if let Some(from) = from {
        out.push(test(Op::Less(from), active.span).negate());
    }
    if let Some(until) = until {
        out.push(test(Op::Less(until), active.span));
    }
    Some(out)
}

/// Unix seconds of a moment in the profile's zone; the end of the day where `end` asks for it. Dates
/// come checked against the calendar; what lies beyond its last day never comes.
fn seconds(ctx: &Context<'_>, moment: &Spanned<Moment>, end: bool) -> u64 {
    unix(&ctx.model.profile.time_zone, moment.value, end).unwrap_or(i64::MAX as u64)
}

/// Unix seconds of a moment in a zone; of a bare date the start of that day, or with `end` of the next.
#[must_use]
pub fn unix(zone: &str, moment: Moment, end: bool) -> Option<u64> {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let (year, month, day) =
        (i16::try_from(moment.year).ok()?, i8::try_from(moment.month).ok()?, i8::try_from(moment.day).ok()?);
    let mut date = jiff::civil::Date::new(year, month, day).ok()?;
    let time = match moment.time {
        Some((hour, minute, second)) => jiff::civil::Time::new(
            i8::try_from(hour).ok()?,
            i8::try_from(minute).ok()?,
            i8::try_from(second).ok()?,
            0,
        )
        .ok()?,
        None => {
            if end {
                date = date.tomorrow().ok()?;
            }
            jiff::civil::Time::midnight()
        }
    };
    let at = zone.to_timestamp(date.to_datetime(time)).ok()?;
    // The first hours of 1970 lie before the epoch in zones east of it.
    Some(u64::try_from(at.as_second()).unwrap_or(0))
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
            let plain = text.as_ref().and_then(|text| body(ctx, file, text));
            let rich = html.as_ref().and_then(|html| body(ctx, file, html));
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
            Entry::Value(value) => match ctx.mailbox(value) {
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

/// The text of a disclaimer: what a `"""` block says, or what is in the file of that name.
fn body(ctx: &mut Context<'_>, file: FileId, text: &Text) -> Option<String> {
    // Where the text stands, for places in it.
    let mut place = text.span;
    let raw = if text.block {
        text.value.clone()
    } else {
        let found = ctx.data_file(file, text)?;
        let whole = ctx.sources.bytes(found);
        let bytes = whole.strip_prefix(b"\xef\xbb\xbf").unwrap_or(whole);
        place = Span { file: found, start: if bytes.len() < whole.len() { 3 } else { 0 }, end: 0 };
        match std::str::from_utf8(bytes) {
            Ok(raw) => raw.to_owned(),
            Err(error) => {
                let line = bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
                ctx.report(
                    Diagnostic::error(
                        "E1318",
                        format!("line {line} of `{}` is not UTF-8", text.value),
                        text.span,
                    )
                    .label("texts are UTF-8")
                    .help("save the file as UTF-8; for messages in another charset it is converted"),
                );
                return None;
            }
        }
    };
    let bare = raw.replace("\r\n", "\n").replace('\r', "\n");
    let clean = bare.trim_end_matches('\n');
    let bad = clean.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    let problem = if clean.trim().is_empty() {
        Some("empty")
    } else if clean.len() > MAX_DISCLAIMER {
        Some("larger than 1 MiB")
    } else if bad.is_some() {
        Some("holds a control character")
    } else {
        None
    };
    if let Some(problem) = problem {
        ctx.report(
            Diagnostic::error("E1319", "this text cannot be added to mail", text.span)
                .label(problem)
                .help("write a text of a few lines; a text of several lines can stand here between `\"\"\"`"),
        );
        return None;
    }
    let written = if text.block { ctx.sources.text(place) } else { raw };
    variables(ctx, &written, place)?;
    Some(format!("{clean}\n"))
}

/// Tells of names in braces that are no variables. `written` is the text as it stands in its file, from `place` on.
fn variables(ctx: &mut Context<'_>, written: &str, place: Span) -> Option<()> {
    let unknown = template::unknown(written);
    for (name, at) in unknown.iter().take(MAX_TOLD) {
        let offset = |n: usize| place.start + u32::try_from(n).unwrap_or(0);
        let span = Span { file: place.file, start: offset(*at), end: offset(at + name.len() + 2) };
        let mut diagnostic = Diagnostic::error("E1320", format!("there is no variable `{{{name}}}`"), span);
        diagnostic = match nearest(name, template::VARIABLES.iter().copied()) {
            Some(meant) => diagnostic
                .label("taken for a variable")
                .help(format!("did you mean `{{{meant}}}`? A brace of the text is written `{{{{`"))
                .fix(
                format!("write `{{{meant}}}`"),
                span,
                format!("{{{meant}}}"),
            ),
            None => diagnostic.label("taken for a variable").help(format!(
                "there are `{{{}}}` and `{{user.NAME}}`, an attribute from `edictd.ron`; a brace of the text is written `{{{{`",
                template::VARIABLES.join("}`, `{")
            )),
        };
        ctx.report(diagnostic);
    }
    unknown.is_empty().then_some(())
}

/// Resolves a relay.
pub fn relay(ctx: &mut Context<'_>, relay: &ast::Relay) {
    let place = ctx.model.relays.len();
    let fresh = ctx.define(Sort::Relay, &relay.name.value, relay.name.span, place);
    let tls = relay.tls.as_ref().map_or_else(RelayTls::default, |t| t.value);
    let mut hosts = Vec::new();
    // The parser has told where there is no `host` at all.
    let mut sound = relay.hosts.is_some();
    for entry in relay.hosts.iter().flat_map(|h| &h.entries) {
        let (text, span) = match entry {
            Entry::Value(value) => (value.text.as_str(), value.span),
            Entry::Group(name) => (name.value.as_str(), name.span),
        };
        match host(text, tls) {
            Some(host) => hosts.push((host, span)),
            None => {
                sound = false;
                ctx.report(
                    Diagnostic::error("E1703", format!("`{text}` is no host"), span)
                        .label(if text.ends_with(":0") {
                            "port 0 does not exist"
                        } else if port_is_too_large(text) {
                            "ports end at 65535"
                        } else if text.contains("://") {
                            "a URL; a host is a name or an address"
                        } else {
                            "a name or an address, with a port or without"
                        })
                        .help("write `smtp.example.com:587`, `192.0.2.7:25` or `[2001:db8::7]:25`"),
                );
            }
        }
    }
    if fresh && (!sound || relay.broken) {
        ctx.poison(Sort::Relay, &relay.name.value);
        // A place is needed all the same: later relays count from it.
    }
    if let Some(name) = &relay.credentials
        && (name.value.trim().is_empty()
            || name.value.len() > 200
            || name.value.chars().any(char::is_control))
    {
        ctx.report(
            Diagnostic::error("E1704", "this cannot be the name of a login", name.span)
                .label(if name.value.trim().is_empty() { "empty" } else { "too long, or holds a control character" })
                .help("write the name under which `edictd.ron` keeps user and password, as `credentials \"provider\"`"),
        );
    }
    // Of a second relay of one name nothing is kept; its mistakes were told.
    if !fresh {
        return;
    }
    ctx.model.relays.push(RelayDef {
        name: relay.name.value.clone(),
        // A broken relay counts as one with a host, so that nobody tells that it has none.
        hosts: if sound { hosts } else { vec![(Host { name: String::new(), port: 25 }, relay.name.span)] },
        tls,
        // Where `tls` could not be read, nobody knows whether the login is safe.
        credentials: relay
            .credentials
            .as_ref()
            .filter(|_| relay.tls.is_some() || !relay.broken)
            .map(|c| (c.value.clone(), c.span)),
        span: relay.name.span,
        used: false,
    });
}

fn port_is_too_large(text: &str) -> bool {
    let port = text.rsplit_once(':').map_or("", |(_, port)| port);
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_err()
}

/// Reads `name`, `name:port`, `[v6]` or `[v6]:port`.
fn host(text: &str, tls: RelayTls) -> Option<Host> {
    let usual = if tls == RelayTls::Implicit { 465 } else { 25 };
    if let Ok(ip) = text.parse::<std::net::Ipv6Addr>() {
        return Some(Host { name: ip.to_string(), port: usual });
    }
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let ip: std::net::IpAddr = inside.parse().ok()?;
        let port = match after.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if after.is_empty() => usual,
            None => return None,
        };
        (ip.to_string(), port)
    } else {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().ok()?),
            None => (text, usual),
        };
        let name = match name.parse::<std::net::Ipv4Addr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => Domain::parse(name).ok().filter(|d| !d.is_literal())?.as_str().to_owned(),
        };
        (name, port)
    };
    (port != 0).then_some(Host { name, port })
}
