//! What the tests of the SMTP front share: tables from rule text, an acceptor that remembers, and
//! dialogues read from files. The format of a dialogue stands in `README` beside it.

pub mod capture;

use arc_swap::ArcSwap;
use capture::Capture;
use edict_compiler::source::Sources;
use edict_runtime::acceptor::{Accepting, Acceptor, Offered, QuotaQuery, Receipt};
use edict_runtime::envelope::{Fate, Incoming, MessageId, Refusal};
use edict_runtime::live::Live;
use edict_runtime::smtp::settings::Results;
use edict_runtime::smtp::tls::{MinimumTls, server_config};
use edict_runtime::smtp::{Checked, Context, Endpoint, Proxies, Role, Session, Settings, Step};
use edict_runtime::users::Users;
use edict_runtime::verdict::audit::Job;
use edict_runtime::verdict::authentic::{Authentic, Signature};
use edict_runtime::verdict::lookup::{Answer, Question};
use edict_table::emit::emit;
use edict_table::fact::RESULTS;
use edict_table::facts::Slot;
use edict_table::load::Loaded;
use edict_table::value::{Address, Domain, parse_network};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The profile that dialogues start from; theirs is added to it.
const PROFILE: &str = "
    hostname         mx.example.com
    local-domains    [example.com, example.org]
    domain-aliases   [example.net is example.com]
    trusted-networks [10.0.0.0/8]
";

/// The users that dialogues start from.
pub const USERS: &str = "ann@example.com:\nbob@example.com:\nann@example.org:\n";

/// Compiles rule text to a table.
pub fn table(profile: &str, rules: &str) -> Arc<Loaded> {
    let mut sources = Sources::default();
    let text = format!("edict 1\nprofile {{\n{PROFILE}\n{profile}\n}}\n{rules}\n");
    sources.insert("main.edict", text.clone());
    let compilation = edict_compiler::compile(&sources, &edict_compiler::Options { proofs: false });
    let table = compilation.table.filter(|_| true).unwrap_or_else(|| {
        panic!("{text}\n{:#?}", compilation.diagnostics);
    });
    Arc::new(Loaded::new(Arc::new(emit(&table))).unwrap())
}

/// An acceptor that remembers what it took.
#[derive(Default)]
pub struct Memory {
    pub taken: Mutex<Vec<Incoming>>,
    pub over: Mutex<Vec<String>>,
    pub full: Mutex<bool>,
    /// There is a way through to next hops.
    pub passes: AtomicBool,
    next: AtomicU64,
}

impl Acceptor for Memory {
    fn next_id(&self) -> MessageId {
        MessageId(self.next.fetch_add(1, Ordering::Relaxed))
    }
    fn ready(&self) -> Result<(), Refusal> {
        if *self.full.lock().unwrap() {
            return Err(Refusal { reply: "452 4.3.1 disk full".to_owned(), rule: None });
        }
        Ok(())
    }
    fn over_quota(&self, query: &QuotaQuery<'_>) -> Result<(), Refusal> {
        if self.over.lock().unwrap().iter().any(|a| a == query.recipient.as_str()) {
            return Err(Refusal { reply: "452 4.7.1 Daily quota reached".to_owned(), rule: None });
        }
        Ok(())
    }
    fn passes(&self) -> bool {
        self.passes.load(Ordering::Relaxed)
    }
    fn accept(&self, incoming: Box<Incoming>) -> Accepting<'_> {
        self.taken.lock().unwrap().push(*incoming);
        Box::pin(std::future::ready(Ok(Receipt::default())))
    }
}

/// What sessions share, with an acceptor that remembers.
pub fn context(table: Arc<Loaded>, users: &str, settings: Settings) -> (Arc<Context>, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    let users = Arc::new(ArcSwap::from_pointee(Users::parse(users).unwrap()));
    let live = Arc::new(Live::new(table));
    (Arc::new(Context::new(live, memory.clone(), users, settings)), memory)
}

/// A server's TLS with a certificate that it signed itself.
pub fn tls_config() -> Arc<rustls::ServerConfig> {
    let own = rcgen::generate_simple_self_signed(vec!["mx.example.com".to_owned()]).unwrap();
    let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    server_config(certificate.as_bytes(), key.as_bytes(), MinimumTls::V12).unwrap()
}

