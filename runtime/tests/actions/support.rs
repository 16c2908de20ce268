//! Tables, mail and a store for the tests of actions: short to write, and records that read as text.

use edict_message::edit::{Edit, apply};
use edict_runtime::acceptor::{Acceptor, QuotaQuery, Receipt};
use edict_runtime::actions::{Pipeline, Store, Storing};
use edict_runtime::envelope::{
    Authentication, Body, Client, DispatchKind, Fate, Given, Incoming, Notify, Record, Refusal, ReversePath,
    Variant,
};
use edict_runtime::quota::Quotas;
use edict_runtime::spool::{Ledger, SpoolError};
use edict_table::emit::emit;
use edict_table::fact::Fact;
use edict_table::facts::Direction;
use edict_table::load::Loaded;
use edict_table::model::{
    Action, Alias, Bcc, Condition, Disclaimer, Entries, List, ListKind, Mode, Predicate, Quota, QuotaPer,
    Reply, Rule, Sublist, Table, Test,
};
use edict_table::value::{Address, Pattern};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// 2026-11-24 12:00:00 UTC
pub const NOON: i64 = 1_795_521_600_000;

/// When a rule matches.
#[derive(Clone, Copy)]
pub enum When<'a> {
    Always,
    Going(&'a [Direction]),
    Sender(&'a [&'a str]),
    Recipient(&'a [&'a str]),
    Subject(&'a str),
}

/// A table in the making.
#[derive(Clone, Default)]
pub struct Rules(pub Table);

impl Rules {
    /// `example.com` and `second.example` are local.
    pub fn new() -> Self {
        let mut table = Table::default();
        table.profile.hostname = Some("mx.example.com".to_owned());
        table.profile.local_domains = vec!["example.com".to_owned(), "second.example".to_owned()];
        table.profile.domain_aliases = vec![("example.net".to_owned(), "example.com".to_owned())];
        Self(table)
    }

    fn condition(&mut self, when: When<'_>) -> u32 {
        let table = &mut self.0;
        let condition = match when {
            When::Always => Condition::True,
            When::Going(ways) => {
                let bits = ways.iter().fold(0, |bits, way| bits | 1 << (*way as u8));
                test(table, Fact::Direction, Test::OneOf(bits))
            }
            When::Recipient(patterns) | When::Sender(patterns) => {
                let keys: Entries = patterns.iter().map(|p| Pattern::parse(p).unwrap().key()).collect();
                table.lists.push(List { name: None, kind: ListKind::Mailbox, entries: keys.sorted() });
                let list = u32::try_from(table.lists.len() - 1).unwrap();
                let fact = if matches!(when, When::Sender(_)) { Fact::Sender } else { Fact::Recipient };
                test(table, fact, Test::InList(list))
            }
            When::Subject(text) => test(table, Fact::Subject, Test::Contains(vec![text.to_lowercase()])),
        };
        table.conditions.push(condition);
        u32::try_from(table.conditions.len() - 1).unwrap()
    }

    fn rule(mut self, name: &str, priority: u32, when: When<'_>, action: Action) -> Self {
        let condition = self.condition(when);
        let mode = Mode::Enforce;
        self.0.rules.push(Rule { name: name.to_owned(), priority, mode, condition, action });
        self
    }

    /// The last rule is only watched.
    pub fn audit(mut self) -> Self {
        self.0.rules.last_mut().unwrap().mode = Mode::Audit;
        self
    }

    pub fn profile(mut self, set: impl FnOnce(&mut edict_table::model::Profile)) -> Self {
        set(&mut self.0.profile);
        self
    }

    pub fn alias(mut self, key: &str, members: &[&str], owner: Option<&str>) -> Self {
        self.0.aliases.push(Alias {
            lists: Vec::new(),
            key: key.to_owned(),
            members: members.iter().map(|&m| m.to_owned()).collect(),
            owner: owner.map(str::to_owned),
            may_send: Vec::new(),
        });
        self
    }

    /// A list with an owner among the members of the last alias.
    pub fn sublist(mut self, owner: &str, members: &[&str]) -> Self {
        let members = members.iter().map(|m| (*m).to_owned()).collect();
        self.0.aliases.last_mut().unwrap().lists.push(Sublist { owner: owner.to_owned(), members });
        self
    }

    /// `options` holds `modified` and `record`.
    pub fn bcc(self, name: &str, when: When<'_>, to: &[&str], options: &str) -> Self {
        let action = Action::Bcc(Bcc {
            to: to.iter().map(|&t| t.to_owned()).collect(),
            modified: options.contains("modified"),
            record_envelope: options.contains("record"),
        });
        self.rule(name, 100, when, action)
    }

