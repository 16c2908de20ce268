//! Which senders a login may write, by `sender-must`: what the daemon refuses at MAIL no rule decides about.

use super::envelope::{asks_sender, own_sender};
use super::facts::{narrow_sender, sender_claims};
use super::mailbox::{self, Claims, lists};
use super::region::is_inside;
use super::shape::Shape;
use super::{Answer, Keys, Part, Space, author, text};
use crate::prove::world::World;
use edict_table::model::{SenderMust, Test};
use edict_table::owner::{may_send_as, real_address};
use edict_table::value::{Address, Domain, fold};
use std::collections::{BTreeMap, BTreeSet};

/// The most logins of a list for which a sender is looked for, and the most that are looked at to find these.
const MAX_LOGINS: usize = 64;
const MAX_LOOKS: usize = 5_000;
/// The most senders for which a login is looked for.
const MAX_SENDERS: usize = 8;

/// The keys of the aliases that each login owns.
pub(super) type Owners = BTreeMap<String, Vec<String>>;

/// Whether the daemon takes this sender from this login. `<>` anybody may send.
pub(super) fn may_send(space: &Space<'_>, login: &str, sender: Option<&Address>) -> bool {
    let Some(sender) = sender else { return true };
    space.table.profile.sender_must == SenderMust::BeAnything
        || space.loaded().is_some_and(|table| may_send_as(table, &fold(login), sender))
}

/// The address that is a login's before all others.
pub(super) fn home(space: &Space<'_>, login: &str) -> Option<Address> {
    let local = || Domain::parse(space.table.profile.local_domains.first()?).ok();
    Address::parse(login).ok().or_else(|| Some(Address::new(login, &local()?)))
}

/// A login, and with it a sender and an author in the message, that the daemon takes together.
pub(super) fn pair<'t>(
    space: &Space<'t>,
    part: &Part<'t>,
    (yes, no): (&[&'t Test], &[&'t Test]),
    world: &mut World,
) -> Answer<String> {
    let fits = |login: &str| {
        let passes = |t: &&Test| text::passes(space, t, login);
        yes.iter().all(passes) && !no.iter().any(passes)
    };
    if let Some(list) = lists(yes).map(|list| space.keys(list)).min_by_key(|keys| keys.len()) {
        let mut open = list.len() > MAX_LOOKS;
        for (seen, login) in list.iter().take(MAX_LOOKS).filter(|login| fits(login)).enumerate() {
            if seen >= MAX_LOGINS {
                return Answer::Unknown;
            }
            match with_login(space, part, login, world) {
                Answer::Found(()) => return Answer::Found(login.to_owned()),
                Answer::Impossible => {}
                Answer::Unknown => open = true,
            }
        }
        return if open { Answer::Unknown } else { Answer::Impossible };
    }
    let mut tried = BTreeSet::new();
    let mut first = |login: &String, world: &mut World| {
        fits(login)
            && tried.insert(login.clone())
            && with_login(space, part, login, world) == Answer::Found(())
    };
    // Whose From it is.
    let authors: Vec<String> = world.header.from.iter().flat_map(|from| logins(space, from)).collect();
    if let Some(login) = authors.into_iter().find(|login| first(login, world)) {
        return Answer::Found(login);
    }
    let mut refused = BTreeSet::new();
    for _ in 0..MAX_SENDERS {
        let keys = Keys::Own(refused.iter().cloned().collect());
        let without = if refused.is_empty() { Vec::new() } else { vec![&keys] };
        let claims = Claims { own: (Vec::new(), without), ..sender_claims(part) };
        match narrow_sender(space, part, claims, world) {
            Answer::Found(()) => {}
            Answer::Impossible if refused.is_empty() => return Answer::Impossible,
            // Of those that were refused, extensions are left out, too.
            Answer::Impossible | Answer::Unknown => break,
        }
        let Some(sender) = world.sender.clone() else { break };
        let mut own = logins(space, &sender).into_iter();
        if let Some(login) = own.find(|login| fits(login) && author::writes(space, part, login, world)) {
            return Answer::Found(login);
        }
        refused.insert(sender.to_string());
    }
    let made = made(space, part, (yes, no));
    if let Some(login) = made.into_iter().find(|login| first(login, world)) {
        return Answer::Found(login);
    }
    let all = space.owners.get_or_init(|| owners(space)).keys().take(MAX_LOOKS);
    match all.filter(|login| fits(login)).take(MAX_LOGINS).find(|login| first(login, world)) {
        Some(login) => Answer::Found(login.clone()),
        None => Answer::Unknown,
    }
}

