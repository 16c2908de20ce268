//! Which addresses are inside, which of them exist, and who may send to the rest.

use crate::users::Users;
use edict_table::load::Loaded;
use edict_table::model::Recipients;
pub(crate) use edict_table::owner::{real_address, real_domain};
use edict_table::value::Address;

/// Whether an inside address exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Existence {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// The next hop knows.
    Ask,
}

/// Whether an address is at one of our domains, domain aliases among them.
pub(crate) fn is_inside(table: &Loaded, address: &Address) -> bool {
    let domain = address.domain();
    table.is_inside(domain) || real_domain(table, domain).is_some_and(|real| table.is_inside(real))
}

/// Whether a stranger's recipient could make some server send on to another (RFC 5321 7.9): `a%b@`,
/// `a!b@`, and a quoted `@`.
pub(crate) fn is_routed(address: &Address) -> bool {
    address.local().contains(['%', '!', '@'])
}

/// The setting that says which addresses of this domain exist.
fn which<'a>(table: &'a Loaded, address: &Address) -> &'a Recipients {
    let profile = table.profile();
    let relay = if table.is_local(address.domain()) {
        None
    } else {
        profile.relay_domains.iter().find(|relay| relay.domain == address.domain())
    };
    relay.and_then(|relay| relay.recipients.as_ref()).unwrap_or(&profile.recipients)
}

/// Whether somebody has this address by himself: a user, or an entry of the lists of known recipients.
pub(crate) fn has_mailbox(table: &Loaded, users: &Users, address: &Address) -> bool {
    let listed = |lists: &[String]| lists.iter().any(|list| table.list_holds(list, address));
    (table.is_local(address.domain()) && users.exists(address))
        || matches!(which(table, address), Recipients::Known(lists) if listed(lists))
}

/// Whether an inside address exists (`recipients known`, `ask` or `any` of the profile).
pub(crate) fn exists(table: &Loaded, users: &Users, address: &Address) -> Existence {
    match which(table, address) {
        Recipients::Any => Existence::Yes,
        Recipients::Known(_) | Recipients::Ask => found(table, users, address),
    }
}

/// The same for whoever asks for nothing else (RFC 5321 3.5.3): what is taken without a look is not known to exist.
pub(crate) fn found(table: &Loaded, users: &Users, address: &Address) -> Existence {
    // RFC 5321 4.5.1: postmaster always exists; mailer-daemon is whom notices come from.
    let reserved =
        table.is_local(address.domain()) && matches!(address.local(), "postmaster" | "mailer-daemon");
    if reserved || table.alias(address).is_some() || has_mailbox(table, users, address) {
        return Existence::Yes;
    }
    match which(table, address) {
        Recipients::Known(_) => Existence::No,
        Recipients::Any | Recipients::Ask => Existence::Ask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routed_local_parts() {
        for (text, want) in [
            ("ann%other.example@example.com", true),
            ("other.example!ann@example.com", true),
            ("\"ann@other.example\"@example.com", true),
            ("ann@example.com", false),
            ("\"ann b\"@example.com", false),
        ] {
            assert_eq!(is_routed(&Address::parse(text).unwrap()), want, "{text}");
        }
    }
}
