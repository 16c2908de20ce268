//! A mail as the rows of `compiler/tests/constructs/conditions.txt` describe it, made so that a daemon finds those
//! facts: a client with an address and names in DNS, an envelope, a message with signatures.

use edict_runtime::dkim::Key;
use edict_runtime::dkim::sign::sign;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// The selector of all signatures.
const SELECTOR: &str = "one";

/// What DNS knows, gathered from the mails of all rows.
#[derive(Default)]
pub struct Zone {
    text: String,
    /// Addresses of clients, by what DNS says of them.
    clients: HashMap<String, IpAddr>,
    domains: Vec<String>,
}

impl Zone {
    /// With what every stranger has.
    pub fn new() -> Self {
        let text = "mx.stranger.example A 203.0.113.9\nstranger.example MX mx.stranger.example\n".to_owned();
        Self { text, ..Self::default() }
    }

    /// The zone file.
    pub fn text(&self) -> String {
        self.text.clone()
    }

    /// A client of its own, of whom DNS says this: `name NAME`, `pointed NAME` or `listed ZONE`.
    fn client(&mut self, what: &str) -> IpAddr {
        let next = Ipv4Addr::new(198, 18, 0, u8::try_from(self.clients.len() + 1).unwrap());
        if let Some(ip) = self.clients.get(what) {
            return *ip;
        }
        let reversed = next.octets().iter().rev().map(u8::to_string).collect::<Vec<_>>().join(".");
        match what.split_once(' ').unwrap() {
            ("name", name) => {
                writeln!(self.text, "{reversed}.in-addr.arpa PTR {name}\n{name} A {next}").unwrap();
            }
            ("pointed", name) => writeln!(self.text, "{reversed}.in-addr.arpa PTR {name}").unwrap(),
            ("listed", zone) => writeln!(self.text, "{reversed}.{zone} A 127.0.0.2").unwrap(),
            (other, _) => panic!("no client {other}"),
        }
        self.clients.insert(what.to_owned(), IpAddr::V4(next));
        IpAddr::V4(next)
    }

    /// Adds records of a domain once.
    fn domain(&mut self, name: &str, records: &str) {
        if !self.domains.iter().any(|have| have == name) {
            self.domains.push(name.to_owned());
            self.text += records;
        }
    }
}

/// A mail and how it is brought.
pub struct Mail {
    pub client: IpAddr,
    pub helo: String,
    pub tls: bool,
    pub login: Option<String>,
    pub sender: String,
    pub recipients: Vec<String>,
    message: Message,
}

#[derive(Default)]
struct Message {
    header: String,
    texts: Vec<String>,
    attachments: Vec<(Option<String>, String, usize)>,
    signers: Vec<String>,
    size: Option<usize>,
    /// The content type of a whole that is signed, encrypted, or not to be read.
    kind: Option<&'static str>,
}

