//! What happens to a message after its verdict: aliases, quotas, blind copies, disclaimers, trace fields,
//! and the one record that makes all of it durable.
//!
//! [`Pipeline`] serves the front. [`plan`] is pure; the only waiting is on the store. Verdicts are final
//! before this begins, routes and delivery come after it.

pub mod copies;
pub mod dispatch;
mod early;
pub mod finals;
pub mod ids;
mod lasting;
pub mod marker;
mod pass;
pub mod plan;
pub mod rehearse;
pub mod secret;
pub mod splice;
pub mod texts;
pub mod told;
pub mod trace;
pub mod view;

use crate::acceptor::{Accepting, Acceptor, Expected, Offered, Offering, QuotaQuery, Receipt, Through};
use crate::directory::Directory;
use crate::directory::srs::Srs;
use crate::dkim::Signer;
use crate::envelope::{Incoming, MessageId, Record, Refusal};
use crate::queue::Queue;
use crate::queue::through::Passage;
use crate::quota::{Quotas, Unheld, user_key};
use crate::spool::SpoolError;
use crate::users::Users;
use arc_swap::ArcSwap;
use edict_table::load::{Loaded, RuleRef};
use edict_table::value::Address;
use ids::IdSource;
use lasting::Lasting;
use marker::MarkKey;
use plan::{finish, over_reply, prepare, remark};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use view::Pool;

/// Messages above this are planned off the threads that serve connections.
const LARGE: usize = 1 << 20;

fn unstored(error: &SpoolError) -> Refusal {
    match error {
        SpoolError::Full => refuse("452 4.3.1 Insufficient system storage", None),
        SpoolError::TooLarge => refuse("552 5.3.4 Message too large", None),
        _ => refuse("451 4.3.0 Try again later", None),
    }
}

/// What becomes of a message that was not stored, or that may have been.
fn not_stored(id: MessageId, error: &SpoolError) -> Refusal {
    if matches!(error, SpoolError::Unsure(_)) {
        tracing::error!(%id, %error, "a message may be stored and may not: its client gets no reply, and sends it again");
        return Refusal::silence();
    }
    tracing::error!(%id, %error, "a message was not stored");
    unstored(error)
}

/// The future of a store.
pub type Storing<'a> = Pin<Box<dyn Future<Output = Result<(), SpoolError>> + Send + 'a>>;

/// Makes records durable: the queue, or what a test brings.
pub trait Store: Send + Sync + 'static {
    /// Whether a record can be taken at all now.
    ///
    /// # Errors
    /// Why not.
    fn ready(&self) -> Result<(), SpoolError>;

    /// Makes a record durable and due for delivery. Resolves once it is.
    fn submit(&self, record: Record) -> Storing<'_>;
}

impl Store for Queue {
    fn ready(&self) -> Result<(), SpoolError> {
        Queue::ready(self)
    }

    fn submit(&self, record: Record) -> Storing<'_> {
        Box::pin(Queue::submit(self, record))
    }
}

/// What the pipeline is told by the daemon's configuration.
#[derive(Debug)]
pub struct Settings {
    /// Our name where the profile has none.
    pub hostname: String,
    /// The key of the mark on copies.
    pub mark: MarkKey,
    /// Whom addresses stand for.
    pub directory: Directory,
    /// Attributes of users for disclaimers: user (`user:ann@example.com`), then name in lower case and value.
    pub attributes: HashMap<String, Vec<(String, String)>>,
    /// Signs submitted mail.
    pub signer: Signer,
    /// Memory of evaluations.
    pub pool: Pool,
}

/// The acceptor that serves.
pub struct Pipeline<S> {
    /// A reload puts others in their place.
    settings: ArcSwap<Settings>,
    quotas: Arc<Quotas>,
    ids: IdSource,
    store: Arc<S>,
    passage: Option<Passage>,
}

impl<S> std::fmt::Debug for Pipeline<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("settings", &self.settings.load()).finish_non_exhaustive()
    }
}

