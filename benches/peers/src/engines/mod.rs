//! Policy engines from crates.io.

pub mod cedar;
pub mod cel;
pub mod rego;
pub mod zen;

use crate::mail::Mail;
use serde_json::{Value, json};

/// The facts of a mail, for engines that take JSON. The keys of lists and the parents of the domain are made beforehand for all.
pub(crate) fn facts(mail: &Mail) -> Value {
    let client = mail.client.to_string();
    json!({
        "sender": mail.sender,
        "sender_domain": mail.domain(),
        "recipient": mail.recipient,
        "helo": mail.helo,
        "net": client[..=client.rfind('.').unwrap_or(0)],
        "client": client,
        "direction": if mail.inbound { "inbound" } else { "outbound" },
        "login": mail.login,
        "subject": mail.subject,
        "keys": mail.keys(),
        "parents": mail.domain().match_indices('.').map(|(at, _)| &mail.domain()[at + 1..]).collect::<Vec<_>>(),
    })
}
