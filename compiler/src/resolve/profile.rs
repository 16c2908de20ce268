//! The profile: settings with their types, on top of the defaults of the language.

use super::Context;
use super::names::Sort;
use super::value::Bare;
use crate::ast::{self, Ast, Class, Entries, Entry, Item, Setting, SettingValue, Spanned, Value, Word};
use crate::diag::Diagnostic;
use crate::model::ListType;
use crate::parse::opposite::Likely as _;
use crate::parse::words::SETTINGS;
use crate::span::Span;
use edict_table::model::{Auth, AutoForwarding, Profile, Recipients, RelayDomain, SenderMust};
use edict_table::value::Pattern;
use std::collections::BTreeSet;

fn profiles(asts: &[Ast]) -> impl Iterator<Item = &ast::Profile> {
    asts.iter().flat_map(|ast| &ast.items).filter_map(|item| match item {
        Item::Profile(profile) => Some(profile),
        _ => None,
    })
}

/// Resolves every setting but `recipients`, which needs the lists.
pub fn resolve(ctx: &mut Context<'_>, asts: &[Ast]) {
    ctx.model.profile = Profile::default();
    let mut first: Option<Span> = None;
    for profile in profiles(asts) {
        if let Some(first) = first {
            ctx.report(
                Diagnostic::error("E1104", "there are two profiles", profile.keyword)
                    .label("the second one")
                    .also(first, "the first one")
                    .help("put all settings into one `profile { ... }`: no setting can replace another"),
            );
            continue;
        }
        first = Some(profile.keyword);
        // Domains first: other settings hold bare names.
        let early =
            |s: &&Setting| matches!(s.name.value, "local-domains" | "domain-aliases" | "relay-domains");
        for one in profile.settings.iter().filter(|s| early(s)) {
            setting(ctx, one);
        }
        for one in profile.settings.iter().filter(|s| !early(s)) {
            setting(ctx, one);
        }
        ctx.model.faulty.extend(&profile.unread);
        // A line that is no setting may have been meant as any of those that are absent.
        if profile.broken && profile.unread.is_empty() {
            absent(ctx);
        }
    }
    if first.is_none() && ctx.partial {
        absent(ctx);
    }
}

/// Counts all settings that were not written as faulty.
fn absent(ctx: &mut Context<'_>) {
    let settings = &ctx.model.settings;
    ctx.model.faulty.extend(SETTINGS.iter().filter(|name| !settings.contains_key(**name)));
}

/// Resolves who exists: names of lists, once those are known.
pub fn recipients(ctx: &mut Context<'_>, asts: &[Ast]) {
    let Some(profile) = profiles(asts).next() else { return };
    for one in &profile.settings {
        match &one.value {
            SettingValue::Recipients(value) => match who_exists(ctx, value) {
                Some(value) => ctx.model.profile.recipients = value,
                None => drop(ctx.model.faulty.insert("recipients")),
            },
            SettingValue::RelayDomains(domains) => {
                for domain in domains {
                    let (Some(recipients), Ok(Pattern::Domain(name))) =
                        (&domain.recipients, Pattern::parse(&domain.domain.value))
                    else {
                        continue;
                    };
                    let Some(value) = who_exists(ctx, recipients) else {
                        ctx.model.faulty.insert("relay-domains");
                        continue;
                    };
                    let known = &mut ctx.model.profile.relay_domains;
                    if let Some(place) = known.iter().position(|d| d.domain == name.as_str())
                        && let Some(domain) = known.get_mut(place)
                    {
                        domain.recipients = Some(value);
                    }
                }
            }
            _ => {}
        }
    }
}

