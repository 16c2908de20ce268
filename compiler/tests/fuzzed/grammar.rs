//! Rule sets grown out of the grammar: arbitrary bytes choose at every fork, so that a fuzzer that changes a
//! byte changes a choice. Facts and their types come from the registry, clauses and settings from the parser's
//! own tables, so that what is added to the language is grown here by itself.
//!
//! Most of what grows is well-formed and much of it has a meaning: names come from a small pool and are defined
//! at the end. [`damage`] then breaks some of it. The text is bounded by the number of bytes that choose.

#[path = "grammar/conditions.rs"]
mod conditions;
#[path = "grammar/damage.rs"]
mod damage;
#[path = "grammar/items.rs"]
mod items;
#[path = "grammar/values.rs"]
mod values;

pub use damage::damage;
use items::item;
use values::{address, domain, network, text};

/// The bytes that choose. Where they end, every choice is the first one, and all loops stop.
pub struct Choices<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter() }
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    /// Yes for one byte in `n`, and never past the end.
    fn rarely(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// One of the good ones, and rarely one of the bad.
    fn mostly(&mut self, good: &[&str], bad: &[&str]) -> String {
        if self.rarely(40) { self.pick(bad) } else { self.pick(good) }.to_owned()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Items, in the words of the grammar's first rule.
pub fn rule_file(c: &mut Choices<'_>) -> String {
    let mut out = "edict 1\n".to_owned();
    if c.rarely(16) {
        out = c.pick(&["", "\u{feff}edict 1\r\n", "# first\nedict 1 ", "edict 2\n"]).to_owned();
    }
    for number in 0..1 + c.below(9) {
        let item = item(c, number);
        out.push_str(&item);
        out.push_str(c.pick(&["\n", "\n\n", " ", "\r\n", " # remark\n", "\n# remark\n\n"]));
    }
    // Names that are used get a meaning.
    let defined = [
        ("a-list", "list a-list: address = [ann@example.com, @.example.org, bob@]"),
        ("d-list", "list d-list: domain = [example.com, .example.net, bücher.example]"),
        ("n-list", "list n-list: network = [192.0.2.0/24, 2001:db8::/32, ::1]"),
        ("t-list", "list t-list: text = [\"act now\", \"straße\", \"x\"]"),
        ("f-list", "list f-list: address from \"lists/f.txt\""),
        ("people", "group people = [ann@example.com, bob@example.net]"),
        (
            "hub",
            "relay hub { host [smtp.example.com:587, [2001:db8::1]:25] tls required credentials \"hub\" }",
        ),
    ];
    for (name, text) in defined {
        if out.contains(name) && !c.rarely(40) {
            out.push_str(text);
            out.push('\n');
        }
    }
    out
}

/// Lines of a list file.
pub fn list_file(c: &mut Choices<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    if c.rarely(6) {
        out.extend_from_slice(b"\xef\xbb\xbf");
    }
    for _ in 0..c.below(24) {
        let line = match c.below(6) {
            0 => address(c),
            1 => domain(c),
            2 => network(c),
            3 => text(c),
            4 => c
                .pick(&["# remark", "", "  ann@example.com  # why", "a@b c@d", "\"open", "\u{202e}x"])
                .to_owned(),
            _ => {
                let (local, label) = (c.byte(), c.byte());
                format!("u{local}@h{label}.example")
            }
        };
        out.extend_from_slice(line.as_bytes());
        if c.rarely(20) {
            out.push(c.byte());
        }
        out.extend_from_slice(c.pick(&[&b"\n"[..], b"\r\n", b"\n\n", b"\r", b" \n"]));
    }
    out
}

/// A rule set with its data files, as `path` and bytes.
pub fn rule_set(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let c = &mut Choices::new(bytes);
    let main = rule_file(c);
    let mut out = Vec::new();
    if main.contains("more.edict") || main.contains("*.edict") {
        let more = rule_file(c).replace("rule ", "more ").replace("own-", "more-");
        out.push(("more.edict".to_owned(), damage(c, more)));
    }
    out.push(("lists/f.txt".to_owned(), list_file(c)));
    out.push(("aliases.txt".to_owned(), list_file(c)));
    out.push(("mail.eml".to_owned(), b"Subject: x\n\ny\n".to_vec()));
    let main = damage(c, main);
    out.push(("main.edict".to_owned(), main));
    out
}
