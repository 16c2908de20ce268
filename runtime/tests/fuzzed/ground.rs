//! Where a session stands when it is fed any bytes: what its profile says, what its listener offers, where its client
//! comes from. Plays one.

use arc_swap::ArcSwap;
use edict_compiler::source::Sources;
use edict_runtime::acceptor::{Accepting, Acceptor, Offered, QuotaQuery, Receipt};
use edict_runtime::envelope::{Incoming, MessageId, Refusal};
use edict_runtime::live::Live;
use edict_runtime::smtp::tls::{MinimumTls, server_config};
use edict_runtime::smtp::{Checked, Context, Endpoint, Metrics, Proxies, Role, Session, Settings, Step};
use edict_runtime::users::Users;
use edict_table::emit::emit;
use edict_table::load::Loaded;
use edict_table::value::parse_network;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

const PROFILE: &str = "
    hostname         mx.example.com
    local-domains    [example.com]
    trusted-networks [10.0.0.0/8]
";

const RULES: &str = r#"
reject "casino" { when body contains "casino"  reply 550 5.7.1 "No gambling" }
reject "bob" { priority 1  when recipient is bob@example.com }
discard "eve" { priority 1  when recipient is eve@example.com }
reject "attachment" { when attachment.name matches "*.exe" }
"#;

/// One of them has an entry for SCRAM, or that would not be offered.
const USERS: &str = "ann@example.com:\nbob@example.com:\neve@example.com:\n\
    carl@example.com:{SCRAM-SHA-256}1,MDEyMzQ1Njc4OWFiY2RlZg==,\
    MKG5kW+STbrffPRvjy1s3AajDGDg4IBSmRSRmQIoQ3Y=,lRHtdUSleirTXqak7yFtR+uyMo2M1cvucMGUEvsbQSM=\n";

/// The byte that ends what a client sends in the clear, where TLS is there. It stands in no command.
pub const TLS_BEGINS: u8 = 0xff;

/// What was sent too early: the one reply that hangs on packets by its nature.
const EARLY: &str = "503 5.5.0 commands came before the reply that they must wait for\n";

const NOW: i64 = 1_700_000_000_000;

/// Where a session stands, a bit for each choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ground(pub u8);

impl Ground {
    /// Lenient pipelining, logins in the clear, nothing else: what the properties of one part stand on.
    pub const PLAIN: Self = Self(0b11);

    fn has(self, bit: u8) -> bool {
        self.0 & (1 << bit) != 0
    }
    /// Commands may come too early.
    pub fn lenient(self) -> bool {
        self.has(0)
    }
    fn auth(self) -> bool {
        self.has(1)
    }
    /// STARTTLS is there.
    pub fn tls(self) -> bool {
        self.has(2)
    }
    /// The client is a proxy that may say whom it speaks for, users and trusted networks among them.
    pub fn xclient(self) -> bool {
        self.has(3)
    }
    fn small(self) -> bool {
        self.has(4)
    }
    fn submission(self) -> bool {
        self.has(5)
    }
    fn lax(self) -> bool {
        self.has(6)
    }
    fn passes(self) -> bool {
        self.has(7)
    }

    /// Mail is taken from those alone who logged in.
    pub fn needs_login(self) -> bool {
        self.auth() && self.submission()
    }

    /// The most recipients of a message.
    pub fn max_recipients(self) -> usize {
        if self.small() { 2 } else { 4 }
    }

    /// The most bytes of a message.
    pub fn max_size(self) -> usize {
        if self.small() { 200 } else { 2048 }
    }

    fn profile(self) -> String {
        let choice = |yes: bool, one: &'static str, other: &'static str| if yes { one } else { other };
        [
            PROFILE,
            choice(self.lenient(), "pipelining lenient", "pipelining strict"),
            match (self.auth(), self.submission()) {
                (false, _) => "auth off",
                (true, true) => "auth required",
                (true, false) => "auth optional",
            },
            choice(self.tls() || !self.auth(), "auth-without-tls forbidden", "auth-without-tls allowed"),
            choice(
                self.small(),
                "errors slow after 1, close after 6",
                "errors slow after 50, close after 100",
            ),
            choice(self.small(), "junk-commands 5", "junk-commands 100"),
            choice(self.lax(), "envelope-syntax lenient\nhelo optional", ""),
            &format!("max-recipients {}\nmax-message-size {} B", self.max_recipients(), self.max_size()),
        ]
        .join("\n")
    }

