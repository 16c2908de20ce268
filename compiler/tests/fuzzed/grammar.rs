//! Rule sets grown out of the grammar: arbitrary bytes choose at every fork, so that a fuzzer that changes a
//! byte changes a choice. Facts and their types come from the registry, clauses and settings from the parser's
//! own tables, so that what is added to the language is grown here by itself.
//!
//! Most of what grows is well-formed and much of it has a meaning: names come from a small pool and are defined
//! at the end. [`damage`] then breaks some of it. The text is bounded by the number of bytes that choose.

use edict_compiler::lex::lex;
use edict_compiler::parse::words::{ITEMS, RESERVED, SETTINGS, clauses};
use edict_compiler::span::FileId;
use edict_table::fact::{Fact, REGISTRY, Row, Type};

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

fn item(c: &mut Choices<'_>, number: usize) -> String {
    let name = if c.rarely(60) { "same".to_owned() } else { format!("rule {number}") };
    match c.below(16) {
        0 | 1 => verdict(c, "reject", &name, true),
        2 => {
            let verb = c.pick(&["allow", "hold", "discard"]);
            verdict(c, verb, &name, false)
        }
        3 => verdict(c, "defer", &name, true),
        4 => {
            let (per, count, of) =
                (c.pick(&["client.ip", "rule"]), number_word(c), c.pick(&["connections", "messages"]));
            let window = c.pick(&[
                "per minute",
                "at once",
                "per 10 min",
                "per second",
                "per day",
                "per 2 d",
                "per hour",
            ]);
            let (conditions, reply) = (conditions(c), reply(c));
            format!("limit \"{name}\" {{ per {per} at most {count} {of} {window}\n{conditions}{reply}}}")
        }
        5 => {
            let (to, copy) =
                (set(c, mailbox), c.pick(&["", "copy modified ", "record envelope ", "copy original "]));
            format!("bcc \"{name}\" {{ {}to {to} {copy}}}", conditions(c))
        }
        6 => {
            let per = c.pick(&["user", "sender", "sender.domain", "rule"]);
            let bound = c.mostly(
                &["500 messages per day", "10 recipients per rolling day", "200 MiB per day"],
                &["0 B per day"],
            );
            let warn = c.mostly(&["", "warn at 80 % "], &["warn at 100 % ", "warn at 0 % "]);
            let (conditions, reply) = (conditions(c), reply(c));
            format!("quota \"{name}\" {{ per {per} at most {bound}\n{warn}{conditions}{reply}}}")
        }
        7 => {
            let direction =
                c.mostly(&["when direction is outbound ", "when direction in [outbound, internal] "], &[""]);
            let rest = c.pick(&[
                "",
                "continue ",
                "place above-quote ",
                "replies never ",
                "signed wrap ",
                "html \"\"\"\n<p>x</p>\n\"\"\" ",
            ]);
            format!(
                "disclaimer \"{name}\" {{ {direction}{}text \"\"\"\n  Legal.\n   \"\"\" {rest}}}",
                conditions(c)
            )
        }
        8 => {
            let (via, local) =
                (c.mostly(&["mx", "hub", "local"], &["nowhere"]), c.pick(&["", "local yes ", "local no "]));
            format!("route \"{name}\" {{ {}via {via} {local}}}", conditions(c))
        }
        9 => {
            let key = c.mostly(
                &["sales@example.com", "@example.org", "ann@example.com", "a@example.net"],
                &["info", "a@", "x y"],
            );
            let members = set(c, mailbox);
            let block = c.pick(&[
                "",
                " { owner boss@example.com }",
                " { may-send [group people, ann@example.com] note \"x\" }",
            ]);
            format!("alias {key} = {members}{block}")
        }
        10 => {
            let ty = c.pick(&["address", "domain", "network", "text"]);
            let entries = set(c, |c| match ty {
                "address" => address(c),
                "domain" => domain(c),
                "network" => network(c),
                _ => text(c),
            });
            format!("list own-{number}: {ty} = {entries}")
        }
        11 => profile(c),
        12 => test(c, &name),
        13 => format!("group own-{number} = {}", set(c, mailbox)),
        14 => c.mostly(
            &["import \"more.edict\"", "aliases from \"aliases.txt\"", "relay r { host [a.example] }"],
            &["import \"../x\"", "import \"none/*.edict\""],
        ),
        _ if !c.rarely(4) => String::new(),
        _ => {
            // Any clause of any item, in any item.
            let item = c.pick(ITEMS);
            let clause = c.pick(clauses(item).get(..).filter(|all| !all.is_empty()).unwrap_or(SETTINGS));
            let word = c.pick(RESERVED).0;
            c.pick(&[
                format!("{item} \"{name}\" {{ {clause} 10 }}").as_str(),
                format!("{item} {clause}").as_str(),
                format!("{word} \"{name}\" {{ }}").as_str(),
                format!("reject \"{name}\" {{ {word} \"x\" {clause} }}").as_str(),
            ])
            .to_owned()
        }
    }
}