/// One line of a dialogue.
#[derive(Clone, Debug)]
pub enum Line {
    /// Another client, in the context of the ones before.
    Client(IpAddr, Role),
    /// Time passes, in milliseconds.
    Clock(i64),
    /// The client sends.
    Send(Vec<u8>),
    /// This happens.
    Expect(String),
}

/// A dialogue.
#[derive(Clone, Debug, Default)]
pub struct Dialogue {
    pub name: String,
    pub profile: String,
    pub rules: String,
    pub users: String,
    /// Answers of lookups: `name 192.0.2.1` to `mx.example` or `unknown`.
    pub lookups: HashMap<String, String>,
    /// Mail is passed through: what the next hop says of a recipient, `store` and `taken` among it.
    pub hop: Option<HashMap<String, String>>,
    /// Recipients that are over their quota.
    pub over: Vec<String>,
    /// What it shows hangs on how bytes arrive.
    pub whole: bool,
    /// STARTTLS is there.
    pub tls: bool,
    /// Where XCLIENT is obeyed from.
    pub xclient: Vec<String>,
    /// Authentication-Results is written into each message.
    pub results: bool,
    pub lines: Vec<Line>,
}

impl Dialogue {
    /// Reads one from the text of a file.
    pub fn parse(name: &str, text: &str) -> Self {
        let mut it = Self { name: name.to_owned(), users: USERS.to_owned(), ..Self::default() };
        let mut section = "";
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("=== ") {
                let (word, rest) = head.split_once(' ').unwrap_or((head, ""));
                section = word;
                match word {
                    "client" => {
                        let (ip, role) = rest.split_once(' ').unwrap_or((rest, "mx"));
                        let role = match role {
                            "mx" => Role::Mx,
                            "submission" => Role::Submission,
                            "submissions" => Role::Submissions,
                            other => panic!("{name}: role {other}"),
                        };
                        it.lines.push(Line::Client(ip.parse().unwrap(), role));
                    }
                    "whole" => it.whole = true,
                    "xclient" => it.xclient.push(rest.to_owned()),
                    "tls" => it.tls = true,
                    "results" => it.results = true,
                    "hop" => it.hop = Some(HashMap::new()),
                    "profile" | "rules" | "users" | "lookups" | "over" => {}
                    other => panic!("{name}: section {other}"),
                }
                continue;
            }
            match section {
                "profile" => it.profile += &format!("{line}\n"),
                "rules" => it.rules += &format!("{line}\n"),
                "users" => it.users += &format!("{line}\n"),
                "over" if !line.is_empty() => it.over.push(line.to_owned()),
                "lookups" if !line.is_empty() => {
                    let (question, answer) = line.split_once(" = ").unwrap();
                    it.lookups.insert(question.to_owned(), answer.to_owned());
                }
                "hop" if !line.is_empty() => {
                    let (address, answer) = line.split_once(" = ").unwrap();
                    let hop = it.hop.get_or_insert_default();
                    hop.insert(address.to_owned(), answer.to_owned());
                }
                "client" if !line.is_empty() && !line.starts_with('#') => it.line(line),
                _ => {}
            }
        }
        it
    }

    fn line(&mut self, line: &str) {
        let (mark, rest) = line.split_at(2);
        let text = rest.strip_prefix(' ').unwrap_or(rest);
        match mark {
            "C:" => {
                let bytes = unescape(text);
                match self.lines.last_mut() {
                    Some(Line::Send(before)) => before.extend(bytes),
                    _ => self.lines.push(Line::Send(bytes)),
                }
            }
            "T:" => self.lines.push(Line::Clock(text.parse::<i64>().unwrap() * 1000)),
            "S:" | "O:" | "P:" | "M:" | "M|" | "A:" | "L:" | "W:" | "X:" | "E:" => {
                self.lines.push(Line::Expect(line.trim_end().to_owned()))
            }
            _ => panic!("{}: {line:?}", self.name),
        }
    }

    fn answer(&self, question: Question) -> Answer {
        let found = |key: String| self.lookups.get(&key).map_or("unknown", String::as_str);
        let flag = |text: &str| match text {
            "unknown" => Slot::Unknown,
            text => Slot::Known(text == "yes"),
        };
        match question {
            Question::Name(ip) => match found(format!("name {ip}")) {
                "unknown" => Answer::Name(Slot::Unknown, Slot::Unknown, Slot::Unknown),
                "none" => Answer::Name(Slot::Absent, Slot::Known(true), Slot::Known(true)),
                "other" => Answer::Name(Slot::Absent, Slot::Known(true), Slot::Known(false)),
                name => {
                    let name = Slot::Known(Domain::parse(name).unwrap());
                    Answer::Name(name, Slot::Known(false), Slot::Known(false))
                }
            },
            Question::Helo(domain) => Answer::Helo(flag(found(format!("helo-unresolvable {domain}")))),
            Question::Sender(domain) => {
                let text = found(format!("sender-unresolvable {domain}"));
                Answer::Sender(domain.clone(), flag(text))
            }
            Question::Listed(zone, ip) => {
                let text = found(format!("listed {zone} {ip}"));
                Answer::Listed(zone.clone(), Slot::Known(text == "yes"))
            }
            Question::Exists(address) => {
                let text = found(format!("exists {address}"));
                Answer::Exists(address.clone(), flag(text))
            }
            Question::Spf(identity) => {
                let result = self.result("spf", identity.sender.as_ref());
                Answer::Spf(identity.sender, result)
            }
            Question::Authentic { identity, spf, dmarc, .. } => {
                let sender = identity.sender;
                let dmarc = if dmarc { self.result("dmarc", sender.as_ref()) } else { Slot::Pending };
                let spf = match spf {
                    Slot::Pending if dmarc != Slot::Pending => self.result("spf", sender.as_ref()),
                    spf => spf,
                };
                let whose = sender.as_ref().map_or("<>", |s| s.as_str());
                let signatures: Vec<Signature> = match found(format!("dkim {whose}")) {
                    "none" | "unknown" => Vec::new(),
                    names => names
                        .split(',')
                        .map(|name| Signature {
                            result: 1,
                            domain: Domain::parse(name).ok(),
                            selector: Domain::parse("one").ok(),
                        })
                        .collect(),
                };
                let domains = match found(format!("dkim {whose}")) {
                    "unknown" => Slot::Unknown,
                    _ => Slot::Known(signatures.iter().filter_map(|s| s.domain.clone()).collect()),
                };
                let author = sender.as_ref().and_then(|s| Domain::parse(s.domain()).ok());
                Answer::Authentic(sender, Authentic { spf, domains, dmarc, author, signatures })
            }
        }
    }

    /// A result of SPF or DMARC.
    fn result(&self, what: &str, sender: Option<&Address>) -> Slot<u8> {
        let whose = sender.map_or("<>", |s| s.as_str());
        let word = self.lookups.get(&format!("{what} {whose}")).map_or("unknown", String::as_str);
        let place = RESULTS.iter().position(|r| *r == word);
        place.map_or(Slot::Unknown, |place| Slot::Known(u8::try_from(place).unwrap()))
    }

    /// Plays it. `cut` says how many bytes of what is left arrive at once. Returns what happened where it
    /// was not what the dialogue says.
    pub fn play(&self, cut: impl FnMut(usize) -> usize) -> Result<(), String> {
        let capture = Capture::default();
        capture.run(|| self.play_logged(cut, &capture))
    }

    fn play_logged(&self, mut cut: impl FnMut(usize) -> usize, capture: &Capture) -> Result<(), String> {
        let table = table(&self.profile, &self.rules);
        let settings = Settings {
            hostname: "fallback.example".to_owned(),
            results: if self.results { Results::Always } else { Results::AsComputed },
            ..Settings::default()
        };
        let (cx, memory) = context(table, &self.users, settings);
        if self.tls {
            cx.tls.store(Some(tls_config()));
        }
        memory.over.lock().unwrap().clone_from(&self.over);
        memory.passes.store(self.hop.is_some(), Ordering::Relaxed);
        let mut player = Player {
            dialogue: self,
            cx,
            memory,
            now: 1_700_000_000_000,
            happened: Vec::new(),
            capture: capture.clone(),
            late: Vec::new(),
        };
        let mut session: Option<Session> = None;
        let mut expected = Vec::new();
        for line in &self.lines {
            if !matches!(line, Line::Expect(_)) {
                player.compare(&mut expected)?;
            }
            match line {
                Line::Client(ip, role) => {
                    // The one before is gone only now: connections at once are counted.
                    drop(session.take());
                    let xclient = self.xclient.iter().map(|n| parse_network(n).unwrap()).collect();
                    let proxies = Proxies { xclient, ..Proxies::default() };
                    let endpoint = Endpoint { role: *role, proxies: Arc::new(proxies) };
                    let mut new = Session::new(player.cx.clone(), endpoint, *ip);
                    player.feed(&mut new, &[], |_| 1);
                    session = Some(new);
                }
                Line::Clock(more) => player.now += more,
                Line::Send(bytes) => player.feed(session.as_mut().unwrap(), bytes, &mut cut),
                Line::Expect(text) => expected.push(text.clone()),
            }
        }
        player.compare(&mut expected)
    }
}

