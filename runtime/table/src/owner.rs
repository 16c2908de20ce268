//! `sender-must`: which addresses a login may write as its sender. The daemon asks it at MAIL and of From, the proofs
//! ask it of their examples.
//!
//! A catch-all alias makes nobody the owner of what it catches: a mailbox may stand behind it.

use crate::facts::HeaderFacts;
use crate::load::Loaded;
use crate::model::SenderMust;
use crate::value::{Address, Domain};

/// The domain that a domain alias stands for.
#[must_use]
pub fn real_domain<'a>(table: &'a Loaded, domain: &str) -> Option<&'a str> {
    let aliases = &table.profile().domain_aliases;
    let place = aliases.binary_search_by(|(alias, _)| alias.as_str().cmp(domain)).ok()?;
    aliases.get(place).map(|(_, real)| real.as_str())
}

/// An address at a domain alias as the one at the domain that the alias stands for.
#[must_use]
pub fn real_address(table: &Loaded, address: &Address) -> Option<Address> {
    let domain = Domain::parse(real_domain(table, address.domain())?).ok()?;
    Some(Address::new(address.local(), &domain))
}

/// Whether a login (folded) may send as this address.
#[must_use]
pub fn may_send_as(table: &Loaded, login: &str, address: &Address) -> bool {
    let must = table.profile().sender_must;
    if must == SenderMust::BeAnything {
        return true;
    }
    let real = real_address(table, address);
    let address = real.as_ref().unwrap_or(address);
    if is_login(table, login, address) {
        return true;
    }
    if must == SenderMust::EqualLogin {
        return false;
    }
    if address.without_extension().is_some_and(|base| is_login(table, login, &base)) {
        return true;
    }
    let Some(alias) = table.alias(address).filter(|alias| !alias.key.starts_with('@')) else {
        return false;
    };
    let member = |text: &str| Address::parse(text).is_ok_and(|member| is_login(table, login, &member));
    alias.sole().is_some_and(member) || alias.may_send.iter().any(|name| name == login || member(name))
}

/// Whether a login may send a message with this header: every address in From must be its own, and
/// there must be one, since readers believe From.
#[must_use]
pub fn may_write(table: &Loaded, login: &str, header: &HeaderFacts) -> bool {
    table.profile().sender_must == SenderMust::BeAnything
        || (!header.malformed
            && !header.from.is_empty()
            && header.from.iter().all(|address| may_send_as(table, login, address)))
}

/// Whether an address is the login itself. A bare login has its mailbox at each local domain.
fn is_login(table: &Loaded, login: &str, address: &Address) -> bool {
    address.as_str() == login || (address.local() == login && table.is_local(address.domain()))
}