fn verdict(c: &mut Choices<'_>, verb: &str, name: &str, replies: bool) -> String {
    let conditions = conditions(c);
    let reply = if replies { reply(c) } else { String::new() };
    format!("{verb} \"{name}\" {{\n    {conditions}{reply}}}")
}

fn reply(c: &mut Choices<'_>) -> String {
    c.mostly(
        &["", "reply \"Your network\"\n"],
        &[
            "reply 554 5.7.1 \"No\"\n",
            "reply 450 4.7.1 \"Later\"\n",
            "reply 5.1.1\n",
            "reply 250 \"Yes\"\n",
            "reply 554 4.7.1 \"ü\\n\"\n",
        ],
    )
}

/// The clauses that every rule takes.
fn conditions(c: &mut Choices<'_>) -> String {
    let mut out = String::new();
    for _ in 0..c.below(3) {
        out.push_str(c.pick(&["when ", "unless "]));
        out.push_str(&condition(c, 4));
        out.push_str(c.pick(&["\n    ", " ", " # why\n"]));
    }
    out.push_str(&c.mostly(
        &[
            "",
            "",
            "priority 10 ",
            "priority 4294967295 ",
            "mode audit ",
            "mode off ",
            "note \"\\u{20AC}\" ",
            "active from 2026-12-01 until 2027-01-15 ",
        ],
        &["active until 2026-02-29 ", "priority x ", "mode on ", "active "],
    ));
    out
}

fn condition(c: &mut Choices<'_>, depth: usize) -> String {
    match c.below(8) {
        0 if depth > 0 => format!("({})", condition(c, depth - 1)),
        1 if depth > 0 => format!("not {}", condition(c, depth - 1)),
        2 if depth > 0 => format!("{} and {}", condition(c, depth - 1), condition(c, depth - 1)),
        3 if depth > 0 => format!("{} or {}", condition(c, depth - 1), condition(c, depth - 1)),
        4 if c.rarely(16) => {
            // As deep as it goes, and one more.
            let deep = c.pick(&[59, 60, 61, 62, 200]);
            format!("{}submitted{}", "(".repeat(deep), ")".repeat(deep))
        }
        _ => fact_test(c),
    }
}

/// A test on any fact there is, mostly one that its type takes.
fn fact_test(c: &mut Choices<'_>) -> String {
    let row = c.pick(REGISTRY);
    // Flags that are asked by a phrase have it in their names.
    let name = match row.fact {
        Fact::Header => format!("header(\"{}\")", c.mostly(&["X-Spam", "Received", "Subject"], &["x y", ""])),
        Fact::ClientListed => {
            return format!(
                "client.ip is listed in \"{}\"",
                c.mostly(&["zen.example", "b.example"], &["b.example.", "", "[::1]"])
            );
        }
        Fact::Time => "size".to_owned(),
        _ => row.name.to_owned(),
    };
    if row.optional && c.rarely(8) || c.rarely(60) {
        return format!(
            "{name} {}",
            c.pick(&[
                "is present",
                "is absent",
                "is not present",
                "is unqualified",
                "is malformed",
                "is unresolvable",
                "is unknown"
            ])
        );
    }
    match row.ty {
        Type::Flag => name,
        Type::Count => {
            format!("{name} {} {}", c.pick(&[">", ">=", "<", "<=", "is", "is not"]), number_word(c))
        }
        Type::Size => format!("{name} {} {}", c.pick(&[">", ">=", "<", "<=", "is", "is not"]), size(c)),
        Type::Enum(words) => {
            let word = c.pick(words);
            c.pick(&[format!("{name} is {word}"), format!("{name} not in [{word}, {}]", words[0])].each_ref())
                .clone()
        }
        _ => {
            let row = if c.rarely(60) { c.pick(REGISTRY) } else { row };
            one_of(c, &name, &row)
        }
    }
}

