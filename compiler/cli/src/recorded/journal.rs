//! Mail out of the daemon's journal (docs/journal.md).

use super::{Before, Found, Recorded};
use crate::console::Failure;
use crate::flow::{ClientName, Dns, Mail};
use edict_runtime::journal::{Entry, Reader};
use edict_runtime::quota::Amount;
use std::path::Path;

/// The entries of a file, or of a folder of them.
pub fn open(path: &Path) -> Result<Box<dyn Iterator<Item = Found>>, Failure> {
    let reader = Reader::open(path).map_err(|source| Failure::read(path, source))?;
    Ok(Box::new(reader.map(|entry| match entry {
        Ok(entry) => found(entry),
        Err(strange) => Found::Unfit(strange.to_string()),
    })))
}

fn found(entry: Entry) -> Found {
    let mut recipients = entry.recipients.clone();
    if entry.stage == "rcpt" {
        // Those that were taken before have an entry of their own, with the message.
        recipients = recipients.pop().into_iter().collect();
    }
    let (Some(sender), false) = (&entry.sender, recipients.is_empty()) else { return Found::Early };
    let place = if entry.id.is_empty() { "an entry without id".to_owned() } else { entry.id.clone() };
    let Some(message) = entry.header.as_ref().map_or(Some(b"\r\n".to_vec()), |_| entry.message()) else {
        return Found::Unfit(format!("{place}: its base64 cannot be read"));
    };
    // A message that was refused as a whole was refused for all who had been taken.
    let whole = matches!(entry.verdict.as_str(), "reject" | "defer") && entry.stage != "rcpt";
    let verdicts = recipients.iter().map(|r| if whole { &entry.verdict } else { &r.verdict });
    let before = Before {
        verdicts: verdicts.cloned().collect(),
        rule: entry.rule.as_ref().map(|rule| (rule.name.clone(), rule.file.clone(), rule.line)),
    };
    let mail = Mail {
        client: entry.client.ip,
        client_name: entry.client.name.clone().map_or(ClientName::NotKept, ClientName::Given),
        helo: Some(entry.client.helo.clone()).filter(|helo| !helo.is_empty()),
        tls: entry.client.tls,
        login: entry.client.auth_user.clone(),
        sender: sender.clone(),
        recipients: recipients.into_iter().map(|recipient| recipient.address).collect(),
        message,
        whole: entry.body.is_some(),
        size: Some(entry.size),
        time: entry.time,
        spf: 0,
        dmarc: 0,
        dkim: Vec::new(),
        dns: Dns::default(),
        usage: Amount::default(),
    };
    Found::Mail(Box::new(Recorded { place, mail, before: Some(before) }))
}
