//! Delivery status notices (RFC 3461, 3464, 6522, 6533): failed, delayed, delivered, relayed.
//!
//! Builds records; sends nothing. Never for a null sender or for a notice; of a delay only to who submitted here, or asked
//! for it: a stranger's sender may be forged, and his server tells him of its own delays. What a notice says of
//! others' words is printable and bounded; of the message it returns the header, or a small message
//! whole where RET=FULL asked for it.

use super::route::Guide;
use super::settle::has_author;
use crate::deliver::{Reason, bytes_for};
use crate::envelope::{
    Body, Dispatch, DispatchKind, MessageId, Notify, Record, Ret, Submitted, Target, Variant,
};
use crate::spool::deferred::{State, Word};
use edict_message::edit::{has_utf8_header, seven_bit};
use edict_table::value::Address;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// The largest message that is returned whole, in bytes.
const MAX_FULL: usize = 64 << 10;
/// The most of a header that is returned, in bytes.
const MAX_HEADER: usize = 16 << 10;

/// What happened to a recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Failed(Reason),
    Delayed(Reason),
    Delivered,
    Relayed,
    /// An alias passed it on to several members.
    Expanded,
}

/// One recipient in a notice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub dispatch: u16,
    pub target: u16,
    pub event: Event,
}

impl Event {
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::Delayed(_) => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }

    /// What NOTIFY says of it; silence means failure, and delay where we like (RFC 3461 4.1).
    fn wanted(&self, notify: Notify, submitted: bool) -> bool {
        match self {
            Self::Failed(_) => !notify.given || notify.failure,
            Self::Delayed(_) => wants_delay(notify, submitted),
            Self::Delivered | Self::Relayed | Self::Expanded => notify.given && notify.success,
        }
    }

    fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Failed(reason) | Self::Delayed(reason) => Some(reason),
            Self::Delivered | Self::Relayed | Self::Expanded => None,
        }
    }
}

fn wants_delay(notify: Notify, submitted: bool) -> bool {
    if notify.given { notify.delay } else { submitted }
}

/// Whether an author is to be told where a message in this state is late.
pub(super) fn tells_of_delay(record: &Record, state: &State) -> bool {
    let tells = |(place, dispatch): (u16, &Dispatch)| {
        let open = |target| {
            state.settled.binary_search(&(place, target)).is_err() && !state.says(place, target, Word::Delay)
        };
        let mut each = (0u16..).zip(&dispatch.recipients);
        has_author(&dispatch.kind, &dispatch.sender)
            && (!dispatch.hold || state.released)
            && each.any(|(target, to)| wants_delay(to.notify, dispatch.submitted.at(target)) && open(target))
    };
    !state.warned && (0u16..).zip(&record.dispatches).any(tells)
}

/// A dispatch, and what is told of its recipients.
pub(super) type About = (u16, &'static str);

/// The notices that these lines call for: one for each dispatch and action. What waits is tried for so long as
/// `until`, in Unix milliseconds.
pub(super) fn notices(
    guide: &dyn Guide,
    hostname: &str,
    record: &Record,
    lines: &[Line],
    attempt: u32,
    now: i64,
    until: i64,
) -> Vec<(About, Record)> {
    let mut groups: BTreeMap<About, Vec<(&Line, &Target)>> = BTreeMap::new();
    for line in lines {
        let Some(dispatch) = record.dispatches.get(usize::from(line.dispatch)) else { continue };
        let Some(target) = dispatch.recipients.get(usize::from(line.target)) else { continue };
        if !has_author(&dispatch.kind, &dispatch.sender) {
            if let Event::Failed(reason) = &line.event {
                tracing::warn!(id = %record.id, to = target.address, reason = reason.text, "undeliverable, and nobody to tell");
            }
            continue;
        }
        if line.event.wanted(target.notify, dispatch.submitted.at(line.target)) {
            groups.entry((line.dispatch, line.event.action())).or_default().push((line, target));
        }
    }
    groups
        .into_iter()
        .filter_map(|((place, action), lines)| {
            let dispatch = record.dispatches.get(usize::from(place))?;
            // An attempt may take several turns (452 4.5.3), each with recipients of its own: they tell its notices apart.
            let about = lines.iter().map(|(line, _)| line.target).collect();
            let lines: Vec<(&Target, &Event)> =
                lines.iter().map(|(line, target)| (*target, &line.event)).collect();
            let id = name(record.id, place, action, attempt, about);
            let report =
                Report { hostname, record, dispatch, action, lines: &lines, id, now, until: Some(until) };
            Some(((place, action), report.build(guide)?))
        })
        .collect()
}

/// The name of a notice: made of all that tells it from the other notices about the same message.
pub(super) fn name(
    id: MessageId,
    dispatch: u16,
    action: &str,
    attempt: u32,
    mut about: Vec<u16>,
) -> MessageId {
    about.sort_unstable();
    let about: Vec<String> = about.iter().map(u16::to_string).collect();
    MessageId::of_notice(&format!("{id}/{dispatch}/{action}/{attempt}/{}", about.join(",")))
}

/// Those who asked for copies of notices join its recipients, but for whom it reaches anyway.
pub(crate) fn add_copies(recipients: &mut Vec<Target>, copies: Vec<(String, bool)>) {
    for (address, inside) in copies {
        if !recipients.iter().any(|target| target.address == address) {
            recipients.push(Target { address, given: None, inside, notify: Notify::default(), orcpt: None });
        }
    }
}

/// A notice in the making.
pub(crate) struct Report<'a> {
    pub hostname: &'a str,
    pub record: &'a Record,
    /// What it is about: its sender hears of it.
    pub dispatch: &'a Dispatch,
    pub action: &'static str,
    pub lines: &'a [(&'a Target, &'a Event)],
    pub id: MessageId,
    pub now: i64,
    /// When the last attempt is made, where it is known.
    pub until: Option<i64>,
}

