//! List files: one entry a line; `#` starts a comment at the start of a line or behind white space.
//!
//! Plain ASCII addresses and domains are read where they lie; all else goes through the parsers of
//! [`edict_table::value`], to which a test holds the short way. A line of a text list is the text itself, or a
//! quoted text with the escapes of rule files.

use super::{Report, hint, lines, refused, span, unreadable};
use crate::ast::ListType;
use crate::diag::{Diagnostic, Severity};
use crate::lex::leaf;
use crate::span::{FileId, Span};
use edict_table::model::Entries;
use edict_table::value::domain::parents;
use edict_table::value::{NetworkError, Pattern, fold_text, parse_network};
use ipnet::IpNet;
use std::collections::HashMap;

/// Where an entry is: its key in the arena, and its line in the file.
#[derive(Clone, Copy)]
struct Slot {
    /// The first bytes of the key, so that most comparisons need no look at it.
    head: u128,
    start: u32,
    length: u32,
    /// Offset of the entry in the file, and its length there.
    line: u32,
    written: u32,
}

struct Reader {
    file: FileId,
    ty: ListType,
    arena: String,
    slots: Vec<Slot>,
    networks: Vec<(IpNet, Span)>,
    report: Report,
}

const CODE: &str = "E1401";

/// Reads a list file: entries in normal form (pattern keys, networks, folded texts), sorted by bytes, each once.
/// Where an error stands among the diagnostics, the entries are those of the good lines.
#[must_use]
pub fn parse_list(ty: ListType, bytes: &[u8], file: FileId) -> (Entries, Vec<Diagnostic>) {
    if let Some(diagnostic) = refused(CODE, file, bytes) {
        return (Entries::default(), vec![diagnostic]);
    }
    let mut reader = Reader {
        file,
        ty,
        arena: String::with_capacity(bytes.len()),
        slots: Vec::with_capacity(bytes.len() / 24),
        networks: Vec::new(),
        report: Report::new(file),
    };
    for (start, line) in lines(bytes) {
        reader.line(start, line);
    }
    reader.finish()
}

impl Reader {
    fn line(&mut self, start: usize, line: &[u8]) {
        if matches!(self.ty, ListType::Address | ListType::Domain) && self.plain(start, line) {
            return;
        }
        let text = match unreadable(CODE, self.file, start, line) {
            Ok(text) => text,
            Err(diagnostic) => return self.report.add(CODE, Severity::Error, || *diagnostic),
        };
        let lead = text.len() - text.trim_start().len();
        let entry = text.get(..comment(text)).unwrap_or(text).trim();
        if entry.is_empty() {
            return;
        }
        let at = span(self.file, start + lead, start + lead + entry.len());
        match self.key(entry, at) {
            Ok(key) => self.push(&key, at),
            Err(error) => {
                let ty = self.ty;
                self.report.add(CODE, Severity::Error, || hint::wrong(ty, entry, &error, at));
            }
        }
    }

    /// The short way for plain ASCII. False, and nothing is taken, where the line needs a closer look.
    fn plain(&mut self, start: usize, line: &[u8]) -> bool {
        let trimmed = line.trim_ascii();
        let start = start + (line.len() - line.trim_ascii_start().len());
        let Some(key) = Plain::read(trimmed, self.ty) else { return false };
        let Ok(text) = std::str::from_utf8(trimmed) else { return false };
        let from = self.arena.len();
        if !key.at {
            self.arena.push('@');
        }
        self.arena.push_str(text);
        if let Some(copy) = self.arena.get_mut(from..) {
            copy.make_ascii_lowercase();
        }
        self.slot(from, span(self.file, start, start + trimmed.len()));
        true
    }

    fn key(&mut self, entry: &str, at: Span) -> Result<String, hint::Why> {
        match self.ty {
            ListType::Address | ListType::Domain | ListType::Network if entry.starts_with('!') => {
                Err(hint::Why::Negated)
            }
            ListType::Text => {
                let text = match entry.strip_prefix('"') {
                    None => entry.to_owned(),
                    Some(inner) if closes(inner) && leaf::bad_escapes(entry).is_empty() => leaf::text(entry),
                    Some(_) => return Err(hint::Why::Quotes),
                };
                if text.trim().is_empty() { Err(hint::Why::Empty) } else { Ok(fold_text(&text).into_owned()) }
            }
            ListType::Network => match parse_network(entry) {
                Ok(network) => {
                    self.networks.push((network, at));
                    Ok(network.to_string())
                }
                Err(NetworkError::HostBits(network)) => Err(hint::Why::HostBits(network)),
                Err(NetworkError::Syntax) => Err(hint::Why::Network),
            },
            ListType::Address if !entry.contains('@') => Err(hint::Why::NoAt),
            // A local part that is `*` is legal, and never what is meant; quoted it is taken.
            ListType::Address if entry.starts_with("*@") => Err(hint::Why::Star),
            ListType::Domain if entry.contains('@') => Err(hint::Why::At),
            ListType::Domain if parse_network(entry).is_ok() => Err(hint::Why::Ip),
            ListType::Address | ListType::Domain => {
                Pattern::parse(entry).map(|p| p.key()).map_err(|e| hint::Why::Mailbox(e.to_string()))
            }
        }
    }

