//! Groups and aliases as written. Groups are opened here; aliases are expanded by `check`.

use super::Context;
use super::named::Place;
use super::names::Sort;
use super::value::{Bare, of_word};
use crate::ast::{self, Class, Entry};
use crate::data::{Target, parse_aliases, target};
use crate::diag::Diagnostic;
use crate::model::{AliasDef, AliasKey, GroupDef, Mailbox, Member};
use crate::span::{FileId, Span};
use edict_table::value::address::parse_local;
use edict_table::value::{Address, Pattern, fold};
use std::collections::{HashMap, HashSet};

/// The deepest nesting of groups.
const MAX_NESTING: usize = 50;
/// Where members stand.
const MEMBERS: Place<'static> = Place::Mailboxes { groups: true };

/// Resolves all groups: names first, then each with the groups within it.
pub fn groups(ctx: &mut Context<'_>, groups: &[&ast::Group]) {
    let (mut kept, mut again): (Vec<&ast::Group>, Vec<&ast::Group>) = (Vec::new(), Vec::new());
    for group in groups {
        if ctx.define(Sort::Group, &group.name.value, group.name.span, kept.len()) {
            kept.push(group);
        } else {
            again.push(group);
        }
    }
    // Of a second group of one name nothing is kept, but its mistakes are told.
    for entry in again.iter().flat_map(|group| &group.members).flat_map(|m| &m.entries) {
        match entry {
            Entry::Value(value) => drop(ctx.mailbox_at(value, MEMBERS)),
            Entry::Group(name) => drop(ctx.find(Sort::Group, name)),
        }
    }
    // Places in the model are places in `kept`.
    let mut own: Vec<Vec<Mailbox>> = Vec::new();
    let mut inner: Vec<Vec<usize>> = Vec::new();
    let mut faulty: HashSet<usize> = HashSet::new();
    for group in &kept {
        let before = ctx.errors();
        let (mut members, mut groups) = (Vec::new(), Vec::new());
        for entry in group.members.iter().flat_map(|m| &m.entries) {
            match entry {
                Entry::Value(value) => members.extend(ctx.mailbox_at(value, MEMBERS)),
                Entry::Group(name) => groups.extend(ctx.find(Sort::Group, name).map(|g| (g, name.span))),
            }
        }
        if ctx.errors() > before || groups.len() < group_entries(group) {
            ctx.poison(Sort::Group, &group.name.value);
            faulty.insert(own.len());
        }
        own.push(members);
        inner.push(groups.into_iter().map(|(g, _)| g).collect());
    }
    let mut told: HashSet<usize> = HashSet::new();
    let mut deep = false;
    for (place, group) in kept.iter().enumerate() {
        let mut opened = Opened::default();
        open(place, &own, &inner, &mut opened, &mut |path, back| {
            let round: Vec<usize> = path.iter().copied().skip_while(|p| *p != back).collect();
            if round.iter().any(|p| told.contains(p)) {
                return;
            }
            told.extend(&round);
            let names: Vec<String> = round
                .iter()
                .chain(std::iter::once(&back))
                .filter_map(|p| kept.get(*p))
                .map(|g| format!("`{}`", g.name.value))
                .collect();
            let mut diagnostic = Diagnostic::error(
                "E1501",
                format!("groups lead in a circle: {}", names.join(" to ")),
                kept.get(back).map_or(group.name.span, |g| g.name.span),
            )
            .label("the circle starts here")
            .help(match names.get(names.len().saturating_sub(2)) {
                Some(last) => format!(
                    "take `group {}` out of the members of {last}, or break the circle elsewhere",
                    kept.get(back).map_or("", |g| g.name.value.as_str())
                ),
                None => "take one group out of the members of the next".to_owned(),
            });
            for other in round.iter().filter(|p| **p != back).filter_map(|p| kept.get(*p)) {
                diagnostic = diagnostic.also(other.name.span, "and goes through here");
            }
            ctx.report(diagnostic);
        });
        if opened.too_deep {
            // Whatever leads here is as deep: one message says it for all of them.
            if !std::mem::replace(&mut deep, true) {
                let text =
                    format!("groups are nested more than {MAX_NESTING} deep below `{}`", group.name.value);
                ctx.report(
                    Diagnostic::error("E1503", text, group.name.span)
                        .label("the outermost of them")
                        .help("name the members of the inner groups in fewer groups"),
                );
            }
            ctx.poison(Sort::Group, &group.name.value);
            faulty.insert(place);
        }
        let members = opened.members;
        if group.broken || group.members.is_none() || told.contains(&place) {
            ctx.poison(Sort::Group, &group.name.value);
        } else if members.is_empty() && !faulty.contains(&place) {
            ctx.report(
                Diagnostic::error(
                    "E1502",
                    format!("group `{}` has no members", group.name.value),
                    group.name.span,
                )
                .label("nobody is in it")
                .help("write its members: `[ann@example.com]`, or take the group out"),
            );
            ctx.poison(Sort::Group, &group.name.value);
        }
        ctx.model.groups.push(GroupDef {
            name: group.name.value.clone(),
            members,
            span: group.name.span,
            // What a group names is used: whether that group is, its own warning says.
            used: inner.iter().enumerate().any(|(other, groups)| other != place && groups.contains(&place)),
        });
    }
}

