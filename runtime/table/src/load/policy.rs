//! The parts that are stored as values: settings, actions, relays, groups, aliases, provenance.
//!
//! Decoded once. What reaches a wire or a log is checked again here: a reply with a line break in it
//! would let a table write SMTP.

use super::view::{Places, bytes};
use super::{ACCEPT, LoadError, corrupt};
use crate::format::Section;
use crate::model::{Action, Alias, Group, Profile, Recipients, Relay, Reply, Verb, Via};
use crate::value::{Domain, parse_network};
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use std::net::IpAddr;

/// The longest reply line taken, in bytes.
const REPLY: usize = 400;

/// What was decoded.
pub(super) struct Values {
    pub(super) profile: Profile,
    pub(super) actions: Vec<Action>,
    pub(super) relays: Vec<Relay>,
    pub(super) groups: Vec<Group>,
    pub(super) aliases: Vec<Alias>,
    pub(super) source_digest: String,
    pub(super) files: Vec<String>,
    pub(super) compiler: String,
}

/// Decodes and checks.
pub(super) fn read(image: &[u8], places: &Places) -> Result<Values, LoadError> {
    let (source_digest, files, compiler): (String, Vec<String>, String) =
        value(image, places, Section::Provenance)?;
    let values = Values {
        profile: value(image, places, Section::Profile)?,
        actions: value(image, places, Section::Actions)?,
        relays: value(image, places, Section::Relays)?,
        groups: value(image, places, Section::Groups)?,
        aliases: value(image, places, Section::Aliases)?,
        source_digest,
        files,
        compiler,
    };
    profile(&values.profile)?;
    for action in &values.actions {
        check_action(action, &values.relays)?;
    }
    if !values.relays.is_sorted_by(|a, b| a.name < b.name) {
        return Err(corrupt("the order of relays"));
    }
    for relay in &values.relays {
        let hosts = relay.hosts.iter().all(|h| plain(&h.name, 255) && !h.name.is_empty() && h.port != 0);
        if !plain(&relay.name, 255) || relay.hosts.is_empty() || !hosts {
            return Err(corrupt("a relay"));
        }
    }
    if !values.groups.is_sorted_by(|a, b| a.name < b.name) {
        return Err(corrupt("the order of groups"));
    }
    for alias in &values.aliases {
        let texts = alias.members.iter().chain(&alias.may_send).chain(&alias.owner);
        let texts = texts.chain(alias.lists.iter().flat_map(|l| l.members.iter().chain([&l.owner])));
        if !plain(&alias.key, 2048) || !texts.into_iter().all(|t| plain(t, 2048)) {
            return Err(corrupt("an alias"));
        }
    }
    let provenance = values.files.iter().chain([&values.source_digest, &values.compiler]);
    if !provenance.into_iter().all(|t| plain(t, 4096)) {
        return Err(corrupt("the provenance"));
    }
    Ok(values)
}

/// A whole section as a value. A length that lies costs no memory: the decoder takes no more than is there.
fn value<T: DeserializeOwned>(image: &[u8], places: &Places, section: Section) -> Result<T, LoadError> {
    let wrong = || corrupt(format!("section `{}`", section.name()));
    let bytes = bytes(image, places, section).ok_or_else(wrong)?;
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|_| wrong())?;
    if rest.is_empty() { Ok(value) } else { Err(wrong()) }
}

/// One line without control characters, at most that many bytes.
pub(super) fn plain(text: &str, most: usize) -> bool {
    text.len() <= most && !text.chars().any(char::is_control)
}