fn one_of(c: &mut Choices<'_>, name: &str, row: &Row) -> String {
    let value = |c: &mut Choices<'_>| match row.ty {
        Type::Address => address(c),
        Type::Domain => domain(c),
        Type::Network => network(c),
        _ => text(c),
    };
    let list = match row.ty {
        Type::Address => c.pick(&["a-list", "d-list", "f-list", "local-domains"]),
        Type::Domain => c.pick(&["d-list", "relay-domains", "local-domains"]),
        Type::Network => c.pick(&["n-list", "trusted"]),
        _ => "t-list",
    };
    let globs = row.ty != Type::Network;
    let texts = row.ty == Type::Text || c.rarely(60);
    match c.below(12) {
        1 => format!("{name} is not {}", value(c)),
        2 => format!("{name} in {list}"),
        3 => format!("{name} not in {list}"),
        4 => format!("{name} in {}", brackets(c, value)),
        5 if row.ty == Type::Address || c.rarely(60) => format!("{name} in group people"),
        6 if texts => format!("{name} contains {}", text(c)),
        7 if texts => format!("{name} contains any of {}", c.pick(&["t-list", "[\"a\", \"b\"]"])),
        8 if texts => format!("{name} {} with {}", c.pick(&["starts", "ends"]), text(c)),
        9 if texts => format!("{name} {} with any of t-list", c.pick(&["starts", "ends"])),
        10 if globs => {
            format!(
                "{name} matches {}",
                c.mostly(
                    &["\"spring-*\"", "\"*\"", "\"a?c\\\\*\"", "\"*.example.com\""],
                    &["\"\"", "\"a\\\\\"", "\"plain\""]
                )
            )
        }
        11 if globs => {
            let regex = c.mostly(
                &["win (a|the) prize", "^x+$", "a\\/b", "\\d{1,9}", "é|ß"],
                &["[", "(a*)*b", "", ".{900}", "(?=a)"],
            );
            format!("{name} matches /{regex}/")
        }
        _ => format!("{name} is {}", value(c)),
    }
}

fn brackets(c: &mut Choices<'_>, mut each: impl FnMut(&mut Choices<'_>) -> String) -> String {
    let mut all: Vec<String> = (0..c.below(5)).map(|_| each(c)).collect();
    if all.is_empty() && !c.rarely(40) {
        all.push(each(c));
    }
    if c.rarely(6) {
        // A comma behind the last one.
        all.push(String::new());
    }
    format!("[{}]", all.join(&c.mostly(&[", ", ",", ",\n    ", " , # one\n"], &[" "])))
}

fn set(c: &mut Choices<'_>, mut each: impl FnMut(&mut Choices<'_>) -> String) -> String {
    if c.rarely(6) {
        return each(c);
    }
    brackets(c, |c| if c.rarely(9) { "group people".to_owned() } else { each(c) })
}

fn address(c: &mut Choices<'_>) -> String {
    c.mostly(
        &[
            "ann@example.com",
            "@example.com",
            "@.example.com",
            "bob@",
            "Ann+tag@Example.COM",
            "ann@bücher.example",
            "sales@example.com",
            "a@example.net",
            "\"a b\"@example.com",
            "ann@[192.0.2.1]",
        ],
        &["ann@@example.com", "*@example.com", "info", "example.com", "a..b@example.com"],
    )
}

/// One mailbox.
fn mailbox(c: &mut Choices<'_>) -> String {
    c.mostly(
        &["ann@example.com", "Bob@example.net", "archive@example.com", "ext@other.example"],
        &["@example.com", "bob@", "info"],
    )
}