fn group_entries(group: &ast::Group) -> usize {
    let entries = group.members.iter().flat_map(|m| &m.entries);
    entries.filter(|entry| matches!(entry, Entry::Group(_))).count()
}

/// What opening one group has come to.
#[derive(Default)]
struct Opened {
    path: Vec<usize>,
    seen: HashSet<usize>,
    have: HashSet<Address>,
    members: Vec<Mailbox>,
    /// Something within was not opened.
    too_deep: bool,
}

fn open(
    place: usize,
    own: &[Vec<Mailbox>],
    inner: &[Vec<usize>],
    out: &mut Opened,
    cycle: &mut dyn FnMut(&[usize], usize),
) {
    if out.path.contains(&place) {
        cycle(&out.path, place);
        return;
    }
    if out.seen.contains(&place) {
        return;
    }
    if out.path.len() >= MAX_NESTING {
        out.too_deep = true;
        return;
    }
    out.seen.insert(place);
    out.path.push(place);
    for mailbox in own.get(place).into_iter().flatten() {
        if out.have.insert(mailbox.address.clone()) {
            out.members.push(mailbox.clone());
        }
    }
    for group in inner.get(place).into_iter().flatten() {
        open(*group, own, inner, out, cycle);
    }
    out.path.pop();
}

/// Members of `[…]`: addresses, bare names, groups. None where one was wrong.
pub fn members(ctx: &mut Context<'_>, entries: &ast::Entries) -> Option<Vec<Member>> {
    let mut out = Vec::new();
    let mut sound = true;
    for entry in &entries.entries {
        let member = match entry {
            Entry::Value(value) => special(ctx, &value.text, value.span)
                .then(|| ctx.mailbox_at(value, MEMBERS))
                .flatten()
                .map(Member::Mailbox),
            Entry::Group(name) => ctx.find(Sort::Group, name).map(|place| {
                if let Some(group) = ctx.model.groups.get_mut(place) {
                    group.used = true;
                }
                Member::Group(place)
            }),
        };
        sound &= member.is_some();
        out.extend(member);
    }
    sound.then_some(out)
}

/// Tells what aliases(5) can say and Edict cannot. False where it did.
fn special(ctx: &mut Context<'_>, text: &str, span: Span) -> bool {
    let (what, help) = match target(text) {
        Target::Address => return true,
        Target::Command => {
            ("a command", "name a mailbox, and run the command where that mailbox is delivered")
        }
        Target::File => ("a file", "name a mailbox; the server of that mailbox can write files"),
        Target::Include => (
            "an include",
            "write the addresses of that file here, or make a `group` of them and an `alias` to it in a rule file",
        ),
    };
    ctx.report(
        Diagnostic::error(
            "E1606",
            format!("`{text}` is {what}, and aliases deliver to addresses only"),
            span,
        )
        .label("not taken")
        .help(help),
    );
    false
}

/// Resolves one alias.
pub fn alias(ctx: &mut Context<'_>, alias: &ast::Alias) {
    let key = key(ctx, &alias.address.value, alias.address.span);
    let found = alias.members.as_ref().and_then(|entries| members(ctx, entries));
    let owner = match &alias.owner {
        Some(word) => ctx.mailbox_at(&of_word(word), Place::Mailboxes { groups: false }).map(Some),
        None => Some(None),
    };
    let may_send = match &alias.may_send {
        Some(entries) => members(ctx, entries),
        None => Some(Vec::new()),
    };
    let (Some(key), Some(members), Some(owner), Some(may_send), false) =
        (&key, found, owner, may_send, alias.broken)
    else {
        ctx.left_out.extend(key.map(|key| (key.name(), alias.address.span)));
        return;
    };
    let key = key.clone();
    push(ctx, key, members, owner, may_send, alias.address.span);
}

fn push(
    ctx: &mut Context<'_>,
    key: AliasKey,
    members: Vec<Member>,
    owner: Option<Mailbox>,
    may_send: Vec<Member>,
    span: Span,
) {
    if members.is_empty() {
        ctx.left_out.push((key.name(), span));
        ctx.report(
            Diagnostic::error("E1603", format!("alias `{}` has no members", key.name()), span)
                .label("its mail would go nowhere")
                .help("write its members, or take the alias out; to drop mail write a `discard` rule"),
        );
        return;
    }
    ctx.model.aliases.push(AliasDef { key, members, owner, may_send, span });
}

