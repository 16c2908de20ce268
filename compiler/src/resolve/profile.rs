//! The profile: settings with their types, on top of the defaults of the language.

mod recipients;
mod sets;
mod single;

pub use recipients::recipients;
pub use sets::late_exceptions;
pub use single::small;

use super::Context;
use crate::ast::{self, Ast, Item, Setting, SettingValue};
use crate::diag::Diagnostic;
use crate::parse::words::SETTINGS;
use crate::span::Span;
use edict_table::model::{AutoForwarding, Profile};
use sets::{exceptions, relay_domains, set, twice};
use single::{amount, choice, hostname, time_zone};

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
                    let known = &mut ctx.model.profile.domain_aliases;
                    if known.iter().any(|(other, _)| other == from.as_str()) {
                        twice(ctx, name, from.as_str(), &pair.alias);
                    } else {
                        known.push((from.as_str().to_owned(), to.as_str().to_owned()));
                        let values = &mut ctx.model.values;
                        values.insert((name, from.as_str().to_owned()), pair.alias.span);
                        values.insert(("is", from.as_str().to_owned()), pair.domain.span);
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
