//! The names of counters: who a message is counted for.
//!
//! `user:` is the login; else the owner of the envelope sender; else the client's address. A login
//! `ann` and the address `ann@` at the first local domain are one user. No policy here beyond that.

use crate::verdict::inside::real_address;
use edict_table::load::Loaded;
use edict_table::model::QuotaPer;
use edict_table::value::network::client_key;
use edict_table::value::{Address, fold};
use std::net::IpAddr;

/// The counters of one message.
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    /// `user:ann@example.com`, or `client:192.0.2.7` where nobody is known. Every message is counted there.
    pub user: String,
    table: &'a Loaded,
    sender: Option<&'a Address>,
}

impl<'a> Keys<'a> {
    /// Names the counters of a message.
    #[must_use]
    pub fn new(table: &'a Loaded, auth_user: Option<&str>, sender: Option<&'a Address>, ip: IpAddr) -> Self {
        let user = match (auth_user, sender.and_then(|sender| owner(table, sender))) {
            (Some(login), _) => user_key(table, login),
            (None, Some(owner)) => format!("user:{owner}"),
            (None, None) => format!("client:{}", client_key(ip)),
        };
        Self { user, table, sender }
    }

    /// The counter of a quota.
    #[must_use]
    pub fn of(&self, per: QuotaPer, rule: &str) -> String {
        // `ann+1@` and `ann+2@` are one sender: else everybody could make himself a new one.
        let sender = || self.sender.map(|sender| inside_form(self.table, sender.clone()));
        // A `<>` is counted for who submits it: a shared counter would let one user use up everybody's.
        match per {
            QuotaPer::User => self.user.clone(),
            QuotaPer::Sender => match sender() {
                Some(sender) => format!("sender:{sender}"),
                None => format!("sender:<> {}", self.user),
            },
            QuotaPer::SenderDomain => match sender() {
                Some(sender) => format!("domain:{}", sender.domain()),
                None => format!("domain:<> {}", self.user),
            },
            QuotaPer::Rule => format!("rule:{rule}"),
        }
    }
}

/// What the names of counters begin with, in the order in which they are listed.
pub const KINDS: [&str; 5] = ["user:", "client:", "sender:", "domain:", "rule:"];

/// The counter that `edictd usage` names: a login or an address, or any counter by its whole name.
#[must_use]
pub fn user_key(table: &Loaded, user: &str) -> String {
    if let Some((kind @ ("client" | "sender" | "domain" | "rule"), name)) = user.split_once(':') {
        let address = || Address::parse(name).ok().filter(|_| kind == "sender");
        return match address() {
            Some(address) => format!("sender:{}", inside_form(table, address)),
            None if kind == "domain" => format!("domain:{}", fold(name)),
            None => user.to_owned(),
        };
    }
    let whole = match (user.contains('@'), table.profile().local_domains.first()) {
        (false, Some(domain)) => format!("{user}@{domain}"),
        _ => user.to_owned(),
    };
    match Address::parse(&whole) {
        Ok(address) => format!("user:{}", inside_form(table, address)),
        Err(_) => format!("user:{}", fold(user)),
    }
}

/// The owner of an inside address: the sole member of an alias, else itself without `+extension`.
fn owner(table: &Loaded, sender: &Address) -> Option<Address> {
    let sender = &real_form(table, sender.clone());
    if !table.is_inside(sender.domain()) {
        return None;
    }
    // Who stands behind a catch-all is not known, so that it owns nothing.
    let alias = table.alias(sender).filter(|alias| !alias.key.starts_with('@'));
    let member = alias.and_then(|alias| Address::parse(alias.sole()?).ok());
    Some(inside_form(table, member.unwrap_or_else(|| sender.clone())))
}

/// At the domain that a domain alias stands for, without `+extension` at ours.
fn inside_form(table: &Loaded, address: Address) -> Address {
    let address = real_form(table, address);
    let inside = table.is_inside(address.domain());
    let bare = if inside { address.without_extension() } else { None };
    bare.unwrap_or(address)
}

fn real_form(table: &Loaded, address: Address) -> Address {
    real_address(table, &address).unwrap_or(address)
}