    pub fn quota(self, name: &str, priority: u32, when: When<'_>, quota: Quota) -> Self {
        self.rule(name, priority, when, Action::Quota(quota))
    }

    pub fn disclaimer(
        self,
        name: &str,
        priority: u32,
        when: When<'_>,
        set: impl FnOnce(&mut Disclaimer),
    ) -> Self {
        let mut text = Disclaimer {
            text: Some(format!("[{name}]\n")),
            html: None,
            above_quote: false,
            replies: edict_table::model::Replies::Always,
            signed: edict_table::model::OnSigned::Skip,
            proceed: false,
        };
        set(&mut text);
        self.rule(name, priority, when, Action::Disclaimer(text))
    }

    pub fn load(mut self) -> Arc<Loaded> {
        self.0.canonical();
        let image: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(emit(&self.0));
        Arc::new(Loaded::new(image).unwrap())
    }
}

fn test(table: &mut Table, fact: Fact, test: Test) -> Condition {
    let predicate = Predicate { fact, parameter: String::new(), test };
    let place = table.predicates.iter().position(|have| *have == predicate).unwrap_or_else(|| {
        table.predicates.push(predicate);
        table.predicates.len() - 1
    });
    Condition::Test(u32::try_from(place).unwrap())
}

/// A quota without bounds: set what the test is about.
pub fn quota(per: QuotaPer) -> Quota {
    Quota {
        per,
        messages: None,
        recipients: None,
        bytes: None,
        rolling: false,
        warn_percent: None,
        reply: Reply { code: 452, enhanced: (4, 7, 1), text: "Daily quota reached".to_owned() },
    }
}

/// Mail in the making.
pub struct Mail(pub Incoming);

impl Mail {
    /// From a logged-in user, to recipients whose direction follows from the table.
    pub fn submitted(table: &Arc<Loaded>, from: &str, to: &[&str]) -> Self {
        Self::new(table, Some(from), from, to)
    }

    /// From a stranger.
    pub fn arriving(table: &Arc<Loaded>, from: &str, to: &[&str]) -> Self {
        Self::new(table, None, from, to)
    }

    pub fn new(table: &Arc<Loaded>, login: Option<&str>, from: &str, to: &[&str]) -> Self {
        let recipients = to.iter().map(|to| given(table, login.is_some(), to)).collect();
        Self(Incoming {
            id: edict_runtime::envelope::MessageId(1),
            client: Client {
                ip: "192.0.2.7".parse().unwrap(),
                name: Some("client.example".to_owned()),
                helo: "client.example".to_owned(),
                esmtp: true,
                tls: true,
                auth_user: login.filter(|login| !login.is_empty()).map(str::to_owned),
                trusted: false,
            },
            submitted: login.is_some(),
            sender: ReversePath { wire: from.to_owned(), body: Body::SevenBit, ..ReversePath::default() },
            sender_address: Address::parse(from).ok(),
            recipients,
            bytes: format!(
                "From: Ann <{from}>\r\nTo: somebody\r\nSubject: hello\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n\
                 Message-ID: <1@client.example>\r\n\r\nHello.\r\n"
            )
            .into_bytes(),
            table: Arc::clone(table),
            received: NOON,
            authentication: Authentication::default(),
        })
    }

    pub fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.bytes = bytes.into();
        self
    }

    pub fn at(mut self, received: i64) -> Self {
        self.0.received = received;
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Incoming)) -> Self {
        change(&mut self.0);
        self
    }
}

fn given(table: &Loaded, submitted: bool, to: &str) -> Given {
    let address = Address::parse(to).unwrap();
    let direction = match (submitted, table.is_inside(address.domain())) {
        (true, true) => Direction::Internal,
        (true, false) => Direction::Outbound,
        (false, _) => Direction::Inbound,
    };
    Given {
        wire: to.to_owned(),
        address,
        direction,
        notify: Notify::default(),
        orcpt: None,
        fate: Fate::Deliver,
    }
}

/// A store that keeps what it gets, numbers it as the spool would, and fails when told to.
pub struct Shelf {
    pub records: Mutex<Vec<Record>>,
    pub failing: AtomicBool,
    /// Records of this size and more wait until the gate is opened.
    pub gate: tokio::sync::Semaphore,
    seq: AtomicU64,
    quotas: Arc<Quotas>,
}

impl Store for Shelf {
    fn ready(&self) -> Result<(), SpoolError> {
        if self.failing.load(Ordering::SeqCst) { Err(SpoolError::Full) } else { Ok(()) }
    }

