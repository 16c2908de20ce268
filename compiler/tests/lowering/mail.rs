//! A message as tests write it: everything known, or a lookup that failed. [`Mail::read`] reads the words of the
//! data files, [`Mail::random`] draws one.

use edict_table::facts::{Attachment, BodyFacts, Direction, Facts, HeaderFacts, HeaderField, Slot};
use edict_table::value::{Address, Domain, fold_text};
use std::net::IpAddr;

#[derive(Clone, Debug)]
pub struct Mail {
    pub client: IpAddr,
    pub client_name: Option<Domain>,
    pub unverified: Slot<bool>,
    pub nameless: Slot<bool>,
    pub listed: Vec<(String, Slot<bool>)>,
    pub tls: bool,
    pub helo: Option<Domain>,
    pub helo_malformed: bool,
    pub helo_unresolvable: Slot<bool>,
    pub login: Option<String>,
    pub sender: Option<Address>,
    pub sender_unresolvable: Slot<bool>,
    pub sender_unknown: bool,
    pub spf: u8,
    pub submitted: bool,
    pub recipient: Address,
    pub direction: Direction,
    pub count: u64,
    pub size: u64,
    pub header: HeaderFacts,
    pub body: BodyFacts,
    pub dmarc: u8,
    pub dkim: Vec<Domain>,
    pub time: i64,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            client: IpAddr::from([203, 0, 113, 9]),
            client_name: None,
            unverified: Slot::Known(false),
            nameless: Slot::Known(false),
            listed: Vec::new(),
            tls: false,
            helo: Some(Domain::parse("mx.stranger.example").unwrap()),
            helo_malformed: false,
            helo_unresolvable: Slot::Known(false),
            login: None,
            sender: Some(Address::parse("someone@stranger.example").unwrap()),
            sender_unresolvable: Slot::Known(false),
            sender_unknown: false,
            spf: 0,
            submitted: false,
            recipient: Address::parse("ann@example.com").unwrap(),
            direction: Direction::Inbound,
            count: 1,
            size: 1000,
            header: HeaderFacts::default(),
            body: BodyFacts::default(),
            dmarc: 0,
            dkim: Vec::new(),
            time: 1_790_000_000,
        }
    }
}

pub const ZONES: [&str; 2] = ["zen.example", "b.example"];
const DIRECTIONS: [Direction; 4] =
    [Direction::Inbound, Direction::Outbound, Direction::Internal, Direction::Forwarded];

fn folded(text: &str) -> String {
    fold_text(text).into_owned()
}