fn domain(c: &mut Choices<'_>) -> String {
    c.mostly(
        &[
            "example.com",
            ".example.com",
            "bücher.example",
            "xn--bcher-kva.example",
            "EXAMPLE.org",
            "x.example.com",
            "b.example",
        ],
        &["a..b", "localhost", "xn--a.example", "-a.example"],
    )
}

fn network(c: &mut Choices<'_>) -> String {
    c.mostly(
        &["192.0.2.7", "192.0.2.0/24", "2001:db8::/32", "::1", "10.0.0.0/8", "::ffff:192.0.2.0/120"],
        &["0.0.0.0/0", "192.0.2.7/24", "10.0.0.0/33", "example.com"],
    )
}

fn text(c: &mut Choices<'_>) -> String {
    c.mostly(
        &[
            "\"act now\"",
            "\"x\"",
            "\"STRASSE ß\"",
            "\"a\\\"b\\\\\"",
            "\"\\u{130}\"",
            "\"\"\"\n  two\n   lines\n  \"\"\"",
            "\"ann\"",
        ],
        &["\"\"", "\"\\q\"", "ann", "\" \""],
    )
}

fn number_word(c: &mut Choices<'_>) -> String {
    c.mostly(
        &["1", "10", "100", "007"],
        &["0", "18446744073709551615", "18446744073709551616", "10 KiB", "1.5"],
    )
}

fn size(c: &mut Choices<'_>) -> String {
    c.mostly(&["10 KiB", "25MB", "1 B", "3MiB"], &["0 B", "16777216 TiB", "10", "10 kb", "5 s"])
}

fn profile(c: &mut Choices<'_>) -> String {
    let mut out = "profile {\n".to_owned();
    let mut left: Vec<&str> = SETTINGS.to_vec();
    for _ in 0..1 + c.below(8) {
        let setting = left.remove(c.below(left.len()));
        let value = match setting {
            "hostname" => c.mostly(&["mx.example.com"], &["localhost", "[::1]"]),
            "banner" => c.mostly(&["\"mx.example.com ESMTP\"\n    hostname mx.example.com"], &["\"hi\\n\""]),
            "local-domains" => brackets(c, domain),
            "domain-aliases" => c.mostly(
                &["[]"],
                &["[example.net is example.com]", "[a.example is a.example, b.example is a.example]"],
            ),
            "relay-domains" => c.mostly(
                &["[partner.example via hub recipients ask]", "[partner.example]"],
                &["[example.com]", "[x.example via nowhere]"],
            ),
            "recipients" => {
                c.mostly(&["known", "ask", "any", "known in a-list"], &["known in [a-list, d-list]"])
            }
            "trusted-networks" => brackets(c, network),
            "postmaster" | "notice-copies" => set(c, mailbox),
            "time-zone" => c.mostly(&["\"Europe/Berlin\"", "\"UTC\""], &["\"Mars/North\""]),
            "max-message-size" | "max-attachment-size" => size(c),
            "errors" => {
                c.mostly(&["slow after 10, close after 20"], &["close after 5 slow after 9", "slow after x"])
            }
            "auto-forwarding" => {
                c.pick(&["on", "off", "off except [group people, @partner.example]"]).to_owned()
            }
            "max-recipients" | "max-hops" | "junk-commands" => number_word(c),
            "auth" => c.mostly(&["optional", "required"], &["off"]),
            "auth-without-tls" => c.mostly(&["forbidden", "allowed"], &["off"]),
            "auth-for-trusted" => c.mostly(&["skipped", "required"], &["off"]),
            "sender-must" => c.mostly(&["be-anything", "equal-login", "own-address"], &["login"]),
            "forward-sender" => c.mostly(&["srs", "keep"], &["on"]),
            "helo" => c.mostly(&["required", "optional"], &["off"]),
            "vrfy" => c.mostly(&["on", "off"], &["yes"]),
            _ => c.mostly(&["strict", "lenient"], &["off"]),
        };
        out.push_str(&format!("    {setting} {value}\n"));
    }
    out + "}"
}

