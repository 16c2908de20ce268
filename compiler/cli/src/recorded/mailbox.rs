//! Mail out of files of one message, mboxes and Maildirs.

use super::{Found, Missing, Recorded};
use crate::console::Failure;
use crate::files::read_whole;
use crate::flow::{ClientName, Dns, Mail, crlf};
use edict_runtime::quota::Amount;
use mail_parser::mailbox::mbox;
use mail_parser::{Header, Host, Message, MessageParser};
use std::fs::File;
use std::io::{self, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file that is one message.
pub fn message(path: &Path, missing: &Missing) -> Result<Box<dyn Iterator<Item = Found>>, Failure> {
    let found = found(path.display().to_string(), &read_whole(path)?, None, modified(path), missing);
    Ok(Box::new(std::iter::once(found)))
}

/// An mbox (RFC 4155), with or without quoted `From ` lines.
pub fn mbox(path: &Path, missing: &Missing) -> Result<Box<dyn Iterator<Item = Found>>, Failure> {
    let file = File::open(path).map_err(|source| Failure::read(path, source))?;
    let (name, missing) = (path.display().to_string(), missing.clone());
    let mails = mbox::MessageIterator::new(BufReader::new(file)).enumerate();
    Ok(Box::new(mails.map(move |(number, mail)| {
        let place = format!("{name}, mail {}", number + 1);
        match mail {
            Ok(mail) => {
                let time = i64::try_from(mail.internal_date().saturating_mul(1000)).unwrap_or(i64::MAX);
                found(place, mail.contents(), Some(mail.from()), time, &missing)
            }
            Err(error) => Found::Unfit(format!("{place}: {error}")),
        }
    })))
}

/// A Maildir, by the names of its files, which begin with the time.
pub fn maildir(path: &Path, missing: &Missing) -> Result<Box<dyn Iterator<Item = Found>>, Failure> {
    let fail = |source| Failure::read(path, source);
    let mut files: Vec<PathBuf> = Vec::new();
    for part in ["cur", "new"] {
        let entries = std::fs::read_dir(path.join(part)).map_err(fail)?;
        for entry in entries {
            files.push(entry.map_err(fail)?.path());
        }
    }
    files.retain(|file| {
        file.is_file() && !file.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
    });
    files.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    let missing = missing.clone();
    Ok(Box::new(files.into_iter().map(move |file| {
        let place = file.display().to_string();
        match read_whole(&file) {
            Ok(bytes) => found(place, &bytes, None, modified(&file), &missing),
            Err(error) => Found::Unfit(error.to_string()),
        }
    })))
}

/// Unix milliseconds.
fn modified(path: &Path) -> i64 {
    let time = || -> io::Result<SystemTime> { std::fs::metadata(path)?.modified() };
    let since = time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn found(place: String, bytes: &[u8], from: Option<&str>, time: i64, missing: &Missing) -> Found {
    let Some(parsed) = MessageParser::new().parse_headers(bytes) else {
        return Found::Unfit(format!("{place}: this is no message"));
    };
    let Some(sender) = address(&parsed, "Return-Path").or_else(|| from.map(envelope)) else {
        return Found::Unfit(format!("{place}: no `Return-Path` tells its sender"));
    };
    let given = ["X-Original-To", "Delivered-To"].iter().find_map(|name| address(&parsed, name));
    let recipients = given.map_or_else(|| missing.recipients.clone(), |given| vec![given]);
    if recipients.is_empty() {
        return Found::Unfit(format!(
            "{place}: no `Delivered-To` tells its recipient; give one with --recipient"
        ));
    }
    let top = first(&parsed, "Received");
    let received = top.and_then(|header| header.value.as_received());
    // The server that stored it wrote what stands on top, its own `Received` last; rules never saw that.
    let seen = top.and_then(|header| bytes.get(header.offset_end() as usize..)).unwrap_or(bytes);
    let helo = received.and_then(|received| match received.from()? {
        Host::Name(name) => Some(name.to_string()),
        Host::IpAddr(address) => Some(format!("[{address}]")),
    });
    let mail = Mail {
        client: received.and_then(|r| r.from_ip()).unwrap_or(IpAddr::from([203, 0, 113, 1])),
        client_name: ClientName::Asked,
        helo,
        tls: received.is_some_and(|received| received.tls_version().is_some()),
        login: None,
        sender,
        recipients,
        message: crlf(seen),
        whole: true,
        size: None,
        time,
        spf: 0,
        dmarc: 0,
        dkim: Vec::new(),
        dns: Dns::default(),
        usage: Amount::default(),
    };
    Found::Mail(Box::new(Recorded { place, mail, before: None }))
}

/// The topmost header of this name: the last server that wrote one did so there.
fn first<'a>(message: &'a Message<'_>, name: &str) -> Option<&'a Header<'a>> {
    message.headers().iter().find(|header| header.name().eq_ignore_ascii_case(name))
}

/// The address in the topmost header of this name; empty for `<>`.
fn address(message: &Message<'_>, name: &str) -> Option<String> {
    let header = first(message, name)?;
    let value = message.raw_message().get(header.offset_start() as usize..header.offset_end() as usize)?;
    let raw = std::str::from_utf8(value).ok()?.trim();
    let inner = raw.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(raw);
    Some(inner.trim().to_owned())
}

/// The sender as the separator line of an mbox has it.
fn envelope(from: &str) -> String {
    if from == "MAILER-DAEMON" { String::new() } else { from.to_owned() }
}