/// Text of a `C:` line as bytes: `\r`, `\n`, `\0`, `\\`, `\xHH`, `\*N*text` repeats; CRLF unless `\c` ends it.
pub fn unescape(text: &str) -> Vec<u8> {
    let (text, end) = match text.strip_suffix("\\c") {
        Some(text) => (text, ""),
        None => (text, "\r\n"),
    };
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend(c.to_string().bytes());
            continue;
        }
        match chars.next() {
            Some('r') => out.push(b'\r'),
            Some('n') => out.push(b'\n'),
            Some('0') => out.push(0),
            Some('\\') => out.push(b'\\'),
            Some('x') => {
                let hex: String = chars.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            Some('*') => {
                let count: String = chars.by_ref().take_while(|c| *c != '*').collect();
                let what = chars.next().unwrap().to_string();
                out.extend(what.repeat(count.parse().unwrap()).bytes());
            }
            other => panic!("escape {other:?}"),
        }
    }
    out.extend(end.bytes());
    out
}

struct Player<'a> {
    dialogue: &'a Dialogue,
    cx: Arc<Context>,
    memory: Arc<Memory>,
    now: i64,
    happened: Vec<String>,
    capture: Capture,
    /// What rules on trial came to behind the reply.
    late: Vec<String>,
}

impl Player<'_> {
    fn feed(&mut self, session: &mut Session, bytes: &[u8], mut cut: impl FnMut(usize) -> usize) {
        let mut waiting = Vec::new();
        let mut sent = 0;
        loop {
            let (used, step) = session.step(&waiting, self.now);
            waiting.drain(..used);
            for mut job in session.audits() {
                self.try_out(&mut job);
            }
            match step {
                Step::Read => {
                    self.output(session);
                    if sent == bytes.len() {
                        assert!(self.happened.last().is_none_or(|l| l != "X:"));
                        // The driver keeps what is left; dialogues send whole lines before they expect.
                        return;
                    }
                    let more = cut(bytes.len() - sent).clamp(1, bytes.len() - sent);
                    waiting.extend_from_slice(&bytes[sent..sent + more]);
                    sent += more;
                }
                Step::Write => self.output(session),
                Step::Wait(_) => self.happened.push("W:".to_owned()),
                Step::Accept(incoming) => {
                    self.output(session);
                    self.message(if session.is_passing() { "P:" } else { "M:" }, &incoming);
                    let future = self.memory.accept(incoming);
                    session.accepted(ready(future));
                }
                Step::Offer(so_far, _) => {
                    self.output(session);
                    assert!(so_far.bytes.is_empty());
                    let [given] = so_far.recipients.as_slice() else { panic!("one at a time") };
                    self.happened.push(format!("O: <{}> -> <{}>", so_far.sender.wire, given.wire));
                    let hop = self.dialogue.hop.as_ref().and_then(|hop| hop.get(&given.wire));
                    session.offered(match hop.map_or("taken", String::as_str) {
                        "taken" => Offered::Taken,
                        "store" => Offered::Store,
                        reply => Offered::Refused(reply.to_owned()),
                    });
                }
                Step::Look(questions) => {
                    session.answered(questions.into_iter().map(|q| self.dialogue.answer(q)).collect());
                }
                Step::Close => {
                    self.output(session);
                    self.happened.push("X:".to_owned());
                    return;
                }
                Step::Verify { name, password } => {
                    let fits = self.cx.users.load().verify(&name, &password.0);
                    session.verified(if fits { Checked::Right(name) } else { Checked::Wrong }, self.now);
                }
                Step::StartTls => {
                    self.output(session);
                    // As the driver does: what came behind STARTTLS is forgotten.
                    waiting.clear();
                    self.happened.push("E:".to_owned());
                    session.encrypted();
                }
            }
        }
    }

    fn output(&mut self, session: &mut Session) {
        let text = String::from_utf8(std::mem::take(session.output())).unwrap();
        if text.is_empty() {
            return;
        }
        let text = text.strip_suffix("\r\n").unwrap_or_else(|| panic!("no CRLF: {text:?}"));
        for line in text.split("\r\n") {
            assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line:?}");
            assert!(line.len() <= 510, "{line:?}");
            self.happened.push(format!("S: {line}").trim_end().to_owned());
        }
    }

    fn message(&mut self, mark: &str, incoming: &Incoming) {
        let mut line = format!("{mark} <{}> ->", incoming.sender.wire);
        for given in &incoming.recipients {
            line += &format!(" <{}> {}", given.wire, given.direction.name());
            match given.fate {
                Fate::Deliver => {}
                Fate::Hold => line += " hold",
                Fate::Discard => line += " discard",
            }
        }
        self.happened.push(line);
        if let Some(results) = &incoming.authentication.results {
            self.happened.push(format!("A: {results}"));
        }
        let text = String::from_utf8(incoming.bytes.clone()).unwrap();
        assert!(text.is_empty() || text.ends_with("\r\n"));
        self.happened.extend(text.split_terminator("\r\n").map(|l| format!("M| {l}").trim_end().to_owned()));
    }

    /// Has rules on trial answered, as the driver does.
    fn try_out(&mut self, job: &mut Job) {
        loop {
            let questions = job.questions();
            if questions.is_empty() {
                return;
            }
            let answers = questions.into_iter().map(|q| self.dialogue.answer(q)).collect();
            for finding in job.answered(answers) {
                let (rule, file, line) = finding.rule.unwrap();
                assert!(file == "main.edict" && line > 0);
                let (whom, would, instead) = (finding.recipient, finding.would, finding.instead);
                self.late.push(format!(
                    "L: audit end-of-data <{whom}> \"{rule}\" would {would} instead of {instead}"
                ));
            }
        }
    }

    /// What was logged of rules on trial since the last time.
    fn logged(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.capture.take() {
            if line["message"] == "audit" {
                assert!(line["at"].starts_with("main.edict:"), "{line:?}");
                lines.push(format!(
                    "L: audit {} {} \"{}\" would {} instead of {}",
                    line["stage"], line["recipient"], line["rule"], line["would"], line["instead"]
                ));
            }
        }
        lines.append(&mut self.late);
        if lines.is_empty() {
            lines.push("L: nothing".to_owned());
        }
        lines
    }

    fn compare(&mut self, expected: &mut Vec<String>) -> Result<(), String> {
        let mut happened = std::mem::take(&mut self.happened);
        let logged = self.logged();
        if expected.iter().any(|l| l.starts_with("L:")) {
            happened.extend(logged);
        }
        if !expected.iter().any(|l| l.starts_with("M|")) {
            happened.retain(|l| !l.starts_with("M|"));
        }
        let expected = std::mem::take(expected);
        let same = happened.len() == expected.len()
            && happened.iter().zip(&expected).all(|(is, want)| match want.strip_suffix('*') {
                Some(front) => is.starts_with(front),
                None => is == want,
            });
        if same {
            return Ok(());
        }
        Err(format!(
            "{}\n--- expected\n{}\n--- happened\n{}\n",
            self.dialogue.name,
            expected.join("\n"),
            happened.join("\n")
        ))
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the test's acceptor never waits"),
    }
}