impl Report<'_> {
    fn build(&self, guide: &dyn Guide) -> Option<Record> {
        let author = match Address::parse(&self.dispatch.sender) {
            Ok(author) => author,
            Err(error) => {
                tracing::warn!(id = %self.record.id, %error, "no notice: the sender is no address");
                return None;
            }
        };
        let mut recipients: Vec<Target> = guide
            .authors(&self.dispatch.sender, &author, self.now)
            .into_iter()
            .map(|(address, inside)| {
                let own = address == self.dispatch.sender;
                let given = (!own).then(|| self.dispatch.sender.clone());
                Target { address, given, inside, notify: Notify::default(), orcpt: None }
            })
            .collect();
        add_copies(&mut recipients, guide.notice_copies());
        let bytes = self.text();
        let body = if bytes.is_ascii() { Body::SevenBit } else { Body::EightBitMime };
        let smtputf8 = recipients.iter().any(|r| !r.address.is_ascii());
        Some(Record {
            id: self.id,
            received: self.now,
            dispatches: vec![Dispatch {
                kind: DispatchKind::Notice,
                sender: String::new(),
                recipients,
                variant: 0,
                body,
                smtputf8,
                ret: None,
                envid: None,
                hold: false,
                client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
                auth_user: None,
                submitted: Submitted::No,
            }],
            variants: vec![Variant::default()],
            usage: Vec::new(),
            table: guide.digest(),
            bytes,
        })
    }

    /// The whole message.
    pub(crate) fn text(&self) -> Vec<u8> {
        let original = bytes_for(self.record, self.dispatch);
        let wanted = self.action == "failed" && self.dispatch.ret == Some(Ret::Full);
        let full = wanted && original.len() <= MAX_FULL;
        if full {
            // Under the name that most programs know, where that is true (RFC 6532 3.7). A hop of seven bits takes it only where
            // what it holds can be converted; what cannot, as signed mail, may be encoded whole under the other name.
            let names: &[&str] = match has_utf8_header(&original) {
                true => &["message/global"],
                false => &["message/rfc822", "message/global"],
            };
            for media in names {
                let bytes = self.with(&original, media, false);
                if bytes.is_ascii() || seven_bit(&bytes).is_ok() {
                    return bytes;
                }
            }
        }
        let header = header(&original);
        let media = if header.is_ascii() { "text/rfc822-headers" } else { "message/global-headers" };
        self.with(header, media, wanted && !full)
    }

    /// The whole message, with this of the original.
    fn with(&self, returned: &[u8], media: &str, too_large: bool) -> Vec<u8> {
        let boundary = loop {
            let boundary = format!("{}.{:016x}", self.id, fastrand::u64(..));
            if memchr::memmem::find(returned, boundary.as_bytes()).is_none() {
                break boundary;
            }
        };
        let mut out = String::new();
        // Writing into a string cannot fail.
        let _ = self.front(&mut out, &boundary, too_large);
        let encoding = if returned.is_ascii() { "7bit" } else { "8bit" };
        let _ = write!(
            out,
            "--{boundary}\r\nContent-Type: {media}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(returned);
        if !returned.ends_with(b"\r\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        bytes
    }

    fn front(&self, out: &mut String, boundary: &str, too_large: bool) -> std::fmt::Result {
        let host = self.hostname;
        let (subject, said) = match self.action {
            "failed" => ("Undelivered mail returned to sender", "could not be delivered to"),
            "delayed" => {
                ("Delayed mail (still being tried)", "is not delivered yet, and is still being tried, to")
            }
            "delivered" => ("Mail delivered", "was delivered to"),
            "expanded" => (
                "Mail passed on to several",
                "was passed on, with no further notice of success, to the members of",
            ),
            _ => ("Mail passed on", "was passed on, to a server that sends no notices, for"),
        };
        write!(out, "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\n")?;
        write!(
            out,
            "To: <{}>\r\nSubject: {subject}\r\nDate: {}\r\n",
            clean(&in_ascii(&self.dispatch.sender)),
            date(self.now)
        )?;
        write!(
            out,
            "Message-ID: <{}@{host}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n",
            self.id
        )?;
        write!(
            out,
            "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n"
        )?;
        write!(
            out,
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        )?;
        write!(out, "This is the mail system at {host}.\r\n\r\nYour message {said}\r\n\r\n")?;
        for (target, event) in self.lines {
            write!(out, "  <{}>\r\n", clean(shown(target)))?;
            if let Some(reason) = event.reason() {
                write!(out, "    {}\r\n", clean(&told(target, reason)))?;
            }
        }
        let until = self.until.filter(|_| self.action == "delayed").map(date);
        if let Some(until) = &until {
            write!(out, "\r\nIt will be tried until {until}.\r\n")?;
        }
        if too_large {
            write!(out, "\r\nIt is too large to be returned whole; its header follows.\r\n")?;
        }
        // RFC 6533 4: who sent internationalized mail reads addresses as they are.
        let utf8 = self.dispatch.smtputf8 && self.lines.iter().any(|(target, _)| !shown(target).is_ascii());
        let (media, encoding) = match utf8 {
            true => ("global-delivery-status", "Content-Transfer-Encoding: 8bit\r\n"),
            false => ("delivery-status", ""),
        };
        write!(out, "\r\n--{boundary}\r\nContent-Type: message/{media}\r\n{encoding}\r\n")?;
        write!(out, "Reporting-MTA: dns; {host}\r\n")?;
        if let Some(envid) = &self.dispatch.envid {
            write!(out, "Original-Envelope-Id: {}\r\n", envelope_id(envid))?;
        }
        write!(out, "Arrival-Date: {}\r\n", date(self.record.received))?;
        for (target, event) in self.lines {
            let status = match event.reason() {
                Some(reason) => format!("{}.{}.{}", reason.status.0, reason.status.1, reason.status.2),
                None => "2.0.0".to_owned(),
            };
            out.push_str("\r\n");
            if let Some((kind, address)) = target.orcpt.as_deref().and_then(|o| o.split_once(';')) {
                write!(out, "Original-Recipient: {};{}\r\n", clean(kind), typed(&unxtext(address), utf8).1)?;
            }
            // The final address stays inside where an alias was written to.
            let (kind, address) = typed(shown(target), utf8);
            write!(
                out,
                "Final-Recipient: {kind};{address}\r\nAction: {}\r\nStatus: {status}\r\n",
                event.action()
            )?;
            if let Some(reason) = event.reason() {
                let remote = reason.remote.as_deref().filter(|_| target.given.is_none());
                if let Some(remote) = remote.and_then(remote_mta) {
                    write!(out, "Remote-MTA: dns; {remote}\r\n")?;
                }
                let kind = if reason.remote.is_some() { "smtp" } else { "x-edict" };
                write!(out, "Diagnostic-Code: {kind}; {}\r\n", ascii(&told(target, reason)))?;
            }
            if let Some(until) = &until {
                write!(out, "Will-Retry-Until: {until}\r\n")?;
            }
        }
        out.push_str("\r\n");
        Ok(())
    }
}

/// An address with its domain in A-labels where its local part is ASCII: the notice can then go back over servers that know
/// no SMTPUTF8, as the message came (RFC 6531 3.2).
fn in_ascii(address: &str) -> Cow<'_, str> {
    let Some((local, domain)) = address.rsplit_once('@').filter(|(local, _)| local.is_ascii()) else {
        return Cow::Borrowed(address);
    };
    match edict_table::value::Domain::parse(domain) {
        Ok(domain) if !address.is_ascii() => Cow::Owned(format!("{local}@{domain}")),
        _ => Cow::Borrowed(address),
    }
}