impl<S: Store> Pipeline<S> {
    /// Puts it together over a data folder, where it keeps `ids` and `secret`. Daemons that
    /// serve the same domains share the secret's file.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn open(data: &Path, hostname: &str, quotas: Arc<Quotas>, store: Arc<S>) -> io::Result<Self> {
        let secret = secret::open(&data.join("secret"))?;
        let directory = Directory::new(Arc::default(), Srs::new(&secret));
        let ids = IdSource::open(&data.join("ids"), now())?;
        let settings = Settings {
            hostname: hostname.to_owned(),
            mark: MarkKey::new(&secret),
            directory,
            attributes: HashMap::new(),
            signer: Signer::default(),
            pool: Pool::default(),
        };
        Ok(Self { settings: ArcSwap::from_pointee(settings), quotas, ids, store, passage: None })
    }

    /// Adds attributes of users: login or address, then name and value. Names are compared without case.
    #[must_use]
    pub fn with_attributes(
        self,
        table: &Loaded,
        attributes: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Self {
        self.change(|settings| settings.attributes = attributes_of(table, attributes));
        self
    }

    /// Goes on with this name and these attributes from the next message on. Whose they are depends on the table.
    pub fn take_over(
        &self,
        hostname: &str,
        table: &Loaded,
        attributes: &BTreeMap<String, BTreeMap<String, String>>,
    ) {
        let attributes = attributes_of(table, attributes);
        self.change(|settings| {
            hostname.clone_into(&mut settings.hostname);
            settings.attributes = attributes;
        });
    }

    /// Asks these users before a catch-all alias takes their mail.
    #[must_use]
    pub fn with_users(self, users: Arc<ArcSwap<Users>>) -> Self {
        self.change(|settings| settings.directory = settings.directory.clone().with_users(users));
        self
    }

    /// Signs submitted mail with these keys, and with what takes their place.
    #[must_use]
    pub fn with_signer(self, signer: Signer) -> Self {
        self.change(|settings| settings.signer = signer);
        self
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        let own = self.settings.load_full();
        let mut settings = Settings {
            hostname: own.hostname.clone(),
            mark: own.mark.clone(),
            directory: own.directory.clone(),
            attributes: own.attributes.clone(),
            signer: own.signer.clone(),
            pool: Pool::default(),
        };
        change(&mut settings);
        self.settings.store(Arc::new(settings));
    }

    /// Lets mail that needs nothing of ours go on without being stored.
    #[must_use]
    pub fn with_passage(mut self, passage: Option<Passage>) -> Self {
        self.passage = passage;
        self
    }

    /// The counters, for `edictd usage`.
    #[must_use]
    pub fn quotas(&self) -> &Arc<Quotas> {
        &self.quotas
    }
}

impl<S: Store> Acceptor for Pipeline<S> {
    fn next_id(&self) -> MessageId {
        self.ids.next(now())
    }

    fn ready(&self) -> Result<(), Refusal> {
        self.store.ready().map_err(|error| unstored(&error))
    }

    fn over_quota(&self, query: &QuotaQuery<'_>) -> Result<(), Refusal> {
        let now = now();
        let Some(plan) = early::plan(&self.settings.load().pool, query, now) else { return Ok(()) };
        let zone = self.quotas.zone(query.table);
        self.quotas.room(&plan.needs, now, &zone).map_err(|over| over_reply(&plan, query.table, over))
    }

    fn returns(&self, table: &Loaded, recipient: &str) -> bool {
        let ours = Address::parse(recipient).is_ok_and(|address| table.is_local(address.domain()));
        ours && self.settings.load().directory.srs().back(recipient, now()).is_some()
    }

