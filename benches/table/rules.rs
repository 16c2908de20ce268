//! Rule sets and mail for the benches: as many rules as asked for, of which the same few match.
//!
//! Built as tables, so that a bench measures decisions and not the compiler.
#![expect(clippy::panic, reason = "where the rules are no table there is nothing to measure")]

use edict_table::emit::try_emit;
use edict_table::fact::Fact;
use edict_table::facts::{BodyFacts, Direction, Facts, HeaderFacts, HeaderField, Slot};
use edict_table::load::Loaded;
use edict_table::model::{
    Action, Condition, Entries, List, ListKind, Mode, Predicate, Reply, Rule, Table, Test, Verb, Verdict,
};
use edict_table::value::{Address, Domain};
use std::net::IpAddr;
use std::sync::Arc;

/// A table under construction.
#[derive(Default)]
pub struct Maker {
    /// The table so far.
    pub table: Table,
}

impl Maker {
    /// One with a local domain.
    #[must_use]
    pub fn new() -> Self {
        let mut maker = Self::default();
        maker.table.profile.local_domains = vec!["in.example".to_owned()];
        maker
    }

    /// Adds a list.
    pub fn list(&mut self, kind: ListKind, entries: impl IntoIterator<Item = String>) -> u32 {
        let entries = entries.into_iter().collect::<Entries>().sorted();
        self.table.lists.push(List { name: None, kind, entries });
        (self.table.lists.len() - 1) as u32
    }

    fn node(&mut self, condition: Condition) -> u32 {
        self.table.conditions.push(condition);
        (self.table.conditions.len() - 1) as u32
    }

    /// Adds a test; equal ones more than once are the caller's business.
    pub fn test(&mut self, fact: Fact, parameter: &str, test: Test) -> u32 {
        self.table.predicates.push(Predicate { fact, parameter: parameter.to_owned(), test });
        let predicate = (self.table.predicates.len() - 1) as u32;
        self.node(Condition::Test(predicate))
    }

    /// Adds a test on a list of these.
    pub fn is(&mut self, fact: Fact, kind: ListKind, entries: &[String]) -> u32 {
        let list = self.list(kind, entries.iter().cloned());
        self.test(fact, "", Test::InList(list))
    }

    /// All of them.
    pub fn all(&mut self, parts: Vec<u32>) -> u32 {
        self.node(Condition::All(parts))
    }

    /// The opposite.
    pub fn not(&mut self, part: u32) -> u32 {
        self.node(Condition::Not(part))
    }

    /// Adds a `reject`.
    pub fn reject(&mut self, condition: u32) {
        let number = self.table.rules.len();
        let reply = Reply { code: 550, enhanced: (5, 7, 1), text: "Refused by policy".to_owned() };
        self.table.rules.push(Rule {
            name: format!("rule {number:07}"),
            priority: 100,
            mode: Mode::Enforce,
            condition,
            action: Action::Verdict(Verdict { verb: Verb::Reject, reply: Some(reply) }),
        });
    }

    /// Emits and loads.
    ///
    /// # Panics
    /// Where the maker made no table.
    #[must_use]
    pub fn load(&self) -> Loaded {
        load(&self.table)
    }
}

/// Emits and loads a table.
///
/// # Panics
/// Where it is none.
#[must_use]
pub fn load(table: &Table) -> Loaded {
    let bytes = try_emit(table).unwrap_or_else(|e| panic!("{e}"));
    Loaded::new(Arc::new(bytes)).unwrap_or_else(|e| panic!("{e}"))
}

/// Envelope rules of six shapes, each on values of its own; none matches [`Mail`].
#[must_use]
pub fn envelope(rules: usize) -> Maker {
    let mut m = Maker::new();
    let login = m.test(Fact::AuthUser, "", Test::Present);
    let stranger = m.not(login);
    let inbound = m.test(Fact::Direction, "", Test::OneOf(0b0001));
    for i in 0..rules {
        let condition = match i % 6 {
            0 | 1 => {
                let who =
                    m.is(Fact::Sender, ListKind::Mailbox, &[format!("user{i}@sender{}.example", i % 97)]);
                m.all(vec![who, inbound])
            }
            2 => m.is(
                Fact::SenderDomain,
                ListKind::Mailbox,
                &[format!("@d{i}.example"), format!("@.d{i}.example")],
            ),
            3 => {
                let net = format!("{}.{}.{}.0/24", 11 + i % 100, i / 25_600 % 256, i / 100 % 256);
                let net = m.is(Fact::ClientIp, ListKind::Network, &[net]);
                m.all(vec![net, stranger])
            }
            4 => {
                let to = m.is(Fact::Recipient, ListKind::Mailbox, &[format!("box{i}@in.example")]);
                let from = m.is(Fact::SenderDomain, ListKind::Mailbox, &[format!("@.from{i}.example")]);
                m.all(vec![to, from])
            }
            _ => m.is(Fact::Helo, ListKind::Mailbox, &[format!("@helo{i}.example")]),
        };
        m.reject(condition);
    }
    m.table.canonical();
    m
}

/// One rule on a list of so many addresses and domains, none of them in [`Mail`].
#[must_use]
pub fn list(entries: usize) -> Maker {
    let mut m = Maker::new();
    let all = (0..entries).map(|i| match i % 3 {
        0 => format!("user{i}@blocked{}.example", i % 1000),
        1 => format!("@blocked{i}.example"),
        _ => format!("@.blocked{i}.example"),
    });
    let list = m.list(ListKind::Mailbox, all);
    let sender = m.test(Fact::Sender, "", Test::InList(list));
    m.reject(sender);
    m
}