    fn push(&mut self, key: &str, at: Span) {
        let from = self.arena.len();
        self.arena.push_str(key);
        self.slot(from, at);
    }

    fn slot(&mut self, from: usize, at: Span) {
        let key = self.arena.get(from..).unwrap_or_default();
        let mut head = [0; 16];
        for (to, byte) in head.iter_mut().zip(key.bytes()) {
            *to = byte;
        }
        // The arena is at most a few times the file, which is bounded.
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (start, length) = (small(from), small(key.len()));
        let written = at.end - at.start;
        self.slots.push(Slot { head: u128::from_be_bytes(head), start, length, line: at.start, written });
    }

    fn finish(mut self) -> (Entries, Vec<Diagnostic>) {
        let arena = std::mem::take(&mut self.arena);
        let key = |slot: &Slot| {
            let start = slot.start as usize;
            arena.get(start..start + slot.length as usize).unwrap_or_default()
        };
        let mut slots = std::mem::take(&mut self.slots);
        slots.sort_unstable_by(|a, b| {
            a.head.cmp(&b.head).then_with(|| key(a).cmp(key(b))).then_with(|| a.line.cmp(&b.line))
        });
        let place = |slot: &Slot| span(self.file, slot.line as usize, (slot.line + slot.written) as usize);
        // In the order of the file, so that those told are the first.
        let mut twice: Vec<(&Slot, &Slot)> = Vec::new();
        let mut first = slots.first();
        for slot in slots.iter().skip(1) {
            match first {
                Some(one) if one.head == slot.head && key(one) == key(slot) => twice.push((slot, one)),
                _ => first = Some(slot),
            }
        }
        twice.sort_unstable_by_key(|(again, _)| again.line);
        for (again, one) in twice {
            self.report.add("W0101", Severity::Warning, || {
                let name = hint::written(self.ty, key(one));
                Diagnostic::warning("W0101", format!("`{name}` is listed twice"), place(again))
                    .label("here a second time")
                    .also(place(one), "listed here already")
                    .help("take one of the two out")
            });
        }
        slots.dedup_by(|a, b| a.head == b.head && key(a) == key(b));
        match self.ty {
            ListType::Address | ListType::Domain => {
                for (inner, outer) in covered(self.ty, &slots, key) {
                    self.report.add("W0104", Severity::Warning, || {
                        let (inner_name, outer_name) =
                            (hint::written(self.ty, key(inner)), hint::written(self.ty, key(outer)));
                        super::repeats::cover(&inner_name, &outer_name, place(inner), place(outer))
                    });
                }
            }
            ListType::Network => {
                for ((inner, at), (outer, by)) in nested(std::mem::take(&mut self.networks)) {
                    self.report.add("W0104", Severity::Warning, || {
                        let name = |net: IpNet| hint::written(self.ty, &net.to_string());
                        super::repeats::cover(&name(inner), &name(outer), at, by)
                    });
                }
            }
            ListType::Text => {}
        }
        let mut entries = Entries::default();
        for slot in &slots {
            if !entries.push(key(slot)) {
                break;
            }
        }
        (entries, self.report.finish())
    }
}

/// The place where a comment starts, or the end.
fn comment(text: &str) -> usize {
    let quoted = text.trim_start().starts_with('"');
    let mut inside = false;
    let mut escaped = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' if quoted => inside = !inside,
            '#' if !inside && before.is_whitespace() => return at,
            _ => {}
        }
        before = c;
    }
    text.len()
}

/// Whether what follows an opening quote ends in the quote that closes it.
fn closes(inner: &str) -> bool {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1 == inner.len(),
            _ => {}
        }
    }
    false
}

/// An entry in plain ASCII.
struct Plain {
    /// Has an `@`.
    at: bool,
}

