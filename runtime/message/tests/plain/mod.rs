//! What the library does by runs of characters, a character at a time: slow and obvious, to compare with.

use edict_message::limits::MAX_LINE;
use edict_table::value::Address;

/// A header field, folded.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let name: String = name.chars().filter(|c| c.is_ascii_graphic() && *c != ':').collect();
    let mut out = String::new();
    if name.is_empty() {
        return Vec::new();
    }
    let mut line = format!("{name}:");
    for word in value.split(|c: char| c.is_control() || c == ' ').filter(|w| !w.is_empty()) {
        if line.len() + 1 + word.len() > 78 && line.trim_start().len() > name.len() + 1 {
            out.push_str(&line);
            out.push_str("\r\n");
            line.clear();
        }
        line.push(' ');
        for c in word.chars() {
            if line.len() + c.len_utf8() > MAX_LINE {
                break;
            }
            line.push(c);
        }
    }
    out.push_str(&line);
    out.push_str("\r\n");
    out.into_bytes()
}

#[derive(Default)]
struct Entry {
    phrase: String,
    bare: String,
    angle: Option<String>,
    comment: String,
    closed: bool,
    broken: bool,
}

impl Entry {
    fn in_angle(&self) -> bool {
        self.angle.is_some() && !self.closed
    }

    fn push(&mut self, c: char) {
        match &mut self.angle {
            Some(_) if self.closed => self.broken |= !c.is_whitespace(),
            Some(angle) => angle.push(c),
            None => {
                self.bare.push(c);
                self.phrase.push(c);
            }
        }
    }
}

/// Name, address and wire form of an entry.
type Read = (String, Option<Address>, String);

/// The entries of an address list on one line without encoded words, and whether one is broken.
pub fn list(text: &str) -> (Vec<Read>, bool) {
    let (mut out, mut broken) = (Vec::new(), false);
    let mut entry = Entry::default();
    let mut chars = text.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            '(' => {
                let mut depth = 1;
                while depth > 0 {
                    match chars.next() {
                        None => {
                            entry.broken = true;
                            break;
                        }
                        Some('\\') => entry.comment.extend(chars.next()),
                        Some('(') => depth += 1,
                        Some(')') => depth -= 1,
                        Some(c) => entry.comment.push(c),
                    }
                }
                if depth == 0 {
                    entry.push(' ');
                }
            }
            '"' => quoted(&mut chars, &mut entry),
            '[' => {
                entry.push(c);
                for c in chars.by_ref() {
                    entry.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '<' if entry.angle.is_none() => entry.angle = Some(String::new()),
            '>' if entry.in_angle() => entry.closed = true,
            ',' | ';' if !entry.in_angle() => finish(std::mem::take(&mut entry), &mut out, &mut broken),
            ':' if entry.angle.is_none() => entry = Entry::default(),
            c => entry.push(c),
        }
    }
    entry.broken |= entry.in_angle();
    finish(entry, &mut out, &mut broken);
    (out, broken)
}

fn quoted(chars: &mut std::str::Chars<'_>, entry: &mut Entry) {
    let (mut raw, mut plain, mut closed) = (String::from("\""), String::new(), false);
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

fn finish(entry: Entry, out: &mut Vec<Read>, broken: &mut bool) {
    let bare = entry.angle.is_none();
    let written = entry.angle.as_deref().unwrap_or(&entry.bare).trim();
    if bare && written.is_empty() {
        return;
    }
    let spec = if written.starts_with('@') {
        written.split_once(':').map_or(written, |(_, rest)| rest)
    } else {
        written
    };
    let wire = joined(spec);
    let address = wire.as_deref().and_then(|w| Address::parse(w).ok()).filter(|_| !entry.broken);
    *broken |= address.is_none();
    let name = if bare { entry.comment } else { entry.phrase };
    out.push((name.trim().to_owned(), address, wire.unwrap_or_else(|| written.to_owned())));
}

/// Without the white space around `.` and `@`; none where other white space parts atoms.
fn joined(spec: &str) -> Option<String> {
    let mut out = String::new();
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