fn test(c: &mut Choices<'_>, name: &str) -> String {
    let mut out = format!("test \"{name}\" {{\n");
    out.push_str(&c.mostly(
        &["sender <>\n", "sender bob@partner.example\n"],
        &["", "sender bob\n", "sender [bob@x.example]\n"],
    ));
    out.push_str(&c.mostly(
        &["recipient ann@example.com\n", "recipient [ann@example.com, bob@example.net]\n"],
        &["", "recipient ann\n", "recipient []\n"],
    ));
    for _ in 0..c.below(6) {
        out.push_str(&c.mostly(
            &[
                "client 203.0.113.9\n",
                "client-name mx.example.com\n",
                "helo [192.0.2.1]\n",
                "tls yes\n",
                "spf fail\n",
                "dkim [a.example, b.example]\n",
                "login ann\n",
                "recipient carl@example.org\n",
                "header \"Subject: hello\"\n",
                "body \"\"\"\nHello\n\"\"\"\n",
                "message \"mail.eml\"\n",
                "size 10 KiB\n",
                "time 2026-12-24T18:00\n",
                "dns \"a.example\" answers [mx b.example, 192.0.2.1, txt \"x\"]\n",
                "dns \"a.example\" answers failure\n",
                "usage 499 messages\n",
                "usage 20 MiB\n",
            ],
            &[
                "header \"no colon\"\n",
                "client\n",
                "client mx.example\n",
                "dns \"a.example\" answers servfail\n",
                "dns \"a b\" answers [mx 1.2.3.4, txt x]\n",
            ],
        ));
    }
    out.push_str(&c.mostly(
        &["expect accept", "expect no bcc no disclaimer"],
        &[
            "expect reject 554 by \"rule 0\" at rcpt reply \"No\" for ann@example.com",
            "expect recipients [ann@example.com] bcc [] route \"hub\"",
            "expect allow by \"nobody\"",
            "expect reject 250 route nomx bcc [x, \"rule 0\"] for nobody@example.com",
            "expect accept reject by \"rule 1\"",
            "",
        ],
    ));
    out + "\n}"
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

/// Breaks a rule file in a few places: tokens lost, doubled, swapped, put in, and single characters changed.
pub fn damage(c: &mut Choices<'_>, text: String) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    if !c.rarely(3) {
        return bytes;
    }
    for _ in 0..=c.below(3) {
        let lexed = lex(FileId(0), &bytes);
        let count = lexed.tokens.len();
        if count == 0 {
            break;
        }
        let place = (usize::from(c.byte()) << 8 | usize::from(c.byte())) % count;
        let length = 1 + c.below(6);
        let piece = |from: usize, to: usize| -> Vec<u8> {
            let (from, to) = (from.min(count), to.min(count));
            let start = lexed.tokens.get(from).map_or(bytes.len(), |t| t.start as usize);
            let end = lexed.tokens.get(to).map_or(bytes.len(), |t| t.start as usize);
            bytes[start..end.max(start)].to_vec()
        };
        let (head, middle, tail) =
            (piece(0, place), piece(place, place + length), piece(place + length, count));
        let put = c.pick(&[
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            ",",
            "\"",
            "\"\"\"",
            "/",
            "#",
            "\n",
            "when ",
            "not ",
            " or ",
            "=",
            "<>",
            ">=",
            "edict 1\n",
            "\0",
            "\u{feff}",
            "\r",
            "group ",
            " x ",
            "reject ",
            ":",
            "\u{202e}",
            "!=",
            "&&",
        ]);
        bytes = match c.below(6) {
            0 => [head, tail].concat(),
            1 => [head, middle.clone(), middle, tail].concat(),
            2 => [head, put.as_bytes().to_vec(), middle, tail].concat(),
            3 => [head, put.as_bytes().to_vec(), tail].concat(),
            4 => {
                let mut middle = middle;
                if let Some(byte) = middle.first_mut() {
                    *byte = c.byte();
                }
                [head, middle, tail].concat()
            }
            _ => [middle, head, tail].concat(),
        };
    }
    bytes
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