    fn accept(&self, incoming: Box<Incoming>) -> Accepting<'_> {
        let settings = self.settings.load_full();
        let quotas = Arc::clone(&self.quotas);
        let store = Arc::clone(&self.store);
        // Whoever stops waiting must not leave a stored message uncounted.
        Box::pin(Lasting::new(take(settings, quotas, store, incoming)))
    }

    fn passes(&self) -> bool {
        self.passage.is_some()
    }

    fn offer<'a>(
        &'a self,
        open: &'a mut Option<Through>,
        so_far: &Incoming,
        expected: Expected,
    ) -> Offering<'a> {
        match self.passage.as_ref().zip(pass::envelope(&self.settings.load(), so_far)) {
            Some((passage, envelope)) => Box::pin(passage.offer(open, envelope, expected)),
            None => {
                *open = None;
                Box::pin(std::future::ready(Offered::Store))
            }
        }
    }

    fn head(&self, so_far: &Incoming) -> Option<Vec<u8>> {
        pass::head(&self.settings.load(), &self.quotas.zone(&so_far.table), so_far)
    }

    fn pass(&self, open: Through, incoming: Box<Incoming>) -> Accepting<'_> {
        let settings = self.settings.load_full();
        let quotas = Arc::clone(&self.quotas);
        let store = Arc::clone(&self.store);
        Box::pin(Lasting::new(pass::pass(settings, quotas, store, open, incoming)))
    }
}

/// Attributes as disclaimers look them up.
fn attributes_of(
    table: &Loaded,
    attributes: &BTreeMap<String, BTreeMap<String, String>>,
) -> HashMap<String, Vec<(String, String)>> {
    let lower = |(name, value): (&String, &String)| (name.to_lowercase(), value.clone());
    let of = |(user, all): (&String, &BTreeMap<String, String>)| {
        (user_key(table, user), all.iter().map(lower).collect())
    };
    attributes.iter().map(of).collect()
}

async fn take<S: Store>(
    settings: Arc<Settings>,
    quotas: Arc<Quotas>,
    store: Arc<S>,
    incoming: Box<Incoming>,
) -> Result<Receipt, Refusal> {
    let id = incoming.id;
    let large = incoming.bytes.len() > LARGE;
    let own = Arc::clone(&settings);
    let (incoming, mut prepared) = run(large, move || {
        let prepared = prepare(&own, &incoming)?;
        Ok((incoming, prepared))
    })
    .await?;
    if prepared.is_empty() {
        return Ok(Receipt { effects: prepared.effects });
    }
    let zone = quotas.zone(&incoming.table);
    let mut held = None;
    if let Some(plan) = prepared.quota.take() {
        let (reservation, warnings) =
            quotas.hold(id, &plan.needs, incoming.received, &zone).await.map_err(|error| match error {
                Unheld::Over(over) => over_reply(&plan, &incoming.table, over),
                Unheld::Down => refuse("451 4.3.0 Quota cannot be checked now", None),
            })?;
        remark(&quotas, &zone, &incoming, &plan, &warnings, &mut prepared.effects);
        held = Some(reservation);
    }
    let usage = held.as_ref().map(|held| held.usage().to_vec()).unwrap_or_default();
    let (record, effects) = run(large, move || finish(&settings, &zone, incoming, prepared, usage)).await?;
    let stored = store.submit(record).await;
    if let Some(reservation) = held
        && matches!(stored, Ok(()) | Err(SpoolError::Unsure(_)))
    {
        // Where it is not known, the next start finds out.
        reservation.keep();
    }
    stored.map_err(|error| not_stored(id, &error))?;
    Ok(Receipt { effects })
}

/// Runs a piece of work here, or off the threads that serve connections.
async fn run<T: Send + 'static>(
    large: bool,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if !large {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "planning a message failed");
        Err(refuse("451 4.3.0 Try again later", None))
    })
}

/// A refusal with its rule, as replies and logs want it.
fn refuse(reply: &str, rule: Option<&RuleRef<'_>>) -> Refusal {
    let rule = rule.map(|rule| (rule.name.to_owned(), rule.file.to_owned(), rule.line));
    Refusal { reply: reply.to_owned(), rule }
}

/// Unix milliseconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