fn who_exists(ctx: &mut Context<'_>, value: &Spanned<ast::Recipients>) -> Option<Recipients> {
    Some(match &value.value {
        ast::Recipients::Ask => Recipients::Ask,
        ast::Recipients::Any => Recipients::Any,
        ast::Recipients::Known(words) => {
            let mut names = BTreeSet::new();
            let mut sound = true;
            for word in words {
                let found = ctx.find_list(word, ListType::Address, false);
                let Some(list) = found.and_then(|place| ctx.model.lists.get_mut(place)) else {
                    sound = false;
                    continue;
                };
                list.used = true;
                if list.ty != ListType::Address {
                    let (is, span) = (list.ty.plural(), list.span);
                    ctx.report(
                        Diagnostic::error(
                            "E1119",
                            format!("`{}` is a list of {is}, not of addresses", word.value),
                            word.span,
                        )
                        .label("the addresses that exist are expected here")
                        .also(span, "defined here")
                        .help(format!(
                            "define it as `list {}: address = [ann@example.com, bob@example.com]`, every existing address in it; where all addresses are taken write `recipients any`",
                            word.value
                        )),
                    );
                    sound = false;
                    continue;
                }
                names.insert(list.name.clone());
            }
            if !sound {
                return None;
            }
            Recipients::Known(names.into_iter().collect())
        }
    })
}

fn setting(ctx: &mut Context<'_>, setting: &Setting) {
    let before = ctx.errors();
    read(ctx, setting);
    if ctx.errors() > before {
        ctx.model.faulty.insert(setting.name.value);
    }
}

fn read(ctx: &mut Context<'_>, setting: &Setting) {
    let name = setting.name.value;
    let span = match &setting.value {
        SettingValue::Word(word) => word.span,
        SettingValue::Text(text) => text.span,
        SettingValue::Amount(value) => value.span,
        SettingValue::Choice(choice) => choice.span,
        SettingValue::Set(entries) => entries.span,
        _ => setting.span,
    };
    ctx.model.settings.insert(name.to_owned(), span);
    match &setting.value {
        SettingValue::Word(word) => hostname(ctx, word),
        SettingValue::Text(text) if name == "banner" => ctx.model.profile.banner = Some(text.value.clone()),
        SettingValue::Text(text) => time_zone(ctx, &text.value, text.span),
        SettingValue::Amount(value) => amount(ctx, name, value),
        SettingValue::Choice(word) => choice(&mut ctx.model.profile, name, word.value),
        SettingValue::Set(entries) => set(ctx, name, entries),
        SettingValue::DomainAliases(pairs) => {
            for pair in pairs {
                let (from, to) = (ctx.one_domain(&pair.alias), ctx.one_domain(&pair.domain));
                if let (Some(from), Some(to)) = (from, to) {
                    let values = &mut ctx.model.values;
                    values.insert((name, from.as_str().to_owned()), pair.alias.span);
                    values.insert(("is", from.as_str().to_owned()), pair.domain.span);
                    let known = &mut ctx.model.profile.domain_aliases;
                    if known.iter().any(|(other, _)| other == from.as_str()) {
                        twice(ctx, &pair.alias);
                    } else {
                        known.push((from.as_str().to_owned(), to.as_str().to_owned()));
                    }
                }
            }
            ctx.model.profile.domain_aliases.sort();
        }
        SettingValue::RelayDomains(domains) => relay_domains(ctx, domains),
        SettingValue::Recipients(_) => {}
        SettingValue::AutoForwarding { on, except } => {
            let except = except.as_ref().map(|e| exceptions(ctx, e)).unwrap_or_default();
            ctx.model.profile.auto_forwarding = AutoForwarding { on: on.value, except };
        }
        SettingValue::Errors { slow, close } => {
            if let Some(number) = slow.as_ref().and_then(|n| small(ctx, n.value, n.span)) {
                ctx.model.profile.errors_slow_after = number;
            }
            if let Some(number) = close.as_ref().and_then(|n| small(ctx, n.value, n.span)) {
                ctx.model.profile.errors_close_after = number;
            }
        }
    }
}

fn twice(ctx: &mut Context<'_>, word: &Word) {
    ctx.report(
        Diagnostic::error("E1105", format!("`{}` is listed twice", word.value), word.span)
            .label("here a second time")
            .help("keep one of the two"),
    );
}

fn hostname(ctx: &mut Context<'_>, word: &Word) {
    if let Some(domain) = ctx.one_domain(word) {
        if domain.as_str().contains('.') && !domain.is_literal() {
            ctx.model.profile.hostname = Some(domain.as_str().to_owned());
        } else {
            ctx.report(
                Diagnostic::error("E1211", format!("`{}` is no full host name", word.value), word.span)
                    .label("other servers refuse a name without a domain")
                    .help("write the name that DNS knows, as `mx.example.com`"),
            );
        }
    }
}

