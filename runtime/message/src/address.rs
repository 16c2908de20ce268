//! Address lists of From, To and Cc (RFC 5322 3.4), read as strictly as a sender check needs.
//!
//! Own code, since what a mail program shows and what a check compares must be the same: quoted local parts,
//! comments, groups, source routes. Linear; nothing recurses. An entry that cannot be read is kept as
//! broken rather than repaired.

use crate::limits::MAX_ADDRESSES;
use crate::words;
use edict_table::value::Address;

/// One entry of a list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mailbox {
    /// The display name, decoded; the comment behind a bare address where there is one. May be empty.
    pub name: String,
    /// The address in policy form; none where it cannot be read.
    pub address: Option<Address>,
    /// The address as written, without comments.
    pub wire: String,
}

/// A list of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// Its entries, members of groups among them.
    pub mailboxes: Vec<Mailbox>,
    /// An entry could not be read, or the list is past the limits.
    pub broken: bool,
}

/// What is gathered of one entry.
#[derive(Default)]
struct Entry {
    /// Display form: quotes and escapes undone.
    phrase: String,
    /// As written outside comments: what an address without angle brackets is made of.
    bare: String,
    /// Between angle brackets.
    angle: Option<String>,
    comment: String,
    closed: bool,
    broken: bool,
}

/// Reads the value of an address field.
#[must_use]
pub fn list(value: &[u8]) -> List {
    let mut out = List::default();
    let value = match value.get(..MAX_ADDRESSES) {
        Some(cut) if cut.len() < value.len() => {
            out.broken = true;
            cut
        }
        _ => value,
    };
    let text = words::unfold(value);
    let mut chars = text.chars();
    let mut entry = Entry::default();
    loop {
        // What stands between two signs is taken as a whole.
        let rest = chars.as_str();
        let plain = rest.find(['(', '"', '[', '<', '>', ',', ';', ':']).unwrap_or(rest.len());
        let (plain, from) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        entry.push(plain);
        chars = from.chars();
        let Some(sign) = chars.next() else { break };
        match sign {
            '(' => comment(&mut chars, &mut entry),
            '"' => quoted(&mut chars, &mut entry),
            '[' => {
                // A literal holds colons, which part nothing there.
                let end = from.find(']').map_or(from.len(), |end| end + 1);
                let (literal, after) = from.split_at_checked(end).unwrap_or((from, ""));
                entry.push(literal);
                chars = after.chars();
            }
            '<' if entry.angle.is_none() => entry.angle = Some(String::new()),
            '>' if entry.in_angle() => entry.closed = true,
            ',' | ';' if !entry.in_angle() => finish(&mut out, std::mem::take(&mut entry)),
            ':' if entry.angle.is_none() => entry = Entry::default(),
            _ => entry.push(from.get(..sign.len_utf8()).unwrap_or_default()),
        }
    }
    if entry.in_angle() {
        entry.broken = true;
    }
    finish(&mut out, entry);
    out
}

impl Entry {
    fn in_angle(&self) -> bool {
        self.angle.is_some() && !self.closed
    }

    fn push(&mut self, text: &str) {
        match &mut self.angle {
            Some(_) if self.closed => self.broken |= !text.trim().is_empty(),
            Some(angle) => angle.push_str(text),
            None => {
                self.bare.push_str(text);
                self.phrase.push_str(text);
            }
        }
    }
}

/// A comment, nested ones inside (RFC 5322 3.2.2). Its opening was read.
fn comment(chars: &mut std::str::Chars<'_>, entry: &mut Entry) {
    let mut depth = 1_usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => entry.comment.extend(chars.next()),
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    // A comment parts atoms as white space does.
                    entry.push(" ");
                    return;
                }
            }
            c => entry.comment.push(c),
        }
    }
    entry.broken = true;
}

/// A quoted string; its opening was read.
fn quoted(chars: &mut std::str::Chars<'_>, entry: &mut Entry) {
    let mut raw = String::from("\"");
    let mut plain = String::new();
    let mut closed = false;
    while let Some(c) = chars.next() {
        raw.push(c);
        match c {
            '\\' => {
                if let Some(c) = chars.next() {
                    raw.push(c);
                    plain.push(c);
                }
            }
            '"' => {
                closed = true;
                break;
            }
            c => plain.push(c),
        }
    }
    entry.broken |= !closed;
    match &mut entry.angle {
        Some(_) if entry.closed => entry.broken = true,
        Some(angle) => angle.push_str(&raw),
        None => {
            entry.bare.push_str(&raw);
            entry.phrase.push_str(&plain);
        }
    }
}

