//! Settings of several values: domains, networks, mailboxes, and whom forwarding excepts.

use super::profiles;
use crate::ast::{self, Ast, Entries, Entry, SettingValue, Value, Word};
use crate::diag::Diagnostic;
use crate::resolve::Context;
use crate::resolve::named::Place;
use crate::resolve::names::Sort;
use crate::resolve::value::{Bare, of_word};
use edict_table::model::RelayDomain;
use edict_table::value::Pattern;
use std::collections::BTreeSet;

/// Tells a domain that a setting has already.
pub(super) fn twice(ctx: &mut Context<'_>, name: &'static str, domain: &str, word: &Word) {
    let diagnostic = Diagnostic::error("E1105", format!("`{}` is listed twice", word.value), word.span)
        .label("here a second time")
        .help("keep one of the two");
    let first = ctx.model.values.get(&(name, domain.to_owned())).copied();
    ctx.report(match first {
        Some(first) => diagnostic.also(first, "listed here already"),
        None => diagnostic,
    });
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

pub(super) fn set(ctx: &mut Context<'_>, name: &'static str, entries: &Entries) {
    let values = values(ctx, entries);
    match name {
        "local-domains" => {
            let mut out = Vec::new();
            for value in values {
                if ctx.names_set(value, Place::Setting(name)) {
                    continue;
                }
                let Some(Pattern::Domain(domain)) = ctx.domain(value, false) else { continue };
                if out.iter().any(|known| known == domain.as_str()) {
                    twice(ctx, name, domain.as_str(), &Word { value: value.text.clone(), span: value.span });
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
                if ctx.names_set(value, Place::Setting(name)) {
                    continue;
                }
                let Some(network) = ctx.network(value, true) else { continue };
                ctx.model.values.insert((name, network.to_string()), value.span);
                networks.insert(network.to_string());
            }
            ctx.model.profile.trusted_networks = networks.into_iter().collect();
        }
        _ => {
            let place = Place::Mailboxes { groups: false };
            let mailboxes: Vec<_> = values.into_iter().filter_map(|v| ctx.mailbox_at(v, place)).collect();
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

pub(super) fn relay_domains(ctx: &mut Context<'_>, domains: &[ast::RelayDomain]) {
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
        if ctx.names_set(&of_word(&entry.domain), Place::Setting("relay-domains")) {
            continue;
        }
        let Some(domain) = ctx.one_domain(&entry.domain) else { continue };
        if out.iter().any(|known| known.domain == domain.as_str()) {
            twice(ctx, "relay-domains", domain.as_str(), &entry.domain);
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
pub(super) fn exceptions(ctx: &mut Context<'_>, entries: &Entries) -> Vec<String> {
    let mut out = BTreeSet::new();
    for entry in &entries.entries {
        if let Entry::Value(value) = entry
            && !ctx.names_set(value, Place::Exceptions)
            && let Some(pattern) = ctx.pattern(value, Bare::Entry)
        {
            // A bare name is no address here, as in lists: it was taken for a host of that name.
            out.insert(pattern.key());
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