fn time_zone(ctx: &mut Context<'_>, name: &str, span: Span) {
    // The bundled data, so that every host compiles the same.
    let zones = jiff::tz::TimeZoneDatabase::bundled();
    match zones.get(name) {
        Ok(zone) => {
            ctx.model.profile.time_zone = zone.iana_name().unwrap_or(name).to_owned();
        }
        Err(_) => {
            let all: Vec<String> = zones.available().map(|z| z.to_string()).collect();
            let meant = crate::parse::words::nearest(name, all.iter().map(String::as_str));
            let mut diagnostic = Diagnostic::error("E1210", format!("no time zone is named `{name}`"), span)
                .label("not in the IANA time zone database");
            diagnostic = match meant {
                Some(meant) => diagnostic.help(format!("did you mean `\"{meant}\"`?")).nearest(
                    name,
                    meant,
                    span,
                    &format!("\"{meant}\""),
                ),
                None => diagnostic.help("write a name as `\"Europe/Berlin\"` or `\"UTC\"`"),
            };
            ctx.report(diagnostic);
        }
    }
}

/// A number of 32 bits.
pub fn small(ctx: &mut Context<'_>, number: u64, span: Span) -> Option<u32> {
    let out = u32::try_from(number).ok();
    if out.is_none() {
        ctx.report(
            Diagnostic::error("E1312", format!("{number} is too large"), span)
                .label(format!("at most {}", u32::MAX))
                .help("write a smaller number"),
        );
    }
    out
}

fn amount(ctx: &mut Context<'_>, name: &str, value: &Value) {
    match name {
        "max-message-size" => {
            if let Some(bytes) = ctx.size(value) {
                ctx.model.profile.max_message_size = bytes;
            }
        }
        "max-attachment-size" => {
            if let Some(bytes) = ctx.size(value) {
                ctx.model.profile.max_attachment_size = Some(bytes);
            }
        }
        _ => {
            let Some(number) = ctx.count(value).and_then(|n| small(ctx, n, value.span)) else { return };
            let profile = &mut ctx.model.profile;
            match name {
                "max-recipients" => profile.max_recipients = number,
                "max-hops" => profile.max_hops = number,
                "junk-commands" => profile.junk_commands = number,
                _ => {}
            }
        }
    }
}

fn choice(profile: &mut Profile, name: &str, word: &str) {
    match name {
        "auth" => {
            profile.auth = match word {
                "off" => Auth::Off,
                "optional" => Auth::Optional,
                _ => Auth::Required,
            };
        }
        "auth-without-tls" => profile.auth_without_tls = word == "allowed",
        "auth-for-trusted" => profile.auth_for_trusted_skipped = word == "skipped",
        "sender-must" => {
            profile.sender_must = match word {
                "be-anything" => SenderMust::BeAnything,
                "equal-login" => SenderMust::EqualLogin,
                _ => SenderMust::OwnAddress,
            };
        }
        "forward-sender" => profile.forward_sender_srs = word == "srs",
        "helo" => profile.helo_required = word == "required",
        "vrfy" => profile.vrfy = word == "on",
        "envelope-syntax" => profile.strict_envelope = word == "strict",
        "pipelining" => profile.strict_pipelining = word == "strict",
        _ => {}
    }
}

/// Values of `[…]` that can hold no group.
fn values<'e>(ctx: &mut Context<'_>, entries: &'e Entries) -> Vec<&'e Value> {
    let mut out = Vec::new();
    for entry in &entries.entries {
        match entry {
            Entry::Value(value) => out.push(value),
            Entry::Group(name) => ctx.report(
                Diagnostic::error("E1124", format!("group `{}` cannot stand here", name.value), name.span)
                    .label("a group holds addresses")
                    .help("write each value by itself"),
            ),
        }
    }
    out
}

