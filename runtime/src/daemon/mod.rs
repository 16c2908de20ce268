//! The daemon from start to end: what is opened in which order, what signals do, how it stops.
//!
//! Order matters: log, table, users, certificates, counters, spool (replayed into the counters), queue, sockets. A daemon
//! that cannot do all of it does not start, and does not touch the mail it found either: delivery begins last.

mod behind;
mod delivery;
mod listen;
mod log;
mod lookups;
mod machine;
mod passed;
pub mod reload;
mod settle;
mod signals;
mod system;
mod systemd;

pub use settle::Launch;

use crate::actions::{Pipeline, secret};
use crate::admin;
use crate::config::{self, Config, ConfigError, SharedQuota};
use crate::deliver::probe::Prober;
use crate::directory::Directory;
use crate::directory::srs::Srs;
use crate::dkim::Signer;
use crate::live::Live;
use crate::queue::Queue;
use crate::quota::Quotas;
use crate::quota::shared::{SharedSettings, WhenDown};
use crate::smtp::{self, Context};
use crate::spool::{self, Recovery, Spool, SpoolError};
use crate::users::Users;
use arc_swap::{ArcSwap, ArcSwapOption};
use behind::Behind;
use delivery::Sources;
use listen::{ListenError, Listeners};
use lookups::Lookups;
use passed::Passed;
use reload::{Parts, ReloadError, Reloader, apply, hostname, short, smtp_settings};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Why the daemon did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Table or users are wrong.
    #[error(transparent)]
    Load(#[from] ReloadError),
    /// The spool cannot be opened.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A write to the spool failed while it served.
    #[error("the spool stopped: {0}; start it again")]
    Stopped(String),
    /// The counters cannot be opened.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Data(PathBuf, String),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A socket of systemd is of no use.
    #[error("a socket that systemd passed is no TCP listener: {0}")]
    Passed(io::Error),
    /// The log cannot be opened.
    #[error("log {path}: {error}", path = .0.display(), error = .1)]
    Log(PathBuf, io::Error),
    /// The admin socket cannot be made.
    #[error("admin socket {path}: {error}", path = .0.display(), error = .1)]
    Admin(PathBuf, io::Error),
    /// The admin pages cannot be served there.
    #[error("admin pages at {0}: {1}")]
    Pages(SocketAddr, io::Error),
    /// The system gave no threads or signals.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// What the admin socket and the signals act on.
#[derive(Debug)]
pub struct Control {
    /// Table and users.
    pub reloader: Reloader,
    /// The table in force.
    pub live: Arc<Live>,
    /// What waits for delivery.
    pub queue: Queue,
    /// Usage.
    pub quotas: Arc<Quotas>,
    /// Counters of the front.
    pub metrics: Arc<smtp::Metrics>,
    /// When the daemon was started.
    pub started: Instant,
}

impl Control {
    /// Loads everything again, on a thread of its own.
    ///
    /// # Errors
    /// Why not; then everything stays as it was.
    pub async fn reload(self: &Arc<Self>) -> Result<String, ReloadError> {
        let (control, runtime) = (Arc::clone(self), tokio::runtime::Handle::current());
        let (tell, told) = tokio::sync::oneshot::channel();
        let work = move || {
            let _within = runtime.enter();
            machine::step_back();
            // Whoever asked may be gone; the log has it too.
            let _ = tell.send(control.reloader.reload());
        };
        std::thread::Builder::new().name("reload".to_owned()).spawn(work).map_err(ReloadError::Thread)?;
        told.await.unwrap_or_else(|_| {
            tracing::error!("the reload broke off, all stays as it was");
            Err(ReloadError::Thread(io::ErrorKind::Interrupted.into()))
        })
    }
}

/// Serves until SIGTERM or SIGINT, or until nothing can be recorded any more.
///
/// # Errors
/// Whatever kept it from starting, or what failed of the spool.
pub fn run(launch: Launch) -> Result<(), DaemonError> {
    let config = settle::settle(&launch)?;
    let log = log::start(config.log.as_deref());
    let log = log.map_err(|e| DaemonError::Log(config.log.clone().unwrap_or_default(), e))?;
    let passed = Passed::take().map_err(DaemonError::Passed)?;
    machine::small_pages();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(config, launch, passed, log));
    // Sessions that outlived the drain are cut off; what they were told is on disk.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// Reads every file that a configuration names, as a start would: table, users, certificates, keys, passwords.
/// Opens nothing, writes nothing, asks no server.
///
/// # Errors
/// The first file that a start would refuse.
pub fn check(config: &Config, embedded: &'static [u8]) -> Result<(), DaemonError> {
    kinds(config)?;
    if let Some(shared) = &config.shared_quota {
        let readable = crate::quota::shared::Shared::new(shared_settings(shared), String::new());
        readable.map_err(|e| DaemonError::Data(config.data.clone(), format!("shared_quota: {e}")))?;
    }
    Parts::load(config, embedded)?;
    Sources::read(config, config.hostname.as_deref().unwrap_or_default())?.settings()?;
    Ok(())
}

/// Whether what is there already where folders and files are to be made is one.
fn kinds(config: &Config) -> Result<(), DaemonError> {
    let folders = [Some(&config.data), config.journal.as_ref().map(|journal| &journal.folder)];
    if let Some(path) = folders.into_iter().flatten().find(|path| path.exists() && !path.is_dir()) {
        return Err(DaemonError::Data(path.clone(), "this is no folder".to_owned()));
    }
    match &config.log {
        Some(path) if path.is_dir() => {
            Err(DaemonError::Log(path.clone(), io::Error::from(io::ErrorKind::IsADirectory)))
        }
        _ => Ok(()),
    }
}

async fn serve(config: Config, launch: Launch, passed: Passed, log: log::Log) -> Result<(), DaemonError> {
    let signals = signals::Signals::new()?;
    let hostname = hostname(&config);
    let (table, users, tls, keys) = Parts::load(&config, launch.embedded)?.into_inner();
    let table = Arc::new(table);
    let signer = Signer::new(keys);
    let live = Arc::new(Live::new(Arc::clone(&table)));
    let data = open_data(&config, &hostname, &live, users, &signer)?;
    let (quotas, queue, users) = (data.quotas, data.queue, data.users);
    let data_error = |e: io::Error| DaemonError::Data(config.data.clone(), e.to_string());
    let pipeline = Pipeline::open(&config.data, &hostname, Arc::clone(&quotas), Arc::new(queue.clone()))
        .map_err(data_error)?
        .with_attributes(&table, &config.attributes)
        .with_users(Arc::clone(&users))
        .with_signer(signer.clone())
        .with_passage(config.pass_through.map(|bounds| queue.passage(bounds.connections as usize)));
    let pipeline = Arc::new(pipeline);
    let mut context = Context::new(
        Arc::clone(&live),
        Arc::clone(&pipeline) as _,
        Arc::clone(&users),
        smtp_settings(&config, &hostname),
    );
    let dns = lookups::dns(&config.next_hops.name_servers)
        .inspect_err(|error| tracing::warn!(%error, "rules that ask DNS will defer mail"))
        .ok();
    let lookups = Arc::new(Lookups { dns: ArcSwapOption::from_pointee(dns), prober: data.prober });
    context.resolver = Some(Arc::clone(&lookups) as _);
    context.journal = delivery::journal(&config)?;
    let context = Arc::new(context);
    context.tls.store(tls);
    apply(&config, &hostname, &context);
    let (stop, stopped) = watch::channel(false);
    let listeners = Arc::new(Listeners::new(Arc::clone(&context), passed, stopped));
    let (own, open) = (Arc::clone(&context), Arc::clone(&listeners));
    let behind = Behind {
        live: Arc::clone(&live),
        queue: queue.clone(),
        quotas: Arc::clone(&quotas),
        pipeline,
        lookups,
        directory: data.directory,
        signer,
        sources: Mutex::new(data.sources),
    };
    let reloader = Reloader::new(launch, config.clone(), own, open, behind);
    let control = Arc::new(Control {
        reloader,
        live,
        queue: queue.clone(),
        quotas,
        metrics: Arc::clone(&context.metrics),
        started: Instant::now(),
    });
    let sockets = listeners.prepare(&config.listeners)?;
    listeners.commit(sockets, &config.listeners);
    let socket = config.admin_socket();
    let admin = admin::server::start(&socket, Arc::clone(&control))
        .map_err(|e| DaemonError::Admin(socket.clone(), e))?;
    let pages = match &config.admin_http {
        Some(http) => Some(start_pages(http, &config, &control).await?),
        None => None,
    };
    queue.begin(data.recovery);
    tracing::info!(
        table = short(table.digest()),
        rules = table.rule_count(),
        source = control.reloader.source().name(),
        data = %config.data.display(),
        "ready"
    );
    // Where it cannot take mail, the log says so at once.
    let _ = queue.ready();
    systemd::ready(&format!("table {}", short(table.digest())));
    drop(table);

    tokio::select! {
        () = signals.until_stop(&control, &log) => systemd::stopping("stopping"),
        // What the disk holds is known to the next start only: whoever watches over the daemon makes it.
        reason = queue.failure() => systemd::stopping(&format!("the spool stopped: {reason}")),
    }
    let patience = control.reloader.drain();
    let deadline = Instant::now() + patience;
    tracing::info!(seconds = patience.as_secs(), "stopping: nothing new, finishing what is in flight");
    // Nobody hears this where all sessions are gone already.
    let _ = stop.send(true);
    if tokio::time::timeout(patience, listeners.ended()).await.is_err() {
        tracing::warn!("sessions were still open at the end of the drain");
    }
    queue.drain(deadline.saturating_duration_since(Instant::now())).await;
    admin.abort();
    pages.inspect(tokio::task::JoinHandle::abort);
    // Nobody else answers there; a socket file that stays behind is replaced at the next start.
    let _ = std::fs::remove_file(&socket);
    if let Some(journal) = &context.journal {
        journal.close();
    }
    tracing::info!("stopped");
    queue.stopped().map_or(Ok(()), |reason| Err(DaemonError::Stopped(reason)))
}

/// What stands on the data folder.
struct Opened {
    quotas: Arc<Quotas>,
    queue: Queue,
    /// What the queue is to begin with.
    recovery: Recovery,
    prober: Prober,
    directory: Directory,
    users: Arc<ArcSwap<Users>>,
    /// What delivery was built from.
    sources: Sources,
}

/// Opens counters and spool; the spool tells the counters what they have not seen. The users get their secret.
fn open_data(
    config: &Config,
    hostname: &str,
    live: &Arc<Live>,
    users: Users,
    signer: &Signer,
) -> Result<Opened, DaemonError> {
    let failed = |e: String| DaemonError::Data(config.data.clone(), e);
    make_folder(&config.data).map_err(|e| failed(e.to_string()))?;
    let zone = live.current().profile().time_zone.clone();
    let quotas = Quotas::open(&config.data.join("usage.redb"), &zone).map_err(|e| failed(e.to_string()))?;
    let quotas = Arc::new(quotas);
    let (spool, recovery) = Spool::open(&config.data, spool::Options::default(), Arc::clone(&quotas) as _)?;
    if let Some(shared) = &config.shared_quota {
        quotas.share(shared_settings(shared)).map_err(|e| failed(e.to_string()))?;
    }
    let sources = Sources::read(config, hostname)?;
    let mut settings = sources.settings()?;
    let secret = secret::open(&config.data.join("secret")).map_err(|e| failed(e.to_string()))?;
    let users = Arc::new(ArcSwap::from_pointee(users.seeded(&secret)));
    let directory = Directory::new(Arc::clone(&users), Srs::new(&secret));
    settings.directory = directory.clone();
    settings.signer = signer.clone();
    let prober = Prober::new(Arc::clone(live), &settings);
    let queue = Queue::at_rest(spool, &recovery, Arc::clone(live), settings);
    Ok(Opened { quotas, queue, recovery, prober, directory, users, sources })
}

/// Serves the admin pages to browsers of this machine.
async fn start_pages(
    http: &config::AdminHttp,
    config: &Config,
    control: &Arc<Control>,
) -> Result<tokio::task::JoinHandle<()>, DaemonError> {
    let file = http.token_file.clone().unwrap_or_else(|| config.data.join("admin.token"));
    let password = admin::web::password(&file).map_err(|e| DaemonError::Data(file.clone(), e.to_string()))?;
    let address = http.address;
    let started = admin::web::start(address, &password, Arc::clone(control)).await;
    let started = started.map_err(|e| DaemonError::Pages(address, e))?;
    tracing::info!(%address, "admin pages");
    Ok(started)
}

fn shared_settings(config: &SharedQuota) -> SharedSettings {
    SharedSettings {
        url: config.url.clone(),
        prefix: config.prefix.clone(),
        down: match config.when_down {
            config::WhenDown::Defer => WhenDown::Defer,
            config::WhenDown::CountLocally => WhenDown::CountLocally,
        },
        timeout: Duration::from_millis(config.timeout_ms.clamp(10, 60_000)),
    }
}

/// Makes the data folder for the daemon alone.
fn make_folder(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