/// The address that the author may see.
fn shown(target: &Target) -> &str {
    target.given.as_deref().unwrap_or(&target.address)
}

/// The reason that the author may read. Where he wrote to an alias it must not tell who stands behind it: a
/// reply that names the member, his domain or his server is cut down to its codes, and so are words of ours that may.
fn told(target: &Target, reason: &Reason) -> String {
    if target.given.is_none() {
        return reason.text.clone();
    }
    let text = reason.text.to_lowercase();
    let address = target.address.to_lowercase();
    let parts = address.rsplit_once('@').map_or([address.as_str(), ""], |(local, domain)| [local, domain]);
    let remote = reason.remote.as_ref().map(|remote| remote.to_lowercase()).unwrap_or_default();
    // Its name and its address; its provider's name, too.
    let mut server = remote.split(['[', ']']).take(2);
    let host = server.next().unwrap_or_default();
    let provider = host.split_once('.').map_or("", |(_, above)| above).trim_end_matches('.');
    let provider = if provider.contains('.') { provider } else { "" };
    let names = |part: &str| !part.is_empty() && text.contains(part);
    let named = parts.into_iter().chain([host, provider]).chain(server).any(names);
    if !named && !reason.names_hop {
        return reason.text.clone();
    }
    let is_code = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let codes: Vec<&str> = reason.text.split_ascii_whitespace().take(2).take_while(is_code).collect();
    [codes.join(" ").as_str(), "it could not be delivered to a member"].join(" ").trim_start().to_owned()
}