/// A sender and an author that the daemon takes from this login.
fn with_login<'t>(space: &Space<'t>, part: &Part<'t>, login: &str, world: &mut World) -> Answer<()> {
    let author = |world: &mut World| {
        if author::writes(space, part, login, world) { Answer::Found(()) } else { Answer::Unknown }
    };
    if !asks_sender(part) {
        own_sender(space, part, login, world);
        if may_send(space, login, world.sender.as_ref()) {
            return author(world);
        }
    }
    let (keys, wider) = owned(space, login);
    let claims = Claims { own: (vec![&keys], Vec::new()), ..sender_claims(part) };
    match narrow_sender(space, part, claims, world) {
        Answer::Found(()) if may_send(space, login, world.sender.as_ref()) => author(world),
        Answer::Impossible => {
            let wider =
                wider.as_ref().map(|keys| Claims { inside: (vec![keys], Vec::new()), ..sender_claims(part) });
            let none = |claims| narrow_sender(space, part, claims, world) == Answer::Impossible;
            if wider.is_none_or(none) {
                return Answer::Impossible;
            }
            if extended(space, part, login, &keys, world) { author(world) } else { Answer::Unknown }
        }
        Answer::Found(()) if plain(space, part, login, &keys, world) => author(world),
        Answer::Found(()) | Answer::Unknown => Answer::Unknown,
    }
}

/// Finds a sender that is one of these keys and no extension of it, or `<>`.
fn plain<'t>(space: &Space<'t>, part: &Part<'t>, login: &str, keys: &Keys<'_>, world: &mut World) -> bool {
    let exact = keys.iter().take(MAX_SENDERS).any(|key| {
        let whole = Test::StartsWith(vec![key.to_owned()]);
        let key = Keys::Own(vec![key.to_owned()]);
        let mut claims = Claims { own: (vec![&key], Vec::new()), ..sender_claims(part) };
        claims.whole.0.push(&whole);
        narrow_sender(space, part, claims, world) == Answer::Found(())
            && may_send(space, login, world.sender.as_ref())
    });
    let nobody = Keys::Own(Vec::new());
    let null = Claims { own: (vec![&nobody], Vec::new()), ..sender_claims(part) };
    exact || narrow_sender(space, part, null, world) == Answer::Found(())
}

/// Finds a sender among the extensions of these keys that lists do not know by themselves.
fn extended<'t>(space: &Space<'t>, part: &Part<'t>, login: &str, keys: &Keys<'_>, world: &mut World) -> bool {
    let split = keys.iter().filter_map(|key| key.rsplit_once('@'));
    let outside = split.filter(|(_, domain)| !is_inside(&space.inside, domain));
    outside.take(MAX_SENDERS).any(|(local, domain)| {
        let start = Test::StartsWith(vec![format!("{local}+")]);
        let domain = Keys::Own(vec![format!("@{domain}")]);
        let mut claims = Claims { inside: (vec![&domain], Vec::new()), ..sender_claims(part) };
        claims.local.0.push(&start);
        narrow_sender(space, part, claims, world) == Answer::Found(())
            && may_send(space, login, world.sender.as_ref())
    })
}