/// The literal of a text rule. Shares beginnings with the text of [`Mail`], as real ones do.
#[must_use]
pub fn literal(i: usize) -> String {
    const WORDS: [&str; 8] =
        ["offer", "invoice", "account", "winner", "delivery", "password", "update", "meeting"];
    let word = |i: usize| WORDS.get(i % 8).copied().unwrap_or_default();
    format!("{} {} {i}", word(i), word(i / 8))
}

/// Text rules: a literal each in subject or body, none of which stands in [`Mail`].
#[must_use]
pub fn texts(rules: usize, fact: Fact) -> Maker {
    let mut m = Maker::new();
    for i in 0..rules {
        let test = m.test(fact, "", Test::Contains(vec![literal(i)]));
        m.reject(test);
    }
    m.table.canonical();
    m
}

/// One rule on a list of texts, any of which may stand in subject or body.
#[must_use]
pub fn text_list(entries: usize, fact: Fact) -> Maker {
    let mut m = Maker::new();
    let mut all: Vec<String> = (0..entries).map(literal).collect();
    all.sort_unstable();
    let test = m.test(fact, "", Test::Contains(all));
    m.reject(test);
    m
}

/// Facts of the header that have literals of their own.
pub const HEADERS: [(Fact, &str); 5] = [
    (Fact::Subject, ""),
    (Fact::Header, "from"),
    (Fact::Header, "to"),
    (Fact::Header, "message-id"),
    (Fact::Header, "content-type"),
];

/// A fact with its parameter, and which literals are sought in it.
pub type Part = ((Fact, &'static str), std::ops::Range<usize>);

/// Text rules on several facts.
#[must_use]
pub fn many_texts(parts: &[Part]) -> Maker {
    let mut m = Maker::new();
    for ((fact, parameter), numbers) in parts {
        for i in numbers.clone() {
            let test = m.test(*fact, parameter, Test::Contains(vec![literal(i)]));
            m.reject(test);
        }
    }
    m.table.canonical();
    m
}

/// A message that no rule matches.
pub struct Mail {
    helo: Domain,
    /// The envelope sender.
    pub sender: Address,
    /// The recipient.
    pub recipient: Address,
    header: HeaderFacts,
    body: BodyFacts,
}

/// Text without any literal of the rules, but with words of them.
#[must_use]
pub fn prose(bytes: usize) -> String {
    let words = [
        "the", "offer", "for", "your", "meeting", "on", "monday", "was", "sent", "with", "delivery", "notes",
    ];
    let mut out = String::with_capacity(bytes + 16);
    let mut state = 1u32;
    while out.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = words.iter().cycle().nth((state >> 16) as usize % words.len());
        out.push_str(word.copied().unwrap_or_default());
        out.push(' ');
    }
    out.truncate(bytes);
    out
}

impl Mail {
    /// With a body of so many bytes.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn new(body: usize) -> Self {
        let field = |name: &str, value: &str| HeaderField { name: name.to_owned(), value: value.to_owned() };
        Self {
            helo: Domain::parse("mail.partner.example").unwrap_or_else(|e| panic!("{e}")),
            sender: Address::parse("ann.smith@mail.partner.example").unwrap_or_else(|e| panic!("{e}")),
            recipient: Address::parse("bob.jones@in.example").unwrap_or_else(|e| panic!("{e}")),
            header: HeaderFacts {
                fields: vec![
                    field("from", "ann smith <ann.smith@mail.partner.example>"),
                    field("to", "bob jones <bob.jones@in.example>"),
                    field("subject", "notes of the meeting on monday, and the offer"),
                    field("date", "tue, 24 nov 2026 05:00:00 +0000"),
                    field("message-id", "<1234@mail.partner.example>"),
                    field("mime-version", "1.0"),
                    field("content-type", "text/plain; charset=utf-8"),
                ],
                ..HeaderFacts::default()
            },
            body: BodyFacts { texts: vec![prose(body)], ..BodyFacts::default() },
        }
    }

    /// The text of a fact.
    #[must_use]
    pub fn text(&self, (fact, parameter): (Fact, &str)) -> &str {
        let name = if fact == Fact::Subject { "subject" } else { parameter };
        match fact {
            Fact::Body => self.body.texts.first().map_or("", String::as_str),
            _ => self.header.fields.iter().find(|f| f.name == name).map_or("", |f| f.value.as_str()),
        }
    }

    /// All that is known at RCPT.
    #[must_use]
    pub fn envelope(&self) -> Facts<'_> {
        Facts {
            client_ip: Slot::Known(IpAddr::from([192, 0, 2, 7])),
            client_name: Slot::Known(&self.helo),
            client_unverified: Slot::Known(false),
            client_nameless: Slot::Known(false),
            client_tls: Slot::Known(true),
            helo: Slot::Known(&self.helo),
            helo_malformed: Slot::Known(false),
            auth_user: Slot::Absent,
            sender: Slot::Known(&self.sender),
            submitted: Slot::Known(false),
            recipient: Slot::Known(&self.recipient),
            direction: Slot::Known(Direction::Inbound),
            ..Facts::default()
        }
    }

    /// And the header.
    #[must_use]
    pub fn with_header(&self) -> Facts<'_> {
        Facts {
            recipient_count: Slot::Known(1),
            size: Slot::Known(self.body.texts.first().map_or(0, |t| t.len() as u64) + 400),
            header: Slot::Known(&self.header),
            ..self.envelope()
        }
    }

    /// And the body.
    #[must_use]
    pub fn whole(&self) -> Facts<'_> {
        Facts { body: Slot::Known(&self.body), ..self.with_header() }
    }
}