    fn submit(&self, record: Record) -> Storing<'_> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if record.bytes.len() > 100_000 {
                drop(self.gate.acquire().await);
            }
            self.ready()?;
            let seq = self.seq.fetch_add(1, Ordering::SeqCst) + 1;
            self.quotas.committed(seq, &record.usage);
            self.records.lock().unwrap().push(record);
            Ok(())
        })
    }
}

/// A pipeline over a folder of its own.
pub struct Desk {
    pub pipeline: Arc<Pipeline<Shelf>>,
    pub shelf: Arc<Shelf>,
    pub quotas: Arc<Quotas>,
    pub folder: Arc<tempfile::TempDir>,
}

impl Desk {
    pub fn new() -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()), 0)
    }

    /// Starts over what an earlier one left; the log begins at `seq`.
    pub fn over(folder: Arc<tempfile::TempDir>, seq: u64) -> Self {
        let quotas = Arc::new(Quotas::open(&folder.path().join("quota.redb"), "UTC").unwrap());
        let shelf = Arc::new(Shelf {
            records: Mutex::default(),
            failing: AtomicBool::new(false),
            gate: tokio::sync::Semaphore::new(0),
            seq: AtomicU64::new(seq),
            quotas: Arc::clone(&quotas),
        });
        let pipeline =
            Pipeline::open(folder.path(), "host.example", Arc::clone(&quotas), Arc::clone(&shelf)).unwrap();
        Self { pipeline: Arc::new(pipeline), shelf, quotas, folder }
    }

    /// The same with users who have mailboxes.
    pub fn with_users(self, users: edict_runtime::users::Users) -> Self {
        let (folder, quotas, shelf) = (self.folder, self.quotas, self.shelf);
        drop(self.pipeline);
        let pipeline =
            Pipeline::open(folder.path(), "host.example", Arc::clone(&quotas), Arc::clone(&shelf)).unwrap();
        let users = Arc::new(arc_swap::ArcSwap::from_pointee(users));
        Self { pipeline: Arc::new(pipeline.with_users(users)), shelf, quotas, folder }
    }

    pub async fn send(&self, mail: Mail) -> Result<Receipt, Refusal> {
        self.pipeline.accept(Box::new(mail.0)).await
    }

    pub fn last(&self) -> Record {
        self.shelf.records.lock().unwrap().last().unwrap().clone()
    }

    pub fn precheck(&self, table: &Loaded, login: &str, to: &str) -> Result<(), Refusal> {
        let sender = Address::parse(login).unwrap();
        let recipient = Address::parse(to).unwrap();
        self.pipeline.over_quota(&QuotaQuery {
            table,
            auth_user: Some(login),
            client_ip: "192.0.2.7".parse().unwrap(),
            sender: Some(&sender),
            recipient: &recipient,
        })
    }
}

/// The message that a dispatch carries.
pub fn message(record: &Record, place: usize) -> String {
    let variant: &Variant = &record.variants[record.dispatches[place].variant as usize];
    let edits: Vec<Edit> = variant
        .splices
        .iter()
        .map(|s| Edit { range: s.start as usize..s.end as usize, bytes: s.bytes.clone() })
        .collect();
    String::from_utf8(apply(&record.bytes, &edits)).unwrap()
}

/// The record's envelopes as text, one line a dispatch:
/// `message v0 <ann@example.com>: bob@example.com, (sales@example.com) out@x.example!`. An alias is in
/// parentheses, `!` marks the outside, `~` what is held.
pub fn envelopes(record: &Record) -> String {
    let mut out = String::new();
    for dispatch in &record.dispatches {
        let kind = match &dispatch.kind {
            DispatchKind::Message => "message".to_owned(),
            DispatchKind::Copy(rule) => format!("copy {rule:?}"),
            DispatchKind::Notice => "notice".to_owned(),
        };
        let hold = if dispatch.hold { "~" } else { "" };
        write!(out, "{kind} v{}{hold} <{}>:", dispatch.variant, dispatch.sender).unwrap();
        for target in &dispatch.recipients {
            let given = target.given.as_ref().map(|given| format!("({given}) ")).unwrap_or_default();
            write!(out, " {given}{}{}", target.address, if target.inside { "" } else { "!" }).unwrap();
        }
        out.push('\n');
    }
    out
}

/// Sends one message and compares the envelopes.
pub async fn check(mail: Mail, want: &str) -> Record {
    let desk = Desk::new();
    desk.send(mail).await.unwrap();
    let record = desk.last();
    let want: String = want.lines().map(|l| format!("{}\n", l.trim())).filter(|l| l != "\n").collect();
    assert_eq!(envelopes(&record), want);
    record
}