impl Mail {
    /// Everything, as the table takes it.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            client_ip: Slot::Known(self.client),
            client_name: Slot::from_option(self.client_name.as_ref()),
            client_unverified: self.unverified,
            client_nameless: self.nameless,
            client_listed: &self.listed,
            client_tls: Slot::Known(self.tls),
            helo: Slot::from_option(self.helo.as_ref()),
            helo_malformed: Slot::Known(self.helo_malformed),
            helo_unresolvable: self.helo_unresolvable,
            auth_user: Slot::from_option(self.login.as_deref()),
            sender: Slot::from_option(self.sender.as_ref()),
            sender_unresolvable: self.sender_unresolvable,
            sender_unknown: Slot::Known(self.sender_unknown),
            spf: Slot::Known(self.spf),
            submitted: Slot::Known(self.submitted),
            recipient: Slot::Known(&self.recipient),
            direction: Slot::Known(self.direction),
            recipient_count: Slot::Known(self.count),
            size: Slot::Known(self.size),
            header: Slot::Known(&self.header),
            dmarc: Slot::Known(self.dmarc),
            dkim_domains: Slot::Known(&self.dkim),
            body: Slot::Known(&self.body),
            time: Slot::Known(self.time),
        }
    }

    /// Reads `word value; word value`: what differs from a plain message of a stranger.
    pub fn read(text: &str) -> Self {
        let mut mail =
            Self { listed: ZONES.map(|z| (z.to_owned(), Slot::Known(false))).to_vec(), ..Self::default() };
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty() && *part != "plain") {
            let (word, value) = part.split_once(' ').unwrap_or((part, ""));
            mail.set(word, value.trim());
        }
        mail
    }

    fn set(&mut self, word: &str, value: &str) {
        let domain = || Domain::parse(value).unwrap();
        let address = || Address::parse(value).unwrap();
        let place = |words: &[&str]| words.iter().position(|w| *w == value).unwrap() as u8;
        match word {
            "client" => self.client = edict_table::value::canonical_ip(value.parse().unwrap()),
            "client-name" => self.client_name = Some(domain()),
            "unverified" => self.unverified = Slot::Known(true),
            "nameless" => self.nameless = Slot::Known(true),
            "listed" => {
                self.listed.iter_mut().filter(|(z, _)| z == value).for_each(|l| l.1 = Slot::Known(true))
            }
            "tls" => self.tls = true,
            "helo" => self.helo = Some(domain()),
            "helo-malformed" => (self.helo, self.helo_malformed) = (None, true),
            "helo-unresolvable" => self.helo_unresolvable = Slot::Known(true),
            "login" => self.login = Some(folded(value)),
            "sender" if value == "<>" => self.sender = None,
            "sender" => self.sender = Some(address()),
            "sender-unresolvable" => self.sender_unresolvable = Slot::Known(true),
            "sender-unknown" => self.sender_unknown = true,
            "spf" => self.spf = place(edict_table::fact::RESULTS),
            "dmarc" => self.dmarc = place(edict_table::fact::RESULTS),
            "dkim" => self.dkim.push(domain()),
            "submitted" => self.submitted = true,
            "recipient" => self.recipient = address(),
            "direction" => self.direction = DIRECTIONS[place(edict_table::fact::DIRECTIONS) as usize],
            "count" => self.count = value.parse().unwrap(),
            "size" => self.size = value.parse().unwrap(),
            "hops" => self.header.hops = value.parse().unwrap(),
            "header" => {
                let (name, value) = value.split_once(':').unwrap();
                self.header
                    .fields
                    .push(HeaderField { name: name.to_lowercase(), value: folded(value.trim()) });
            }
            "from" => self.header.from.push(address()),
            "to" => self.header.to.push(address()),
            "cc" => self.header.cc.push(address()),
            "auto-submitted" => self.header.auto_submitted = true,
            "auto-forwarded" => self.header.auto_forwarded = true,
            "signed" => self.header.signed = true,
            "encrypted" => self.header.encrypted = true,
            "reply" => self.header.reply = true,
            "malformed" => self.body.malformed = true,
            "body" => self.body.texts.push(folded(value)),
            "attachment" => {
                let mut parts = value.split(' ');
                let name = parts.next().filter(|n| *n != "-").map(folded);
                let media_type = folded(parts.next().unwrap_or("application/pdf"));
                let size = parts.next().map_or(0, |n| n.parse().unwrap());
                self.body.attachments.push(Attachment { name, media_type, size });
            }
            "time" => self.time = value.parse().unwrap(),
            other => panic!("no word `{other}`"),
        }
    }

    /// Draws a message out of what the grammar's rule sets speak of, and what is near it.
    pub fn random(below: &mut impl FnMut(usize) -> usize) -> Self {
        let addresses = [
            "ann@example.com",
            "bob@example.net",
            "bob@x.example.com",
            "ann+tag@example.com",
            "ann+x@example.com",
            "sales@example.com",
            "a@example.net",
            "\"a b\"@example.com",
            "ann@xn--bcher-kva.example",
            "bob@a.example.org",
            "ann@[192.0.2.1]",
            "x@localhost",
            "spring-1@spring-2.example",
            "ext@other.example",
        ];
        let domains = [
            "example.com",
            "x.example.com",
            "a.x.example.com",
            "example.org",
            "xn--bcher-kva.example",
            "b.example",
            "localhost",
            "a.example.net",
            "spring-1.example",
        ];
        let texts = [
            "act now please",
            "x",
            "STRASSE ss",
            "a\"b\\ and more",
            "spring-sale",
            "win the prize",
            "xxx",
            "a/b",
            "7",
            "é",
            "abc*",
            "two\n lines",
            "ann",
            "nothing of it",
        ];
        let mut mail = Self::default();
        let clients =
            ["192.0.2.7", "192.0.2.200", "2001:db8::5", "::1", "10.0.0.9", "198.51.100.1", "127.0.0.1"];
        mail.client = clients[below(clients.len())].parse().unwrap();
        let domain =
            |below: &mut dyn FnMut(usize) -> usize| Domain::parse(domains[below(domains.len())]).unwrap();
        let address = |below: &mut dyn FnMut(usize) -> usize| {
            Address::parse(addresses[below(addresses.len())]).unwrap()
        };
        let text = |below: &mut dyn FnMut(usize) -> usize| folded(texts[below(texts.len())]);
        let asked = |below: &mut dyn FnMut(usize) -> usize| match below(8) {
            0 => Slot::Unknown,
            n => Slot::Known(n > 3),
        };
        mail.client_name = (below(3) > 0).then(|| domain(below));
        mail.unverified = asked(below);
        mail.nameless = asked(below);
        mail.listed = ZONES.iter().map(|zone| ((*zone).to_owned(), Slot::Known(below(2) == 0))).collect();
        mail.tls = below(2) == 0;
        mail.helo = (below(4) > 0).then(|| domain(below));
        mail.helo_malformed = mail.helo.is_none();
        mail.helo_unresolvable = asked(below);
        mail.login = (below(2) == 0).then(|| text(below));
        mail.sender = (below(6) > 0).then(|| address(below));
        mail.sender_unresolvable = asked(below);
        mail.sender_unknown = below(3) == 0;
        mail.spf = below(7) as u8;
        mail.dmarc = below(7) as u8;
        mail.dkim = (0..below(3)).map(|_| domain(below)).collect();
        mail.submitted = below(2) == 0;
        mail.recipient = address(below);
        mail.direction = DIRECTIONS[below(4)];
        mail.count = below(120) as u64;
        mail.size = [0, 1, 1000, 10_240, 10_241, 3 << 20, 25_000_000, 26_000_000][below(8)];
        mail.header.hops = below(12) as u64;
        for name in ["subject", "x-spam", "received"] {
            for _ in 0..below(3) {
                let value = text(below);
                mail.header.fields.push(HeaderField { name: name.to_owned(), value });
            }
        }
        mail.header.from = (0..below(3)).map(|_| address(below)).collect();
        mail.header.to = (0..below(3)).map(|_| address(below)).collect();
        mail.header.cc = (0..below(3)).map(|_| address(below)).collect();
        mail.header.auto_submitted = below(2) == 0;
        mail.header.auto_forwarded = below(2) == 0;
        mail.header.signed = below(2) == 0;
        mail.header.encrypted = below(2) == 0;
        mail.header.reply = below(2) == 0;
        mail.header.malformed = below(6) == 0;
        mail.body.malformed = below(6) == 0;
        mail.body.texts = (0..below(3)).map(|_| text(below)).collect();
        mail.body.attachments = (0..below(4))
            .map(|_| Attachment {
                name: (below(3) > 0).then(|| text(below)),
                media_type: text(below),
                size: [0, 1, 10_240, 3 << 20, 25_000_001][below(5)],
            })
            .collect();
        // Before, in and behind the days that the grammar's `active` names.
        mail.time = [1_790_000_000, 1_796_000_000, 1_798_000_000, 1_799_971_199, 1_799_971_200][below(5)];
        mail
    }
}