fn set(ctx: &mut Context<'_>, name: &'static str, entries: &Entries) {
    let values = values(ctx, entries);
    match name {
        "local-domains" => {
            let mut out = Vec::new();
            for value in values {
                let Some(Pattern::Domain(domain)) = ctx.domain(value, false) else { continue };
                if out.iter().any(|known| known == domain.as_str()) {
                    twice(ctx, &Word { value: value.text.clone(), span: value.span });
                } else {
                    ctx.model.values.insert((name, domain.as_str().to_owned()), value.span);
                    out.push(domain.as_str().to_owned());
                }
            }
            ctx.model.first_local = out.first().cloned();
            out.sort();
            ctx.model.profile.local_domains = out;
        }
        "trusted-networks" => {
            let mut networks = BTreeSet::new();
            for value in values {
                let Some(network) = ctx.network(value) else { continue };
                ctx.model.values.insert((name, network.to_string()), value.span);
                networks.insert(network.to_string());
            }
            ctx.model.profile.trusted_networks = networks.into_iter().collect();
        }
        _ => {
            let mailboxes: Vec<_> = values.into_iter().filter_map(|v| ctx.mailbox(v)).collect();
            for mailbox in &mailboxes {
                ctx.model.values.insert((name, mailbox.wire.clone()), mailbox.span);
            }
            let mailboxes = mailboxes.into_iter().map(|m| m.wire).collect();
            match name {
                "notice-copies" => ctx.model.profile.notice_copies = mailboxes,
                _ => ctx.model.profile.postmaster = mailboxes,
            }
        }
    }
}

fn relay_domains(ctx: &mut Context<'_>, domains: &[ast::RelayDomain]) {
    let mut out: Vec<RelayDomain> = Vec::new();
    for entry in domains {
        let via = match &entry.via {
            None => None,
            Some(word) if word.value == "mx" => None,
            Some(word) if word.value == "local" => {
                ctx.report(
                    Diagnostic::error(
                        "E1212",
                        format!("relay domain `{}` cannot go to local delivery", entry.domain.value),
                        word.span,
                    )
                    .label("`local` is no relay")
                    .help("put the domain into `local-domains`, or name a relay"),
                );
                None
            }
            Some(word) => {
                if let Some(relay) = ctx.find(Sort::Relay, word)
                    && let Some(relay) = ctx.model.relays.get_mut(relay)
                {
                    relay.used = true;
                }
                Some(word.value.clone())
            }
        };
        let Some(domain) = ctx.one_domain(&entry.domain) else { continue };
        if out.iter().any(|known| known.domain == domain.as_str()) {
            twice(ctx, &entry.domain);
            continue;
        }
        ctx.model.values.insert(("relay-domains", domain.as_str().to_owned()), entry.domain.span);
        out.push(RelayDomain { domain: domain.as_str().to_owned(), via, recipients: None });
    }
    out.sort_by(|a, b| a.domain.cmp(&b.domain));
    ctx.model.profile.relay_domains = out;
}

/// Pattern keys for whom auto forwarding is the other way round. Groups are known later, so their
/// members are read here from the text; see [`late_exceptions`].
fn exceptions(ctx: &mut Context<'_>, entries: &Entries) -> Vec<String> {
    let mut out = BTreeSet::new();
    for entry in &entries.entries {
        if let Entry::Value(value) = entry {
            let bare = if value.class == Class::Word { Bare::Taken } else { Bare::Entry };
            if let Some(pattern) = ctx.pattern(value, bare) {
                out.insert(pattern.key());
            }
        }
    }
    out.into_iter().collect()
}

/// Adds the members of groups that are named as exceptions, once groups are known.
pub fn late_exceptions(ctx: &mut Context<'_>, asts: &[Ast]) {
    let Some(profile) = profiles(asts).next() else { return };
    let mut all: BTreeSet<String> = ctx.model.profile.auto_forwarding.except.iter().cloned().collect();
    for one in &profile.settings {
        let SettingValue::AutoForwarding { except: Some(entries), .. } = &one.value else { continue };
        for entry in &entries.entries {
            let Entry::Group(name) = entry else { continue };
            if let Some(place) = ctx.find(Sort::Group, name)
                && let Some(group) = ctx.model.groups.get_mut(place)
            {
                group.used = true;
                all.extend(group.members.iter().map(|m| m.address.as_str().to_owned()));
            }
        }
    }
    ctx.model.profile.auto_forwarding.except = all.into_iter().collect();
}
