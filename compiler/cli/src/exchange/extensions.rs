//! What `recipient_delimiter = +` means for maps: Postfix takes an extension off at every domain, Edict at inside
//! domains alone, where it knows that what follows `+` is no part of the name.
//!
//! Which domains are inside is not known here, but for the one of `--domain`.

use super::keys::base;
use super::{Report, Wish};
use std::collections::BTreeMap;

/// The note on maps of senders and next hops, which are at other domains for the most part.
const NOTE: &str = "an extension is taken off at local and relay domains alone: elsewhere an entry for `ann@b.example` is not \
                    one for `ann+x@b.example`, as it is in Postfix with `recipient_delimiter = +`";

/// Tells of entries that have a sibling with an extension, which says that there are others; and of the difference as
/// such, once, for `strangers`. Keys are whole addresses or anything else.
pub fn tell(wish: &Wish, keys: &BTreeMap<String, u32>, strangers: bool, report: &mut Report) {
    let outside = |domain: &str| !domain.is_empty() && wish.domain.as_deref() != Some(domain);
    let mut bare = false;
    for key in keys.keys() {
        let Some((local, domain)) =
            key.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && outside(domain))
        else {
            continue;
        };
        let Some(short) = base(local).map(|base| format!("{base}@{domain}")) else {
            bare = true;
            continue;
        };
        if let Some(line) = keys.get(&short) {
            let why = format!(
                "where `{domain}` is neither a local nor a relay domain, other extensions (`{}+x@{domain}`) are not taken off",
                base(local).unwrap_or_default()
            );
            report.amend(*line, &why);
        }
    }
    if bare && strangers {
        report.notes.push(NOTE.to_owned());
    }
}
