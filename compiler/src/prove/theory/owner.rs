//! Which senders a login may write, by `sender-must`: what the daemon refuses at MAIL no rule decides about.

use super::facts::{narrow_sender, sender_claims};
use super::mailbox::{Claims, lists};
use super::region::is_inside;
use super::shape::Shape;
use super::{Answer, Keys, Part, Space, text};
use crate::prove::world::World;
use edict_table::model::{SenderMust, Test};
use edict_table::owner::{may_send_as, real_address};
use edict_table::value::{Address, fold};
use std::collections::{BTreeSet, HashMap};

/// The most logins of a list for which a sender is looked for, and the most that are looked at to find these.
const MAX_LOGINS: usize = 64;
const MAX_LOOKS: usize = 5_000;
/// The most senders for which a login is looked for.
const MAX_SENDERS: usize = 8;

/// The keys of the aliases that each login owns.
pub(super) type Owners = HashMap<String, Vec<String>>;

/// Whether the daemon takes this sender from this login. `<>` anybody may send.
pub(super) fn may_send(space: &Space<'_>, login: &str, sender: Option<&Address>) -> bool {
    let Some(sender) = sender else { return true };
    space.table.profile.sender_must == SenderMust::BeAnything
        || space.loaded().is_some_and(|table| may_send_as(table, &fold(login), sender))
}

/// A login, and with it a sender in the message, that the daemon takes together.
pub(super) fn pair<'t>(
    space: &Space<'t>,
    part: &Part<'t>,
    (yes, no): (&[&Test], &[&Test]),
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
            let (keys, wider) = owned(space, login);
            let claims = Claims { own: (vec![&keys], Vec::new()), ..sender_claims(part) };
            match narrow_sender(space, part, claims, world) {
                Answer::Found(()) if may_send(space, login, world.sender.as_ref()) => {
                    return Answer::Found(login.to_owned());
                }
                Answer::Impossible => {
                    let wider = wider
                        .as_ref()
                        .map(|keys| Claims { inside: (vec![keys], Vec::new()), ..sender_claims(part) });
                    let none = |claims| narrow_sender(space, part, claims, world) == Answer::Impossible;
                    open |= !wider.is_none_or(none);
                }
                Answer::Found(()) | Answer::Unknown => open = true,
            }
        }
        return if open { Answer::Unknown } else { Answer::Impossible };
    }
    let mut refused = BTreeSet::new();
    for _ in 0..MAX_SENDERS {
        let keys = Keys::Own(refused.iter().cloned().collect());
        let without = if refused.is_empty() { Vec::new() } else { vec![&keys] };
        let claims = Claims { own: (Vec::new(), without), ..sender_claims(part) };
        match narrow_sender(space, part, claims, world) {
            Answer::Found(()) => {}
            // Of those that were refused, extensions are left out, too.
            Answer::Impossible if refused.is_empty() => return Answer::Impossible,
            Answer::Impossible | Answer::Unknown => return Answer::Unknown,
        }
        let Some(sender) = &world.sender else { return text::solve_as(space, Shape::Name, yes, no) };
        if let Some(login) = logins(space, sender).into_iter().find(|login| fits(login)) {
            return Answer::Found(login);
        }
        refused.insert(sender.to_string());
    }
    Answer::Unknown
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
fn owned(space: &Space<'_>, login: &str) -> (Keys<'static>, Option<Keys<'static>>) {
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
