//! The settings that say which recipients exist: they name lists, and so come once those are known.

use super::profiles;
use crate::ast::{self, Ast, SettingValue, Spanned};
use crate::diag::Diagnostic;
use crate::model::ListType;
use crate::resolve::Context;
use edict_table::model::Recipients;
use edict_table::value::Pattern;
use std::collections::BTreeSet;

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