/// The header of a message, with the empty line's CRLF left off; cut at a line where it is very long.
fn header(message: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2);
    let head = message.get(..end).unwrap_or_default();
    if head.len() <= MAX_HEADER {
        return head;
    }
    let cut = head.get(..MAX_HEADER).unwrap_or_default();
    let end = memchr::memmem::rfind(cut, b"\r\n").map_or(0, |at| at + 2);
    cut.get(..end).unwrap_or_default()
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(900).collect()
}

fn ascii(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).map(|c| if c.is_ascii() { c } else { '?' }).take(800).collect()
}

/// The name of a next hop, or its address as a literal (RFC 3464 2.1.2, 2.3.5). None: it has neither, as a socket of this machine.
fn remote_mta(peer: &str) -> Option<String> {
    let name = peer.split('[').next().unwrap_or_default().trim_end_matches('.');
    match name.parse() {
        Ok(IpAddr::V4(ip)) => Some(format!("[{ip}]")),
        Ok(IpAddr::V6(ip)) => Some(format!("[IPv6:{ip}]")),
        Err(_) => {
            let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            (!name.is_empty() && name.bytes().all(is_name)).then(|| name.to_owned())
        }
    }
}

/// An address with its type; beyond ASCII as it is where `utf8`, else in the form of RFC 6533 3.
fn typed(address: &str, utf8: bool) -> (&'static str, String) {
    if !address.is_ascii() && utf8 {
        return ("utf-8", format!(" {}", clean(address)));
    }
    if address.is_ascii() {
        return ("rfc822", format!(" {}", clean(address)));
    }
    let mut out = String::from(" ");
    for c in address.chars().filter(|c| !c.is_control()) {
        if c.is_ascii() && c != '\\' {
            out.push(c);
        } else {
            // Writing into a string cannot fail.
            let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
        }
    }
    ("utf-8", out)
}

/// Decodes xtext (RFC 3461 4); what is no xtext stays.
fn unxtext(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let hex = more.get(..2).filter(|_| *first == b'+').and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The envelope identifier as it was given, decoded where it is what RFC 3461 4.4 allows: printable ASCII.
fn envelope_id(given: &str) -> String {
    let decoded = unxtext(given);
    let printable = decoded.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if printable { clean(&decoded) } else { ascii(given) }
}

fn date(milliseconds: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    jiff::fmt::rfc2822::to_string(&time.to_zoned_datetime(jiff::tz::TimeZone::UTC)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