/// Logins made for patterns: that pass what is asked of a sender too, as a whole or at a local domain; else any, as its
/// other addresses or `<>` may pass that.
fn made<'t>(space: &Space<'t>, part: &Part<'t>, (yes, no): (&[&'t Test], &[&'t Test])) -> Vec<String> {
    let with = |(mut all, mut none): (Vec<&'t Test>, Vec<&'t Test>)| {
        all.extend(yes);
        none.extend(no);
        (all, none)
    };
    let mut out = Vec::new();
    let asked = sender_claims(part);
    let whole = Claims { whole: with(asked.whole.clone()), ..asked.clone() };
    if let Answer::Found((local, domain)) = mailbox::solve(space, &whole) {
        out.push(format!("{local}@{domain}"));
    }
    let ours: BTreeSet<String> =
        space.table.profile.local_domains.iter().map(|domain| format!("@{domain}")).collect();
    let ours = Keys::Own(ours.into_iter().collect());
    let bare = Claims { local: with(asked.local.clone()), inside: (vec![&ours], Vec::new()), ..asked };
    if let Answer::Found((local, _)) = mailbox::solve(space, &bare) {
        out.push(local);
    }
    // Nobody's sender asks for nothing but a login.
    let mine =
        Claims { whole: with(Default::default()), inside: (vec![&ours], Vec::new()), ..Claims::default() };
    if let Answer::Found((local, domain)) = mailbox::solve(space, &mine) {
        out.push(format!("{local}@{domain}"));
    }
    if let Answer::Found(login) = text::solve_as(space, Shape::Name, yes, no) {
        out.push(login);
    }
    out
}

/// All logins that may send as this address.
fn logins(space: &Space<'_>, sender: &Address) -> Vec<String> {
    let Some(table) = space.loaded() else { return Vec::new() };
    let mut out = Vec::new();
    let mut names = |address: &Address| {
        out.push(address.to_string());
        if table.is_local(address.domain()) {
            out.push(address.local().to_owned());
        }
    };
    let real = real_address(table, sender).unwrap_or_else(|| sender.clone());
    names(&real);
    if let Some(base) = real.without_extension() {
        names(&base);
    }
    if let Some(alias) = table.alias(&real).filter(|alias| !alias.key.starts_with('@')) {
        let all = alias.sole().into_iter().chain(alias.may_send.iter().map(String::as_str));
        all.clone().filter_map(|name| Address::parse(name).ok()).for_each(|member| names(&member));
        out.extend(alias.may_send.iter().cloned());
    }
    out.retain(|login| may_send(space, login, Some(sender)));
    out
}

/// Keys of a list that holds all addresses that a login may write, of which some may be no more than extensions of
/// these; and where there are extensions that it does not hold, the domains at which they are.
pub(super) fn owned(space: &Space<'_>, login: &str) -> (Keys<'static>, Option<Keys<'static>>) {
    let profile = &space.table.profile;
    let (mut keys, mut wider) = (BTreeSet::new(), BTreeSet::new());
    let tagged = profile.sender_must == SenderMust::OwnAddress;
    let mut add = |local: &str, domain: &str| {
        if profile.domain_aliases.iter().any(|(alias, _)| alias == domain) {
            return;
        }
        let aliases = profile.domain_aliases.iter().filter(|(_, real)| real == domain);
        for domain in aliases.map(|(alias, _)| alias.as_str()).chain([domain]) {
            keys.insert(format!("{local}@{domain}"));
            // Lists know extensions at domains that are inside by themselves.
            if tagged && !is_inside(&space.inside, domain) {
                wider.insert(format!("@{domain}"));
            }
        }
    };
    if let Ok(address) = Address::parse(login) {
        add(address.local(), address.domain());
    }
    for domain in &profile.local_domains {
        add(login, domain);
    }
    if tagged {
        let all = space.owners.get_or_init(|| owners(space));
        for (local, domain) in all.get(login).into_iter().flatten().filter_map(|key| key.rsplit_once('@')) {
            add(local, domain);
        }
    }
    let wider = (!wider.is_empty()).then(|| Keys::Own(wider.into_iter().collect()));
    (Keys::Own(keys.into_iter().collect()), wider)
}

fn owners(space: &Space<'_>) -> Owners {
    let mut out = Owners::new();
    for alias in space.table.aliases.iter().filter(|alias| !alias.key.starts_with('@')) {
        let mut own = |login: &str| out.entry(login.to_owned()).or_default().push(alias.key.clone());
        let all = alias.sole().into_iter().chain(alias.may_send.iter().map(String::as_str));
        for member in all.filter_map(|name| Address::parse(name).ok()) {
            own(member.as_str());
            if space.table.profile.local_domains.iter().any(|domain| domain == member.domain()) {
                own(member.local());
            }
        }
        alias.may_send.iter().for_each(|name| own(name));
    }
    out
}
