//! Where a recipient's mail goes next: the table's routes, its relay domains, the operator's default.
//!
//! Evaluated at each attempt with the live table, from what the envelope holds. The queue asks a [`Guide`], so that
//! its own tests need no table.

use super::Outside;
use crate::directory::Directory;
use crate::envelope::{Dispatch, DispatchKind, Target};
use crate::live::Live;
use edict_table::decide::{self, Scratch};
use edict_table::facts::{Direction, Facts, Slot};
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Action, Host, Kind, Mode, Relay, RelayTls, Via};
use edict_table::value::{Address, canonical_ip, fold_text};
use std::sync::{Arc, Mutex, PoisonError};

/// A next hop.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Hop {
    /// Local delivery.
    Local,
    /// A relay.
    Relay(Relay),
    /// The MX of a domain, in normal form.
    Mx(String),
    /// There is none, for a reason that an admin can mend.
    Nowhere(String),
}

impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Relay(relay) => match relay.hosts.first() {
                Some(host) if relay.name.is_empty() => write!(f, "{}:{}", host.name, host.port),
                _ => write!(f, "relay {}", relay.name),
            },
            Self::Mx(domain) => write!(f, "mx {domain}"),
            Self::Nowhere(why) => write!(f, "nowhere: {why}"),
        }
    }
}

/// What the queue asks of the policy in force.
pub(super) trait Guide: Send + Sync {
    /// The next hop of each recipient of a dispatch, in their order.
    fn hops(&self, dispatch: &Dispatch, now: i64) -> Vec<Hop>;
    /// Our name, where the policy gives one.
    fn hostname(&self) -> Option<String>;
    /// Who gets a notice for this author (on the wire, and in policy form): address, and whether it is inside.
    fn authors(&self, wire: &str, author: &Address, now: i64) -> Vec<(String, bool)>;
    /// Who gets a copy of each notice: address, and whether it is inside.
    fn notice_copies(&self) -> Vec<(String, bool)>;
    /// The digest of the policy.
    fn digest(&self) -> String;
}

/// The live table as the guide.
pub(super) struct LiveGuide {
    live: Arc<Live>,
    outside: Outside,
    directory: Directory,
    router: Mutex<Router>,
}

impl LiveGuide {
    pub fn new(live: Arc<Live>, outside: Outside, directory: Directory) -> Self {
        Self { live, outside, directory, router: Mutex::default() }
    }
}

impl Guide for LiveGuide {
    fn hops(&self, dispatch: &Dispatch, now: i64) -> Vec<Hop> {
        let table = self.live.current();
        let mut router = self.router.lock().unwrap_or_else(PoisonError::into_inner);
        router.hops(&table, &self.outside, dispatch, now)
    }

    fn hostname(&self) -> Option<String> {
        self.live.current().profile().hostname.clone()
    }

    fn authors(&self, wire: &str, author: &Address, now: i64) -> Vec<(String, bool)> {
        self.directory.authors(&self.live.current(), wire, author, now)
    }

    fn notice_copies(&self) -> Vec<(String, bool)> {
        self.directory.notice_copies(&self.live.current())
    }

    fn digest(&self) -> String {
        self.live.current().digest().to_owned()
    }
}

/// Memory that route decisions share.
#[derive(Debug, Default)]
struct Router {
    scratch: Scratch,
    rules: Vec<RuleId>,
}

impl Router {
    fn hops(&mut self, table: &Loaded, outside: &Outside, dispatch: &Dispatch, now: i64) -> Vec<Hop> {
        // What only rules ask is found out only for rules.
        let ruled = table.rules_of(Kind::Route).next().is_some();
        let sender = if ruled { Address::parse(&dispatch.sender).ok() } else { None };
        let user = dispatch.auth_user.as_deref().map(fold_text);
        let shared = Facts {
            client_ip: Slot::Known(canonical_ip(dispatch.client_ip)),
            auth_user: Slot::from_option(user.as_deref()),
            sender: Slot::from_option(sender.as_ref()),
            time: Slot::Known(now / 1000),
            ..Facts::default()
        };
        self.scratch.begin(table);
        let mut hops = Vec::with_capacity(dispatch.recipients.len());
        for (place, target) in (0u16..).zip(&dispatch.recipients) {
            let Ok(address) = Address::parse(&target.address) else {
                // Local delivery says what is wrong with it.
                hops.push(Hop::Local);
                continue;
            };
            let submitted = dispatch.submitted.at(place);
            let facts = Facts {
                recipient: Slot::Known(&address),
                submitted: Slot::Known(submitted),
                direction: Slot::Known(direction(dispatch, target, submitted)),
                ..shared.clone()
            };
            self.rules.clear();
            if ruled {
                self.scratch.next_recipient();
                decide::matching(table, Kind::Route, &facts, &mut self.scratch, &mut self.rules);
            }
            let via = self.rules.iter().filter_map(|id| table.rule(*id)).find_map(|rule| match rule.action {
                Action::Route(route) if rule.mode == Mode::Enforce && (!target.inside || route.local) => {
                    Some(&route.via)
                }
                _ => None,
            });
            hops.push(match via {
                Some(Via::Local) => Hop::Local,
                Some(Via::Relay(name)) => relay(table, name),
                Some(Via::Mx) => Hop::Mx(address.domain().to_owned()),
                None if target.inside => inside(table, address.domain()),
                None => beyond(outside, address.domain()),
            });
        }
        hops
    }
}

fn direction(dispatch: &Dispatch, target: &Target, submitted: bool) -> Direction {
    // The daemon's own notices count as submitted: they are nobody's forwarded mail.
    let submitted = submitted || dispatch.kind == DispatchKind::Notice;
    match (submitted, target.inside) {
        (true, true) => Direction::Internal,
        (true, false) => Direction::Outbound,
        (false, true) => Direction::Inbound,
        (false, false) => Direction::Forwarded,
    }
}

fn relay(table: &Loaded, name: &str) -> Hop {
    match table.relay(name) {
        Some(relay) if !relay.hosts.is_empty() => Hop::Relay(relay.clone()),
        _ => Hop::Nowhere(format!("the table has no relay {name}")),
    }
}

/// The next hop of an inside domain.
pub(crate) fn inside(table: &Loaded, domain: &str) -> Hop {
    let domains = &table.profile().relay_domains;
    let found = domains.binary_search_by(|d| d.domain.as_str().cmp(domain)).ok();
    match found.and_then(|place| domains.get(place)) {
        None => Hop::Local,
        Some(found) => match &found.via {
            Some(name) => relay(table, name),
            None => Hop::Mx(domain.to_owned()),
        },
    }
}

/// The next hop of a domain for which nothing names a way.
fn beyond(outside: &Outside, domain: &str) -> Hop {
    match outside {
        Outside::Maildir => Hop::Local,
        Outside::Relay(name, port) => Hop::Relay(Relay {
            name: String::new(),
            hosts: vec![Host { name: name.clone(), port: *port }],
            tls: RelayTls::Opportunistic,
            credentials: None,
        }),
        Outside::Mx => Hop::Mx(domain.to_owned()),
    }
}