    fn table(self) -> Arc<Loaded> {
        static TABLES: OnceLock<Mutex<HashMap<String, Arc<Loaded>>>> = OnceLock::new();
        let profile = self.profile();
        let mut tables = TABLES.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner());
        let table = tables.entry(profile.clone()).or_insert_with(|| {
            let mut sources = Sources::default();
            sources.insert("main.edict", format!("edict 1\nprofile {{\n{profile}\n}}\n{RULES}"));
            let compiled = edict_compiler::compile(&sources, &edict_compiler::Options { proofs: false });
            let table = compiled.table.unwrap_or_else(|| panic!("{profile}\n{:?}", compiled.diagnostics));
            Arc::new(Loaded::new(Arc::new(emit(&table))).unwrap())
        });
        Arc::clone(table)
    }

    /// A session with a stranger there.
    fn session(self) -> (Session, Arc<Context>) {
        static CERTIFIED: OnceLock<(String, String)> = OnceLock::new();
        let users = Arc::new(ArcSwap::from_pointee(Users::parse(USERS).unwrap()));
        let acceptor = Arc::new(Taker { passes: self.passes() });
        let context = Context::new(Arc::new(Live::new(self.table())), acceptor, users, Settings::default());
        if self.tls() {
            let (certificate, key) = CERTIFIED.get_or_init(|| {
                let own = rcgen::generate_simple_self_signed(vec!["mx.example.com".to_owned()]).unwrap();
                (own.cert.pem(), own.signing_key.serialize_pem())
            });
            let config = server_config(certificate.as_bytes(), key.as_bytes(), MinimumTls::V12);
            context.tls.store(Some(config.unwrap()));
        }
        let xclient =
            if self.xclient() { vec![parse_network("203.0.113.0/24").unwrap()] } else { Vec::new() };
        let endpoint = Endpoint {
            role: if self.submission() { Role::Submission } else { Role::Mx },
            proxies: Arc::new(Proxies { xclient, ..Proxies::default() }),
        };
        let context = Arc::new(context);
        (Session::new(Arc::clone(&context), endpoint, "203.0.113.9".parse().unwrap()), context)
    }

    /// Feeds a session; `cut` says of how many bytes that are left how many arrive at once.
    pub fn play(self, bytes: &[u8], mut cut: impl FnMut(usize) -> usize) -> Came {
        let (mut session, context) = self.session();
        let mut came = Came::default();
        let (mut clear, mut hidden) = match bytes.iter().position(|byte| *byte == TLS_BEGINS) {
            Some(end) if self.tls() => (&bytes[..end], &bytes[end + 1..]),
            _ => (bytes, &[][..]),
        };
        let (mut waiting, mut said) = (Vec::new(), Vec::new());
        loop {
            let (used, step) = session.step(&waiting, NOW);
            assert!(used <= waiting.len());
            waiting.drain(..used);
            said.append(session.output());
            match step {
                Step::Read if clear.is_empty() => break,
                Step::Read => {
                    let (packet, rest) = clear.split_at(cut(clear.len()).clamp(1, clear.len()));
                    waiting.extend_from_slice(packet);
                    clear = rest;
                }
                Step::Write | Step::Wait(_) => {}
                Step::Accept(incoming) => {
                    let recipients = incoming.recipients.iter().map(|r| r.wire.clone()).collect();
                    came.took.push((incoming.sender.wire.clone(), recipients, incoming.bytes));
                    session.accepted(Ok(Receipt::default()));
                }
                Step::Offer(so_far, _) => session.offered(match so_far.recipients[0].wire.as_bytes() {
                    [b'a', ..] => Offered::Taken,
                    [b'c', ..] => Offered::Refused("450 4.2.0 the hop says no".to_owned()),
                    _ => Offered::Store,
                }),
                Step::Verify { .. } => {
                    came.logins += 1;
                    session.verified(Checked::Wrong, NOW);
                }
                Step::Look(questions) => {
                    session.answered(questions.into_iter().map(|q| q.unknown()).collect());
                }
                Step::StartTls => {
                    // What is still on its way in the clear is no TLS: nobody looks at it.
                    waiting.clear();
                    clear = std::mem::take(&mut hidden);
                    session.encrypted();
                }
                Step::Close => {
                    came.closed = true;
                    break;
                }
            }
        }
        drop(session);
        assert_eq!(Metrics::get(&context.metrics.memory), 0, "nobody holds what a session held");
        let said = String::from_utf8(said).expect("replies are ASCII");
        assert!(said.is_empty() || said.ends_with("\r\n"));
        // Nonces differ from run to run.
        let lines = said.split_terminator("\r\n");
        came.said = lines
            .map(|l| if l.starts_with("334 ") { "334\n".to_owned() } else { format!("{l}\n") })
            .collect();
        came
    }
}

struct Taker {
    passes: bool,
}

impl Acceptor for Taker {
    fn next_id(&self) -> MessageId {
        MessageId(1)
    }
    fn ready(&self) -> Result<(), Refusal> {
        Ok(())
    }
    fn over_quota(&self, _: &QuotaQuery<'_>) -> Result<(), Refusal> {
        Ok(())
    }
    fn passes(&self) -> bool {
        self.passes
    }
    fn accept(&self, _: Box<Incoming>) -> Accepting<'_> {
        Box::pin(std::future::ready(Ok(Receipt::default())))
    }
}

/// What a session came to.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Came {
    /// Everything it said.
    pub said: String,
    /// Messages that were taken: sender, recipients, bytes.
    pub took: Vec<(String, Vec<String>, Vec<u8>)>,
    /// It ended.
    pub closed: bool,
    /// Logins that were asked about; all are refused.
    pub logins: usize,
}

impl Came {
    /// That this and what the same bytes in other packets came to are the same, up to where one of them was told that
    /// commands came too early.
    pub fn agrees(&self, other: &Self) {
        let early = |came: &Self| came.said.find(EARLY);
        let (first, second) = match (early(self), early(other)) {
            (None, None) => return assert_eq!(self, other),
            (Some(a), Some(b)) if b < a => (other, self),
            (None, Some(_)) => (other, self),
            (Some(_), _) => (self, other),
        };
        let before = &first.said[..early(first).unwrap_or_default()];
        assert!(second.said.starts_with(before), "{first:?}\n{second:?}");
        assert!(first.closed && first.said.ends_with(EARLY), "{first:?}");
        assert!(second.took.starts_with(&first.took), "{first:?}\n{second:?}");
        assert!(first.logins <= second.logins);
    }
}