fn finish(out: &mut List, entry: Entry) {
    let bare = entry.angle.is_none();
    let written = entry.angle.as_deref().unwrap_or(&entry.bare);
    if bare && written.trim().is_empty() {
        // An empty place between commas.
        return;
    }
    let wire = join(route(written.trim()));
    let address = wire.as_deref().and_then(|w| Address::parse(w).ok()).filter(|_| !entry.broken);
    out.broken |= address.is_none();
    let name = if bare { entry.comment } else { entry.phrase };
    let wire = wire.unwrap_or_else(|| written.trim().to_owned());
    out.mailboxes.push(Mailbox { name: words::decode(name.trim()).into_owned(), address, wire });
}

/// Drops a source route: `@a,@b:user@c` (RFC 5322 4.4).
fn route(spec: &str) -> &str {
    if spec.starts_with('@') { spec.split_once(':').map_or(spec, |(_, rest)| rest) } else { spec }
}

/// Removes the white space that may stand around `.` and `@`; `None` where other white space parts atoms.
/// White space inside quotes stays.
fn join(spec: &str) -> Option<String> {
    let mut out = String::with_capacity(spec.len());
    let (mut quote, mut escape, mut gap) = (false, false, false);
    for c in spec.chars() {
        if quote {
            out.push(c);
            quote = escape || c != '"';
            escape = !escape && c == '\\';
            continue;
        }
        if c.is_whitespace() {
            gap = true;
            continue;
        }
        if gap && !matches!(c, '.' | '@') && !out.is_empty() && !out.ends_with(['.', '@']) {
            return None;
        }
        gap = false;
        quote = c == '"';
        out.push(c);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(String, String)>, bool) {
        let list = list(text.as_bytes());
        let entries = list.mailboxes.into_iter();
        let entries = entries.map(|m| (m.name, m.address.map(|a| a.to_string()).unwrap_or_default()));
        (entries.collect(), list.broken)
    }

    #[test]
    fn reads_lists() {
        let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        for (text, want) in [
            (" Ann@Example.com", vec![pair("", "ann@example.com")]),
            ("Ann Lee <ann@x.com>,\r\n bob@y.com", vec![pair("Ann Lee", "ann@x.com"), pair("", "bob@y.com")]),
            ("\"Lee, Ann\" <ann@x.com>", vec![pair("Lee, Ann", "ann@x.com")]),
            ("ann@x.com (Ann \\(x\\) (y))", vec![pair("Ann (x) y", "ann@x.com")]),
            ("\"a b\"@x.com", vec![pair("", "a b@x.com")]),
            ("<\"a b\"@x.com>", vec![pair("", "a b@x.com")]),
            (
                "friends: a@x.com, B <b@x.com>;, c@x.com",
                vec![pair("", "a@x.com"), pair("B", "b@x.com"), pair("", "c@x.com")],
            ),
            ("undisclosed-recipients:;", vec![]),
            ("<@a.com,@b.com:c@x.com>", vec![pair("", "c@x.com")]),
            ("ann @ x . com", vec![pair("", "ann@x.com")]),
            ("=?utf-8?q?J=C3=B6rg?= <j@x.com>", vec![pair("Jörg", "j@x.com")]),
            ("a@[IPv6:2001:db8::1]", vec![pair("", "a@[ipv6:2001:db8::1]")]),
            ("a@[192.0.2.1], b@x.com", vec![pair("", "a@[192.0.2.1]"), pair("", "b@x.com")]),
        ] {
            assert_eq!(read(text), (want, false), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_not_the_address() {
        let (entries, broken) = read("ceo@corp.example <thief@evil.example>");
        assert_eq!(entries, [("ceo@corp.example".to_owned(), "thief@evil.example".to_owned())]);
        assert!(!broken);
    }

    #[test]
    fn broken_entries_say_so() {
        for text in ["a@x b@y", "a b@x", "no address", "<a@x", "\"open", "a@x> (", "<>", "a@x <b@x> c@x"] {
            assert!(list(text.as_bytes()).broken, "{text}");
        }
    }
}
