//! Whom an address stands for: aliases, the postmaster setting, users, senders that forwarding rewrote.
//!
//! One lookup for mail that comes in, copies and notices, so that all of them agree. A catch-all takes only what
//! nobody else has: users and the lists of known recipients are asked before it, and an address that a rule
//! names is never caught. Aliases were expanded at compile time; nothing here follows a chain.

pub mod srs;

use crate::users::Users;
use crate::verdict::inside::has_mailbox;
use arc_swap::ArcSwap;
use edict_table::load::Loaded;
use edict_table::model::Alias;
use edict_table::value::{Address, Domain};
use srs::Srs;
use std::sync::Arc;

/// The users in force and the secret of rewritten senders; cheap to clone.
#[derive(Clone, Debug)]
pub struct Directory {
    users: Arc<ArcSwap<Users>>,
    srs: Srs,
}

/// Whom an alias reaches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member<'a> {
    /// On the wire.
    pub wire: String,
    /// In policy form.
    pub address: Address,
    /// The owner who answers for it: of the alias, or of the list through which the alias reaches it.
    pub owner: Option<&'a str>,
}

impl Directory {
    /// Over the users in force.
    #[must_use]
    pub fn new(users: Arc<ArcSwap<Users>>, srs: Srs) -> Self {
        Self { users, srs }
    }

    /// Without any user, for those who only rehearse.
    #[must_use]
    pub fn offline() -> Self {
        Self::new(Arc::default(), Srs::new(b"rehearsal"))
    }

    /// The same senders, other users.
    #[must_use]
    pub fn with_users(self, users: Arc<ArcSwap<Users>>) -> Self {
        Self { users, ..self }
    }

    /// Rewrites senders.
    #[must_use]
    pub fn srs(&self) -> &Srs {
        &self.srs
    }

    /// Whom mail for an address reaches, each once; none where it stands for itself.
    #[must_use]
    pub fn members<'a>(&self, table: &'a Loaded, address: &Address) -> Option<Vec<Member<'a>>> {
        let alias = table.alias(address);
        members(
            table,
            address,
            alias.filter(|alias| !is_catch_all(alias) || !self.is_somebody(table, address)),
        )
    }

    fn is_somebody(&self, table: &Loaded, address: &Address) -> bool {
        has_mailbox(table, &self.users.load(), address)
    }

    /// Where a notice for this author goes: address on the wire, and whether it is inside. A sender that
    /// forwarding rewrote leads back to whom it stands for.
    #[must_use]
    pub fn authors(&self, table: &Loaded, wire: &str, author: &Address, now: i64) -> Vec<(String, bool)> {
        let back = if table.is_local(author.domain()) { self.srs.back(wire, now) } else { None };
        let back = back.and_then(|wire| Some((Address::parse(&wire).ok()?, wire)));
        let (address, wire) =
            back.as_ref().map_or((author, wire), |(address, wire)| (address, wire.as_str()));
        let own = || vec![alone(wire.to_owned(), address.clone())];
        let all = self.members(table, address).unwrap_or_else(own);
        all.into_iter().map(|member| (member.wire, table.is_inside(member.address.domain()))).collect()
    }

    /// Who gets a copy of each notice beside its author: address on the wire, and whether it is inside.
    #[must_use]
    pub fn notice_copies(&self, table: &Loaded) -> Vec<(String, bool)> {
        let parsed = table.profile().notice_copies.iter().filter_map(|text| parse(table, text));
        parsed
            .flat_map(|(wire, address)| named(table, &wire, &address))
            .map(|(wire, _, inside)| (wire, inside))
            .collect()
    }
}

fn is_catch_all(alias: &Alias) -> bool {
    alias.key.starts_with('@')
}

/// Expands an address that a rule names: the final addresses with their wire form and whether they are inside.
/// Wire and policy form of an address that no alias changes stay as they are. No catch-all takes it: who writes
/// an address down means that mailbox.
#[must_use]
pub fn named(table: &Loaded, wire: &str, address: &Address) -> Vec<(String, Address, bool)> {
    let alias = table.alias(address).filter(|alias| !is_catch_all(alias));
    let all = members(table, address, alias).unwrap_or_else(|| vec![alone(wire.to_owned(), address.clone())]);
    all.into_iter()
        .map(|member| {
            let inside = table.is_inside(member.address.domain());
            (member.wire, member.address, inside)
        })
        .collect()
}

fn alone<'a>(wire: String, address: Address) -> Member<'a> {
    Member { wire, address, owner: None }
}

fn members<'a>(table: &Loaded, address: &Address, alias: Option<&'a Alias>) -> Option<Vec<Member<'a>>> {
    let named = |alias: &Alias| alias.key == address.as_str();
    // A rule that names postmaster@ itself is nearer than the setting; a catch-all is not.
    if !alias.is_some_and(named)
        && let Some(postmasters) = postmasters(table, address)
    {
        return Some(postmasters.into_iter().map(|(wire, address)| alone(wire, address)).collect());
    }
    let alias = alias?;
    let members: Vec<Member<'a>> = alias
        .all()
        .filter_map(|(text, owner)| {
            let (wire, address) = parse(table, text)?;
            Some(Member { wire, address, owner })
        })
        .collect();
    if members.is_empty() {
        tracing::error!(alias = %alias.key, "no member of an alias can be read: delivering to the address itself");
        return None;
    }
    Some(members)
}

/// The addresses of the profile that get mail for postmaster and mailer-daemon of local domains.
fn postmasters(table: &Loaded, address: &Address) -> Option<Vec<(String, Address)>> {
    let served = is_postmaster(address) && table.is_local(address.domain());
    if !served || table.profile().postmaster.is_empty() {
        return None;
    }
    let mut out = Vec::new();
    for text in &table.profile().postmaster {
        let Some((wire, member)) = parse(table, text) else { continue };
        // One step of aliases only, and none for a postmaster address: no circle.
        let alias = table.alias(&member).filter(|alias| !is_postmaster(&member) && !is_catch_all(alias));
        match alias {
            Some(alias) => out.extend(alias.all().filter_map(|(text, _)| parse(table, text))),
            None => out.push((wire, member)),
        }
    }
    if out.is_empty() { None } else { Some(out) }
}

fn is_postmaster(address: &Address) -> bool {
    matches!(address.local(), "postmaster" | "mailer-daemon")
}

/// An address of a rule on the wire and in policy form, a domain alias replaced by what it stands for.
#[must_use]
pub fn parse(table: &Loaded, text: &str) -> Option<(String, Address)> {
    let address = Address::parse(text).ok()?;
    let aliases = &table.profile().domain_aliases;
    let Some((_, real)) = aliases.iter().find(|(alias, _)| alias == address.domain()) else {
        return Some((text.to_owned(), address));
    };
    let domain = Domain::parse(real).ok()?;
    let (local, _) = text.rsplit_once('@')?;
    Some((format!("{local}@{domain}"), Address::new(address.local(), &domain)))
}