fn profile(profile: &Profile) -> Result<(), LoadError> {
    let normal = |d: &String| Domain::parse(d).is_ok_and(|parsed| parsed.as_str() == d);
    if !profile.local_domains.iter().all(normal) {
        return Err(corrupt("a local domain"));
    }
    if !profile.domain_aliases.iter().all(|(from, to)| normal(from) && normal(to)) {
        return Err(corrupt("a domain alias"));
    }
    if !profile.relay_domains.iter().all(|r| normal(&r.domain)) {
        return Err(corrupt("a relay domain"));
    }
    let lists = std::iter::once(Some(&profile.recipients))
        .chain(profile.relay_domains.iter().map(|r| r.recipients.as_ref()))
        .flatten()
        .flat_map(|r| match r {
            Recipients::Known(lists) => lists.as_slice(),
            _ => &[],
        });
    let texts = profile
        .hostname
        .iter()
        .chain(&profile.banner)
        .chain([&profile.time_zone])
        .chain(&profile.postmaster)
        .chain(&profile.notice_copies)
        .chain(&profile.auto_forwarding.except)
        .chain(lists);
    if texts.into_iter().all(|t| plain(t, 2048)) { Ok(()) } else { Err(corrupt("a text of the profile")) }
}

fn check_reply(reply: &Reply) -> Result<(), LoadError> {
    let (class, subject, detail) = reply.enhanced;
    let sound = (400..600).contains(&reply.code)
        && u16::from(class) == reply.code / 100
        && subject < 1000
        && detail < 1000
        && plain(&reply.text, REPLY);
    if sound { Ok(()) } else { Err(corrupt("a reply")) }
}

fn check_action(action: &Action, relays: &[Relay]) -> Result<(), LoadError> {
    let reply = match action {
        Action::Verdict(verdict) => match (verdict.verb, &verdict.reply) {
            (Verb::Reject, Some(reply)) if reply.code < 500 => return Err(corrupt("a reply")),
            (Verb::Defer, Some(reply)) if reply.code >= 500 => return Err(corrupt("a reply")),
            (_, reply) => reply.as_ref(),
        },
        Action::Limit(limit) => limit.reply.as_ref(),
        Action::Quota(quota) => Some(&quota.reply),
        Action::Bcc(bcc) => {
            if !bcc.to.iter().all(|t| plain(t, 2048)) {
                return Err(corrupt("a target of copies"));
            }
            None
        }
        Action::Disclaimer(_) => None,
        Action::Route(route) => {
            if let Via::Relay(name) = &route.via
                && relays.binary_search_by(|r| r.name.cmp(name)).is_err()
            {
                return Err(corrupt("a route to a relay that does not exist"));
            }
            None
        }
    };
    reply.map_or(Ok(()), check_reply)
}

/// What each action comes to: equal numbers are equal verbs and replies.
pub(super) fn outcomes(actions: &[Action]) -> Vec<u32> {
    let number = |action: &Action, place: u32| match action {
        Action::Verdict(verdict) if verdict.verb == Verb::Allow => ACCEPT,
        _ => place,
    };
    actions.iter().zip(0u32..).map(|(action, place)| number(action, place)).collect()
}

/// Networks as ranges, for a handful of them.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Ranges {
    /// Reads and joins them.
    pub(super) fn new(networks: &[String]) -> Result<Self, LoadError> {
        let mut ranges = Self::default();
        for network in networks {
            match parse_network(network).map_err(|_| corrupt("a trusted network"))? {
                IpNet::V4(n) => ranges.v4.push((n.network().to_bits(), n.broadcast().to_bits())),
                IpNet::V6(n) => ranges.v6.push((n.network().to_bits(), n.broadcast().to_bits())),
            }
        }
        join(&mut ranges.v4);
        join(&mut ranges.v6);
        Ok(ranges)
    }

    /// Whether an address is in one of them.
    pub(super) fn holds(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) => within(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => within(&self.v6, v6.to_bits()),
        }
    }
}

/// Sorts ranges and joins those that overlap.
fn join<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let overlap = next.0 <= before.1;
        if overlap {
            before.1 = before.1.max(next.1);
        }
        overlap
    });
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let place = ranges.partition_point(|range| range.0 <= value);
    place.checked_sub(1).and_then(|p| ranges.get(p)).is_some_and(|range| value <= range.1)
}