impl Plain {
    /// Reads a line that is a plain entry of the type from end to end. What it takes, [`Pattern::parse`] takes,
    /// and the key is the entry in lower case, behind an `@` where it has none.
    fn read(line: &[u8], ty: ListType) -> Option<Self> {
        let at = line.iter().rposition(|b| *b == b'@');
        let (local, domain) = match (at, ty) {
            // What ends in a digit may be an IP address.
            (None, ListType::Domain) if !line.last().is_some_and(u8::is_ascii_digit) => (None, line),
            (Some(at), ListType::Address) => (line.get(..at), line.get(at + 1..)?),
            _ => return None,
        };
        let bare = domain.strip_prefix(b".").unwrap_or(domain);
        let local = local.unwrap_or_default();
        match (local.is_empty(), domain.is_empty()) {
            (true, _) => {}
            (false, true) => return is_local(local).then_some(Self { at: true }),
            // A dot behind the `@` of a whole address is for the closer look.
            (false, false) if bare.len() == domain.len() && is_local(local) => {}
            (false, false) => return None,
        }
        is_domain(bare).then_some(Self { at: at.is_some() })
    }
}

/// A dot-atom.
fn is_local(local: &[u8]) -> bool {
    let mut before = b'.';
    for byte in local {
        let dot = *byte == b'.';
        if (dot && before == b'.')
            || !(dot || byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(byte))
        {
            return false;
        }
        before = *byte;
    }
    before != b'.'
        && local.len() <= edict_table::value::address::MAX_LOCAL
        && !local.starts_with(b"#")
        && !local.starts_with(b"!")
        && local != b"*"
}

/// Labels of letters, digits, hyphens and underscores; none that might be an A-label.
fn is_domain(domain: &[u8]) -> bool {
    let mut label = 0_usize;
    let mut before = b'-';
    for (at, byte) in domain.iter().enumerate() {
        match byte {
            b'.' if label > 0 && before != b'-' => label = 0,
            b'-' if label > 0 => {
                // `xn--` needs the tables of IDNA; two hyphens in a row are rare enough.
                if before == b'-' {
                    return false;
                }
                label += 1;
            }
            b'_' => label += 1,
            byte if byte.is_ascii_alphanumeric() => label += 1,
            _ => return false,
        }
        if label > 63 || at >= edict_table::value::domain::MAX_DOMAIN {
            return false;
        }
        before = *byte;
    }
    label > 0 && before != b'-'
}

/// Entries that others of the list cover, each with one that does, in the order of the file.
fn covered<'a, 'k>(
    ty: ListType,
    slots: &'a [Slot],
    key: impl Fn(&Slot) -> &'k str,
) -> Vec<(&'a Slot, &'a Slot)> {
    // What can cover, by what it covers: a domain's addresses, its subdomains, a local part's addresses.
    let (mut domains, mut below, mut locals) = (HashMap::new(), HashMap::new(), HashMap::new());
    for slot in slots {
        let text = key(slot);
        if let Some(domain) = text.strip_prefix("@.") {
            below.insert(domain, slot);
        } else if let Some(local) = text.strip_suffix('@') {
            locals.insert(local, slot);
        } else if ty == ListType::Address
            && let Some(domain) = text.strip_prefix('@')
        {
            domains.insert(domain, slot);
        }
    }
    let mut out = Vec::new();
    if domains.is_empty() && below.is_empty() && locals.is_empty() {
        return out;
    }
    for slot in slots {
        let Some((local, domain)) = key(slot).rsplit_once('@') else { continue };
        let mut found = None;
        if !local.is_empty() && !domain.is_empty() {
            found = domains.get(domain).or_else(|| locals.get(local));
        }
        if found.is_none() && !below.is_empty() {
            let domain = domain.strip_prefix('.').unwrap_or(domain);
            found = parents(domain).find_map(|up| below.get(up));
        }
        out.extend(found.map(|by| (slot, *by)));
    }
    out.sort_unstable_by_key(|(slot, _)| slot.line);
    out
}

/// Networks inside others, each with the one around it, in the order of the file.
fn nested(mut networks: Vec<(IpNet, Span)>) -> Vec<((IpNet, Span), (IpNet, Span))> {
    networks.sort_unstable_by_key(|(net, at)| (net.network(), net.prefix_len(), *at));
    networks.dedup_by_key(|(net, _)| *net);
    let mut out: Vec<((IpNet, Span), (IpNet, Span))> = Vec::new();
    let mut around: Option<(IpNet, Span)> = None;
    for one in networks {
        match around {
            Some(outer) if outer.0.contains(&one.0) => out.push((one, outer)),
            _ => around = Some(one),
        }
    }
    out.sort_unstable_by_key(|((_, at), _)| *at);
    out
}

#[cfg(test)]
mod tests;