impl Mail {
    /// Reads `word value; word value`. `key` marks the mail as one of its row: in the sender where `by_sender`, else in
    /// the recipients.
    pub fn read(text: &str, key: &str, by_sender: bool, zone: &mut Zone) -> Self {
        let stranger = "stranger.example".to_owned();
        let mut mail = Self {
            client: [203, 0, 113, 9].into(),
            helo: "mx.stranger.example".to_owned(),
            tls: false,
            login: None,
            sender: format!("{}@{stranger}", if by_sender { key } else { "someone" }),
            recipients: vec![if by_sender { "ann".to_owned() } else { key.to_owned() } + "@example.com"],
            message: Message::default(),
        };
        let mut lists: HashMap<&str, Vec<&str>> = HashMap::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty() && *part != "plain") {
            let (word, value) = part.split_once(' ').unwrap_or((part, ""));
            let value = value.trim();
            match word {
                "from" | "to" | "cc" => lists.entry(word).or_default().push(value),
                _ => mail.set(word, value, key, zone),
            }
        }
        for (word, values) in lists {
            let name = word[..1].to_uppercase() + &word[1..];
            writeln!(mail.message.header, "{name}: {}\r", values.join(", ")).unwrap();
        }
        let outside = |to: &String| !to.ends_with("@example.com") && !to.ends_with("@branch.example");
        if mail.login.is_none() && mail.recipients.iter().any(outside) {
            mail.login = Some("submitter@example.com".to_owned());
        }
        mail
    }

    fn set(&mut self, word: &str, value: &str, key: &str, zone: &mut Zone) {
        let message = &mut self.message;
        match word {
            "client" => self.client = value.parse().unwrap(),
            "client-name" => self.client = zone.client(&format!("name {value}")),
            // No reverse name, which is how it is for everybody who has none in the row.
            "unverified" => {}
            // One that does not lead back.
            "pointed" => self.client = zone.client(&format!("pointed {value}")),
            "listed" => self.client = zone.client(&format!("listed {value}")),
            "tls" => self.tls = true,
            "helo" => value.clone_into(&mut self.helo),
            "helo-malformed" => self.helo = "not_a/domain".to_owned(),
            "helo-unresolvable" => self.helo = "mx.gone.example".to_owned(),
            "login" => self.login = Some(value.to_owned()),
            "submitted" => self.login = Some("submitter@example.com".to_owned()),
            "sender" if value == "<>" => self.sender.clear(),
            "sender" => value.clone_into(&mut self.sender),
            "sender-unresolvable" => self.sender = "someone@gone.example".to_owned(),
            "sender-unknown" => self.sender = "nobody@branch.example".to_owned(),
            "recipient" => self.recipients = vec![value.to_owned()],
            "count" => {
                let count: usize = value.parse().unwrap();
                self.recipients = (0..count).map(|n| format!("{key}{n}@example.com")).collect();
            }
            "direction" => match value {
                "inbound" => {}
                "internal" => self.login = Some("submitter@example.com".to_owned()),
                "outbound" => self.recipients = vec![format!("{key}@far.example")],
                other => panic!("a verdict rule never sees {other}"),
            },
            "spf" => {
                let domain = format!("spf-{value}.example");
                let policy = match value {
                    "pass" => "+all",
                    "fail" => "-all",
                    "softfail" => "~all",
                    "neutral" => "?all",
                    "none" => "",
                    other => panic!("no SPF that gives {other}"),
                };
                let record = if policy.is_empty() {
                    format!("{domain} A 192.0.2.1\n")
                } else {
                    format!("{domain} TXT v=spf1 {policy}\n")
                };
                zone.domain(&domain, &record);
                self.sender = format!("someone@{domain}");
            }
            "dmarc" => {
                let domain = format!("dmarc-{value}.example");
                zone.domain(&domain, &format!("_dmarc.{domain} TXT v=DMARC1; p=none\n"));
                if value == "pass" {
                    message.signers.push(domain.clone());
                    publish(&domain, zone);
                }
                writeln!(message.header, "From: author@{domain}\r").unwrap();
            }
            "dkim" => {
                publish(value, zone);
                if message.signers.is_empty() {
                    message.header += "From: author@stranger.example\r\n";
                }
                message.signers.push(value.to_owned());
            }
            "size" => message.size = Some(value.parse().unwrap()),
            "hops" => {
                for hop in 0..value.parse::<usize>().unwrap() {
                    writeln!(message.header, "Received: from h{hop}.example by i{hop}.example; x\r").unwrap();
                }
            }
            "header" => {
                let (name, value) = value.split_once(':').unwrap();
                writeln!(message.header, "{name}:{value}\r").unwrap();
            }
            "forged" => {
                message.header +=
                    "Authentication-Results: mx.example.com; spf=pass smtp.mailfrom=bank.example\r\n";
            }
            "auto-submitted" => message.header += "Auto-Submitted: auto-replied\r\n",
            "auto-forwarded" => message.header += "Auto-Submitted: auto-forwarded\r\n",
            "reply" => message.header += "In-Reply-To: <1@far.example>\r\n",
            "signed" => message.kind = Some("multipart/signed; protocol=\"application/pgp-signature\""),
            "encrypted" => {
                message.kind = Some("multipart/encrypted; protocol=\"application/pgp-encrypted\"");
            }
            // More fields than anybody reads.
            "malformed" => message.header += &"X-Filler: x\r\n".repeat(2_100),
            "body" => message.texts.push(value.to_owned()),
            "attachment" => {
                let mut parts = value.split(' ');
                let name = parts.next().filter(|name| *name != "-").map(str::to_owned);
                let kind = parts.next().unwrap_or("application/pdf").to_owned();
                let size = parts.next().map_or(10, |size| size.parse().unwrap());
                message.attachments.push((name, kind, size));
            }
            other => panic!("no word `{other}`"),
        }
    }

    /// The message with CRLF line ends.
    pub fn bytes(&self) -> Vec<u8> {
        self.message.bytes()
    }
}

/// Publishes the key of a domain's signatures.
fn publish(domain: &str, zone: &mut Zone) {
    let key = include_str!("../../runtime/tests/keys/ed25519.pub");
    let name = format!("{SELECTOR}._domainkey.{domain}");
    zone.domain(&name, &format!("{name} TXT v=DKIM1; k=ed25519; p={key}\n"));
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        let mut text = self.header.clone();
        if let Some(size) = self.size {
            return filled(text, size);
        }
        if self.kind.is_some() || !self.attachments.is_empty() {
            let kind = self.kind.unwrap_or("multipart/mixed");
            write!(text, "MIME-Version: 1.0\r\nContent-Type: {kind}; boundary=b\r\n\r\n").unwrap();
            for part in self.parts() {
                write!(text, "--b\r\n{part}\r\n").unwrap();
            }
            text += "--b--\r\n";
        } else {
            write!(text, "\r\n{}\r\n", self.texts.concat()).unwrap();
        }
        let mut bytes = text.into_bytes();
        for domain in &self.signers {
            let pem = include_str!("../../runtime/tests/keys/ed25519.pem");
            let key = Key::from_pem(domain, SELECTOR, pem).unwrap();
            let mut signed = sign(&bytes, &[], &[&key]).unwrap();
            signed.append(&mut bytes);
            bytes = signed;
        }
        bytes
    }

    fn parts(&self) -> Vec<String> {
        use base64::Engine;
        let mut parts = vec![format!("Content-Type: text/plain\r\n\r\n{}", self.texts.concat())];
        for (name, kind, size) in &self.attachments {
            let name = name.as_ref().map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
            let encoded = base64::engine::general_purpose::STANDARD.encode(vec![b'x'; *size]);
            let lines: Vec<&str> =
                encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
            parts.push(format!(
                "Content-Type: {kind}\r\nContent-Disposition: attachment{name}\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{}",
                lines.join("\r\n")
            ));
        }
        parts
    }
}

/// A message of exactly so many bytes.
fn filled(header: String, size: usize) -> Vec<u8> {
    let mut text = header;
    if size > text.len() + 2 {
        text += "\r\n";
    }
    while text.len() < size {
        let left = size - text.len();
        // No line of one byte may be left over: its CRLF alone takes two.
        let line = if left > 80 { 72 } else { left };
        assert!(line >= 2, "a message of {size} bytes cannot be made");
        text += &"x".repeat(line - 2);
        text += "\r\n";
    }
    text.into_bytes()
}
