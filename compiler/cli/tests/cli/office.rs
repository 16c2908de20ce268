//! The daemon's own actions behind a session, over a store that keeps the last record: real quotas, aliases, copies and
//! disclaimers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use arc_swap::ArcSwap;
use edict_runtime::acceptor::{Accepting, Acceptor, QuotaQuery, Receipt};
use edict_runtime::actions::{Pipeline, Store, Storing};
use edict_runtime::envelope::{DispatchKind, Incoming, MessageId, Record, Refusal, Usage};
use edict_runtime::quota::{Amount, Keys, Quotas};
use edict_runtime::spool::{Ledger, SpoolError};
use edict_runtime::users::Users;
use edict_table::load::Loaded;
use edict_table::value::Address;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds.
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[derive(Default)]
struct Shelf(Mutex<Option<Record>>);

impl Store for Shelf {
    fn ready(&self) -> Result<(), SpoolError> {
        Ok(())
    }

    fn submit(&self, record: Record) -> Storing<'_> {
        *self.0.lock().unwrap() = Some(record);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What stands behind the front.
pub struct Office {
    pipeline: Pipeline<Shelf>,
    quotas: Arc<Quotas>,
    shelf: Arc<Shelf>,
    effects: Mutex<Vec<String>>,
    seq: AtomicU64,
    _folder: tempfile::TempDir,
}

impl Office {
    pub fn open(users: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let quotas = Arc::new(Quotas::open(&folder.path().join("quota.redb"), "UTC").unwrap());
        let shelf = Arc::new(Shelf::default());
        let pipeline =
            Pipeline::open(folder.path(), "mx.example.com", Arc::clone(&quotas), Arc::clone(&shelf)).unwrap();
        let users = Arc::new(ArcSwap::from_pointee(Users::parse(users).unwrap()));
        Self {
            pipeline: pipeline.with_users(users),
            quotas,
            shelf,
            effects: Mutex::default(),
            seq: AtomicU64::new(0),
            _folder: folder,
        }
    }

    /// From now on who sends this has used up so much, and nothing was done yet.
    pub fn used(&self, table: &Loaded, login: Option<&str>, sender: &str, client: &str, used: Amount) {
        *self.shelf.0.lock().unwrap() = None;
        self.effects.lock().unwrap().clear();
        let sender = Address::parse(sender).ok();
        let user = Keys::new(table, login, sender.as_ref(), client.parse().unwrap()).user;
        let at = now();
        self.quotas.reset(table, user.strip_prefix("user:").unwrap_or(&user), at).unwrap();
        let Amount { messages, recipients, bytes } = used;
        let usage = Usage { key: user, at: at + 1, messages, recipients, bytes };
        self.quotas.replay(self.seq.fetch_add(1, Ordering::SeqCst) + 1, &[usage]);
    }

    /// What is done to a message. Nothing here has to be waited for.
    pub fn take(&self, incoming: Incoming) -> Result<Receipt, Refusal> {
        let mut work = self.pipeline.accept(Box::new(incoming));
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(receipt)) => {
                self.effects.lock().unwrap().clone_from(&receipt.effects);
                Ok(receipt)
            }
            Poll::Ready(Err(refusal)) => Err(refusal),
            Poll::Pending => panic!("it waits for something"),
        }
    }

    /// What was done to the last message, one phrase each.
    pub fn done(&self) -> BTreeSet<String> {
        // What the log says of quotas that run low, `explain` tells of every quota, with its counts.
        let said = |effect: &&String| !effect.starts_with("quota ") && !effect.starts_with("discarded ");
        let mut out: BTreeSet<String> = self.effects.lock().unwrap().iter().filter(said).cloned().collect();
        if let Some(record) = self.shelf.0.lock().unwrap().as_ref() {
            let mail = record.dispatches.iter().filter(|d| d.kind == DispatchKind::Message);
            out.extend(mail.flat_map(|d| &d.recipients).map(|to| format!("reaches {}", to.address)));
        }
        out
    }
}

impl Acceptor for Office {
    fn next_id(&self) -> MessageId {
        self.pipeline.next_id()
    }
    fn ready(&self) -> Result<(), Refusal> {
        self.pipeline.ready()
    }
    fn over_quota(&self, query: &QuotaQuery<'_>) -> Result<(), Refusal> {
        self.pipeline.over_quota(query)
    }
    fn accept(&self, incoming: Box<Incoming>) -> Accepting<'_> {
        self.pipeline.accept(incoming)
    }
}
