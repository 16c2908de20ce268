//! `sender-must`: which addresses a login may write as its sender, in the envelope and in From.
//!
//! A catch-all alias makes nobody the owner of what it catches: a mailbox may stand behind it.

use super::inside::real_address;
use edict_table::facts::HeaderFacts;
use edict_table::load::Loaded;
use edict_table::model::SenderMust;
use edict_table::value::Address;

/// Whether a login (folded) may send as this address.
pub(crate) fn may_send_as(table: &Loaded, login: &str, address: &Address) -> bool {
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

/// Whether an address is the login itself. A bare login has its mailbox at each local domain.
fn is_login(table: &Loaded, login: &str, address: &Address) -> bool {
    address.as_str() == login || (address.local() == login && table.is_local(address.domain()))
}

/// Whether a login may send a message with this header: every address in From must be its own, and
/// there must be one, since readers believe From.
pub(crate) fn may_write(table: &Loaded, login: &str, header: &HeaderFacts) -> bool {
    table.profile().sender_must == SenderMust::BeAnything
        || (!header.malformed
            && !header.from.is_empty()
            && header.from.iter().all(|address| may_send_as(table, login, address)))
}