/// What an alias stands for: an address, `@domain`, or a bare name at every local domain.
fn key(ctx: &mut Context<'_>, text: &str, span: Span) -> Option<AliasKey> {
    let word = ast::Value { text: text.to_owned(), class: Class::Word, span };
    if ctx.left_out("E1110", &word, |_| {
        "take the whole entry out: an address that is not named has no alias".to_owned()
    }) {
        return None;
    }
    if !text.contains('@') {
        if ctx.is_client(text, span) {
            return None;
        }
        if parse_local(text).is_err() {
            ctx.report(
                Diagnostic::error("E1110", format!("`{text}` is no address"), span)
                    .label("an alias stands for an address")
                    .help("write `sales@example.com`, `@example.com`, or a bare name for every local domain"),
            );
            return None;
        }
        if ctx.model.first_local.is_none() {
            if ctx.hangs_on("local-domains") {
                return None;
            }
            ctx.report(
                Diagnostic::error(
                    "E1604",
                    format!("`{text}` has no domain, and there is no local domain to add"),
                    span,
                )
                .label("a bare name stands for an address at every local domain")
                .help(format!("write `{text}@example.com`, or set `local-domains` in the profile")),
            );
            return None;
        }
        if ctx.seems_domain(text) {
            ctx.report(
                Diagnostic::warning(
                    "W0217",
                    format!("`{text}` looks like a domain, and is taken for a name"),
                    span,
                )
                .label(format!("stands for `{text}@` at every local domain"))
                .help(format!("write `@{text}` for every address there, or the whole address that is meant")),
            );
        }
        return Some(AliasKey::Bare(fold(text).into_owned()));
    }
    let pattern = ctx.pattern(&word, Bare::Entry)?;
    let domain = match &pattern {
        Pattern::Exact(address) => address.domain().to_owned(),
        Pattern::Domain(domain) => domain.as_str().to_owned(),
        Pattern::Subdomains(_) | Pattern::Local(_) => {
            ctx.report(
                Diagnostic::error("E1607", format!("an alias cannot stand for `{text}`"), span)
                    .label("neither one address nor one domain")
                    .help("write `sales@example.com`, or `@example.com` for what no other alias takes"),
            );
            return None;
        }
    };
    let target = ctx.model.profile.domain_aliases.iter().find(|(from, _)| *from == domain);
    if let Some((from, to)) = target {
        let text = format!("mail for `{from}` is taken as mail for `{to}` before aliases are looked up");
        let diagnostic = Diagnostic::error("E1608", text, span)
            .label("this alias would never be asked")
            .help(format!("write the alias at `{to}`, or take `{from}` out of `domain-aliases`"));
        ctx.report(diagnostic);
        return None;
    }
    Some(match pattern {
        Pattern::Exact(address) => AliasKey::Exact(address),
        Pattern::Domain(domain) => AliasKey::CatchAll(domain),
        Pattern::Subdomains(_) | Pattern::Local(_) => return None,
    })
}

/// Resolves an aliases(5) file.
pub fn file(ctx: &mut Context<'_>, file: FileId, item: &ast::Aliases) {
    let Some(file) = ctx.data_file(file, &item.path) else { return };
    let (aliases, diagnostics) = parse_aliases(ctx.sources.bytes(file), file);
    ctx.extend(diagnostics);
    for entry in aliases {
        let key = key(ctx, &entry.name.value, entry.name.span);
        let mut members = Vec::new();
        let mut sound = !entry.broken;
        for word in &entry.targets {
            let mailbox = special(ctx, &word.value, word.span).then(|| ctx.mailbox(&of_word(word))).flatten();
            sound &= mailbox.is_some();
            members.extend(mailbox.map(Member::Mailbox));
        }
        match key {
            Some(key) if sound => push(ctx, key, members, None, Vec::new(), entry.name.span),
            key => ctx.left_out.extend(key.map(|key| (key.name(), entry.name.span))),
        }
    }
}

/// Tells aliases that are defined twice; the first stays.
pub fn unique(ctx: &mut Context<'_>) {
    let mut all = std::mem::take(&mut ctx.left_out);
    all.extend(ctx.model.aliases.iter().map(|alias| (alias.key.name(), alias.span)));
    all.sort_by_key(|(_, span)| *span);
    let mut first: HashMap<&str, Span> = HashMap::with_capacity(all.len());
    let mut again: HashSet<Span> = HashSet::new();
    let mut diagnostics = Vec::new();
    for (name, span) in &all {
        match first.get(name.as_str()) {
            Some(one) => {
                again.insert(*span);
                diagnostics.push(
                    Diagnostic::error("E1102", format!("alias `{name}` is defined twice"), *span)
                        .label("the second definition")
                        .also(*one, "the first one")
                        .help("put the members of both into one"),
                );
            }
            None => drop(first.insert(name, *span)),
        }
    }
    ctx.model.aliases.sort_by_key(|alias| alias.span);
    ctx.model.aliases.retain(|alias| !again.contains(&alias.span));
    ctx.extend(diagnostics);
}
