//! What the targets of the SMTP front share: one small policy, a session, and what must hold whatever comes.

use arc_swap::ArcSwap;
use edict_compiler::source::Sources;
use edict_runtime::acceptor::{Accepting, Acceptor, QuotaQuery, Receipt};
use edict_runtime::envelope::{Incoming, MessageId, Refusal};
use edict_runtime::live::Live;
use edict_runtime::smtp::{Checked, Context, Endpoint, Role, Session, Settings, Step};
use edict_runtime::users::Users;
use edict_table::emit::emit;
use edict_table::load::Loaded;
use std::sync::{Arc, OnceLock};

const RULES: &str = r#"edict 1
profile {
    hostname         mx.example.com
    local-domains    [example.com]
    trusted-networks [10.0.0.0/8]
    pipelining       lenient
    auth             optional
    auth-without-tls allowed
    max-message-size 2 KiB
    max-recipients   4
    errors           slow after 50, close after 100
}
reject "casino" { when body contains "casino"  reply 550 5.7.1 "No gambling" }
reject "bob" { priority 1  when recipient is bob@example.com }
discard "eve" { priority 1  when recipient is eve@example.com }
reject "attachment" { when attachment.name matches "*.exe" }
"#;

const USERS: &str = "ann@example.com:\nbob@example.com:\neve@example.com:\n";

struct Taker;

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
    fn accept(&self, _: Incoming) -> Accepting<'_> {
        Box::pin(std::future::ready(Ok(Receipt::default())))
    }
}

fn table() -> Arc<Loaded> {
    static TABLE: OnceLock<Arc<Loaded>> = OnceLock::new();
    Arc::clone(TABLE.get_or_init(|| {
        let mut sources = Sources::default();
        sources.insert("main.edict", RULES.to_owned());
        let compiled = edict_compiler::compile(&sources, &edict_compiler::Options { proofs: false });
        Arc::new(Loaded::new(Arc::new(emit(&compiled.table.unwrap()))).unwrap())
    }))
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

/// A session with a stranger.
pub fn session() -> Session {
    let users = Arc::new(ArcSwap::from_pointee(Users::parse(USERS).unwrap()));
    let context = Context::new(Arc::new(Live::new(table())), Arc::new(Taker), users, Settings::default());
    Session::new(
        Arc::new(context),
        Endpoint { role: Role::Mx, ..Endpoint::default() },
        "203.0.113.9".parse().unwrap(),
    )
}

/// Feeds a session, so many bytes at a time.
pub fn play(bytes: &[u8], packet: usize) -> Came {
    let mut session = session();
    let mut came = Came::default();
    let mut waiting = Vec::new();
    let mut said = Vec::new();
    let mut packets = bytes.chunks(packet.max(1));
    loop {
        let (used, step) = session.step(&waiting, 1_700_000_000_000);
        assert!(used <= waiting.len());
        waiting.drain(..used);
        said.append(session.output());
        match step {
            Step::Read => match packets.next() {
                Some(packet) => waiting.extend_from_slice(packet),
                None => break,
            },
            Step::Write | Step::Wait(_) => {}
            Step::Accept(incoming) => {
                let recipients = incoming.recipients.iter().map(|r| r.wire.clone()).collect();
                came.took.push((incoming.sender.wire.clone(), recipients, incoming.bytes));
                session.accepted(Ok(Receipt::default()));
            }
            Step::Verify { .. } => {
                came.logins += 1;
                session.verified(Checked::Wrong, 1_700_000_000_000);
            }
            Step::Look(questions) => {
                session.answered(questions.into_iter().map(|q| q.unknown()).collect());
            }
            Step::StartTls | Step::Offer(..) => panic!("neither is offered"),
            Step::Close => {
                came.closed = true;
                break;
            }
        }
    }
    // Nonces differ from run to run.
    let said = String::from_utf8(said).expect("replies are ASCII");
    assert!(said.is_empty() || said.ends_with("\r\n"));
    let lines = said.split_terminator("\r\n");
    came.said =
        lines.map(|l| if l.starts_with("334 ") { "334\n".to_owned() } else { format!("{l}\n") }).collect();
    came
}

/// Whatever came in: replies are replies, nothing is relayed, nothing leaves that two readers part differently.
pub fn sound(came: &Came) {
    for line in came.said.lines() {
        assert!(line.len() <= 510, "{line:?}");
        let bytes = line.as_bytes();
        assert!(bytes.len() >= 3 && bytes[..3].iter().all(u8::is_ascii_digit), "{line:?}");
        assert!(matches!(bytes.get(3), None | Some(b' ' | b'-')), "{line:?}");
        assert!(bytes.iter().all(|b| (b' '..=b'~').contains(b)), "{line:?}");
        assert!(!line.starts_with("235"), "nobody has a password here");
    }
    for (sender, recipients, bytes) in &came.took {
        assert!(!sender.contains(['\r', '\n', '\0']));
        assert!(!recipients.is_empty() && recipients.len() <= 4);
        for recipient in recipients {
            let (local, domain) = recipient.rsplit_once('@').unwrap();
            assert!(domain.eq_ignore_ascii_case("example.com"), "relayed to {recipient}");
            assert!(!local.contains(['\r', '\n', '\0', '%', '!', '@']), "{recipient:?}");
        }
        assert!(bytes.len() <= 2048);
        assert!(bytes.is_empty() || bytes.ends_with(b"\r\n"));
        let text: String = bytes.iter().map(|b| char::from(*b)).collect();
        assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']), "{text:?}");
    }
}
