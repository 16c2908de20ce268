//! Expands aliases through groups and aliases, and refuses cycles and what grows without bound.
//!
//! A member is looked up as mail is (exact, without `+ext`, bare name at a local domain), but not under
//! a catch-all: what somebody wrote by name is that mailbox, the catch-all is for what nobody wrote. An
//! alias that names itself also delivers to its mailbox. `+ext` is not passed on.

use crate::diag::Diagnostic;
use crate::model::{AliasDef, AliasKey, Mailbox, Member, Model};
use edict_table::model::{Alias, Sublist};
use edict_table::value::Address;
use std::collections::{BTreeMap, HashMap};

/// The most final addresses of one alias.
pub const MAX_MEMBERS: usize = 10_000;
/// The most final addresses of all aliases together.
pub const MAX_ALL: usize = 4_000_000;
/// The longest chain of aliases.
pub const MAX_CHAIN: usize = 100;

/// A final address: its place in `mailboxes`, and the owner of the list behind which it stands, if any.
type Reached<'a> = (usize, Option<&'a str>);

enum State<'a> {
    Todo,
    Active,
    Done(Vec<Reached<'a>>),
    Failed,
}

struct Expansion<'a> {
    model: &'a Model,
    exact: HashMap<&'a str, usize>,
    bare: HashMap<&'a str, usize>,
    mailboxes: Vec<&'a Mailbox>,
    states: Vec<State<'a>>,
    path: Vec<usize>,
    total: usize,
    diagnostics: Vec<Diagnostic>,
}

/// Expands every alias. Those in a cycle or behind one are left out, each cycle is told once.
pub fn expand(model: &Model, diagnostics: &mut Vec<Diagnostic>) -> Vec<Alias> {
    let mut exact = HashMap::new();
    let mut bare = HashMap::new();
    for (place, alias) in model.aliases.iter().enumerate() {
        match &alias.key {
            AliasKey::Exact(address) => drop(exact.insert(address.as_str(), place)),
            AliasKey::Bare(local) => drop(bare.insert(local.as_str(), place)),
            AliasKey::CatchAll(_) => {}
        }
    }
    let mut run = Expansion {
        model,
        exact,
        bare,
        mailboxes: Vec::new(),
        states: model.aliases.iter().map(|_| State::Todo).collect(),
        path: Vec::new(),
        total: 0,
        diagnostics: Vec::new(),
    };
    // By name, so that of a cycle always the same member is told.
    let mut order: Vec<usize> = (0..model.aliases.len()).collect();
    order.sort_by_cached_key(|place| model.aliases.get(*place).map(|a| a.key.name()));
    for place in order {
        run.visit(place);
    }
    run.postmaster();
    let out = run.finish();
    diagnostics.append(&mut run.diagnostics);
    out
}

impl<'a> Expansion<'a> {
    fn visit(&mut self, place: usize) {
        let (Some(State::Todo), Some(alias)) = (self.states.get(place), self.model.aliases.get(place)) else {
            return;
        };
        if self.path.len() >= MAX_CHAIN {
            let text = format!(
                "alias `{}` stands at the end of a chain of more than {MAX_CHAIN} aliases",
                alias.key.name()
            );
            self.diagnostics.push(
                Diagnostic::error("E1602", text, alias.span).label("the chain is too long here").help(
                    match self.path.first().and_then(|p| self.model.aliases.get(*p)) {
                        Some(first) => format!(
                            "let `{}`, where the chain begins, name its final members itself",
                            first.key.name()
                        ),
                        None => "let the first alias name its final members itself".to_owned(),
                    },
                ),
            );
            self.set(place, State::Failed);
            return;
        }
        self.set(place, State::Active);
        self.path.push(place);
        let result = self.members(place, alias);
        self.path.pop();
        self.set(place, result.map_or(State::Failed, State::Done));
    }

    fn set(&mut self, place: usize, state: State<'a>) {
        if let Some(slot) = self.states.get_mut(place) {
            *slot = state;
        }
    }

