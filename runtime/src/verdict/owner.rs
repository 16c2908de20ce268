//! `sender-must` of From: which addresses a login may write there.

use edict_table::facts::HeaderFacts;
use edict_table::load::Loaded;
use edict_table::model::SenderMust;
pub(crate) use edict_table::owner::may_send_as;

/// Whether a login may send a message with this header: every address in From must be its own, and
/// there must be one, since readers believe From.
pub(crate) fn may_write(table: &Loaded, login: &str, header: &HeaderFacts) -> bool {
    table.profile().sender_must == SenderMust::BeAnything
        || (!header.malformed
            && !header.from.is_empty()
            && header.from.iter().all(|address| may_send_as(table, login, address)))
}