    /// The final addresses of one alias; none where it cannot be expanded. What is reached both directly and
    /// through a list is reached directly.
    fn members(&mut self, place: usize, alias: &'a AliasDef) -> Option<Vec<Reached<'a>>> {
        let mut out: Vec<Reached<'a>> = Vec::new();
        let mut seen: HashMap<&'a Address, usize> = HashMap::new();
        let mut add = |out: &mut Vec<Reached<'a>>, address: &'a Address, reached: Reached<'a>| match seen
            .get(address)
            .and_then(|at| out.get_mut(*at))
        {
            Some(have) if reached.1.is_none() => have.1 = None,
            Some(_) => {}
            None => {
                seen.insert(address, out.len());
                out.push(reached);
            }
        };
        let mut sound = true;
        for member in &alias.members {
            let model = self.model;
            let mailboxes: &[Mailbox] = match member {
                Member::Mailbox(mailbox) => std::slice::from_ref(mailbox),
                Member::Group(group) => model.groups.get(*group).map_or(&[], |g| &g.members),
            };
            for mailbox in mailboxes {
                match self.find(&mailbox.address) {
                    Some(next) if next != place => {
                        self.visit(next);
                        let owner = model.aliases.get(next).and_then(|list| list.owner.as_ref());
                        let owner = owner.map(|owner| owner.wire.as_str());
                        match self.states.get(next) {
                            Some(State::Done(inner)) => {
                                for (at, nearer) in inner {
                                    if let Some(mailbox) = self.mailboxes.get(*at) {
                                        add(&mut out, &mailbox.address, (*at, nearer.or(owner)));
                                    }
                                }
                            }
                            Some(State::Active) => {
                                self.cycle(next);
                                sound = false;
                            }
                            _ => sound = false,
                        }
                    }
                    _ => {
                        add(&mut out, &mailbox.address, (self.mailboxes.len(), None));
                        self.mailboxes.push(mailbox);
                    }
                }
                if out.len() > MAX_MEMBERS {
                    self.too_large(alias);
                    return None;
                }
            }
        }
        sound.then_some(out)
    }

    fn find(&self, address: &Address) -> Option<usize> {
        let profile = &self.model.profile;
        let local = profile.local_domains.binary_search_by(|d| d.as_str().cmp(address.domain())).is_ok();
        let inside = local || profile.relay_domains.iter().any(|d| d.domain == address.domain());
        let short = if inside { address.without_extension() } else { None };
        let tries = [Some(address), short.as_ref()];
        let exact = tries.iter().flatten().find_map(|a| self.exact.get(a.as_str()));
        let bare = || tries.iter().flatten().find_map(|a| self.bare.get(a.local()));
        exact.or_else(|| if local { bare() } else { None }).copied()
    }

    /// Whether an alias of a whole address takes what a bare name would: with its extension or without.
    fn is_nearer(&self, key: &str) -> bool {
        let short = || Address::parse(key).ok().and_then(|address| address.without_extension());
        self.exact.contains_key(key) || short().is_some_and(|short| self.exact.contains_key(short.as_str()))
    }

    fn too_large(&mut self, alias: &AliasDef) {
        let text = format!("alias `{}` expands to more than {MAX_MEMBERS} addresses", alias.key.name());
        self.diagnostics.push(
            Diagnostic::error("E1602", text, alias.span)
                .label("too many final addresses")
                .help("one message would leave that often; a mailing list manager is made for this"),
        );
    }

    /// Tells the cycle that the path closes by coming to `back` again.
    fn cycle(&mut self, back: usize) {
        let from = self.path.iter().position(|p| *p == back).unwrap_or(0);
        let round: Vec<&AliasDef> =
            self.path.iter().skip(from).filter_map(|p| self.model.aliases.get(*p)).collect();
        let Some((first, rest)) = round.split_first() else { return };
        let names: Vec<String> =
            round.iter().chain(std::iter::once(first)).map(|a| format!("`{}`", a.key.name())).collect();
        let text = format!("aliases lead in a circle: {}", names.join(" to "));
        let mut diagnostic = Diagnostic::error("E1601", text, first.span)
            .label("the circle starts here")
            .help(format!(
                "break it: take the member that leads to `{}` out of `{}`, for example; an alias may name itself to keep a copy in its own mailbox",
                first.key.name(),
                round.last().unwrap_or(first).key.name()
            ));
        for (from, to) in round.iter().zip(rest.iter().chain(std::iter::once(first))) {
            // Where the member is not written as the alias is, say how the two meet.
            let member = from.members.iter().find_map(|member| match member {
                Member::Mailbox(mailbox)
                    if self
                        .find(&mailbox.address)
                        .and_then(|p| self.model.aliases.get(p))
                        .is_some_and(|a| std::ptr::eq(a, *to)) =>
                {
                    Some(mailbox)
                }
                _ => None,
            });
            if let Some(mailbox) = member
                && mailbox.address.local().contains('+')
                && !to.key.name().contains('+')
            {
                diagnostic = diagnostic.also(
                    mailbox.span,
                    format!("leads to `{}`, since what follows `+` does not count", to.key.name()),
                );
            }
        }
        for other in rest {
            diagnostic = diagnostic.also(other.span, "and goes through here");
        }
        self.diagnostics.push(diagnostic);
    }

    /// Tells an alias that brings mail for postmaster back to it: it would end in a mailbox that nobody reads.
    fn postmaster(&mut self) {
        let model = self.model;
        let redirected = |address: &Address| matches!(address.local(), "postmaster" | "mailer-daemon");
        for named in &model.profile.postmaster {
            let Ok(address) = Address::parse(named) else { continue };
            let place = if redirected(&address) { None } else { self.find(&address) };
            let Some(alias) = place.and_then(|place| model.aliases.get(place)) else { continue };
            let Some(State::Done(reached)) = place.and_then(|place| self.states.get(place)) else { continue };
            let back = reached.iter().filter_map(|(at, _)| self.mailboxes.get(*at)).find(|mailbox| {
                redirected(&mailbox.address)
                    && model.profile.local_domains.iter().any(|d| d == mailbox.address.domain())
            });
            let Some(back) = back.map(|mailbox| mailbox.wire.as_str()) else { continue };
            let span = model.values.get(&("postmaster", named.clone())).copied().unwrap_or(alias.span);
            self.diagnostics.push(
                Diagnostic::error("E1207", format!("mail for `{back}` would come back to `{back}`"), span)
                    .label(format!("gets it by this setting, and is an alias that leads to `{back}`"))
                    .also(alias.span, "the alias")
                    .help(format!("name the mailbox of a person, or take `{back}` out of the alias")),
            );
        }
    }

    fn finish(&mut self) -> Vec<Alias> {
        let mut out: BTreeMap<String, Alias> = BTreeMap::new();
        for (alias, state) in self.model.aliases.iter().zip(&self.states) {
            let State::Done(members) = state else { continue };
            let keys: Vec<String> = match &alias.key {
                AliasKey::Exact(address) => vec![address.as_str().to_owned()],
                AliasKey::CatchAll(domain) => vec![format!("@{domain}")],
                AliasKey::Bare(local) => self
                    .model
                    .profile
                    .local_domains
                    .iter()
                    .map(|domain| format!("{local}@{domain}"))
                    .filter(|key| !self.is_nearer(key))
                    .collect(),
            };
            self.total += members.len() * keys.len();
            if self.total > MAX_ALL {
                let text = format!("all aliases together expand to more than {MAX_ALL} addresses");
                self.diagnostics.push(
                    Diagnostic::error("E1602", text, alias.span)
                        .label("the bound is passed here")
                        .help("name groups of readers in fewer aliases"),
                );
                break;
            }
            for key in keys {
                let mut made = Alias {
                    key: key.clone(),
                    members: Vec::new(),
                    owner: alias.owner.as_ref().map(|m| m.wire.clone()),
                    lists: Vec::new(),
                    may_send: may_send(self.model, alias),
                };
                for (at, owner) in members {
                    let Some(mailbox) = self.mailboxes.get(*at) else { continue };
                    let Some(owner) = owner else {
                        made.members.push(mailbox.wire.clone());
                        continue;
                    };
                    match made.lists.iter_mut().find(|list| list.owner == *owner) {
                        Some(list) => list.members.push(mailbox.wire.clone()),
                        None => made.lists.push(Sublist {
                            owner: (*owner).to_owned(),
                            members: vec![mailbox.wire.clone()],
                        }),
                    }
                }
                out.insert(key, made);
            }
        }
        out.into_values().collect()
    }
}

fn may_send(model: &Model, alias: &AliasDef) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for member in &alias.may_send {
        match member {
            Member::Mailbox(mailbox) => out.push(mailbox.address.as_str().to_owned()),
            Member::Group(group) => {
                let members = model.groups.get(*group).map_or(&[][..], |g| &g.members);
                out.extend(members.iter().map(|m| m.address.as_str().to_owned()));
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}
