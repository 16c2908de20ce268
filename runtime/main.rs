//! `edictd`: arguments and the embedded table; the library does the rest.
//!
//! Exit codes: 0 good, 1 the daemon said no (a refused reload), 2 wrong use or input/output failure.

mod passwd;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use edict_runtime::admin::client::{self, Ask, ClientError};
use edict_runtime::config::{self, HostPort};
use edict_runtime::daemon::{self, Launch};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Messages are taken on one thread and let go on another; the system's allocator pays for that with locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The table that `build.rs` compiled from `rules/`.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/default.table"));

/// Receives mail and does with it what one compiled decision table says.
///
/// With nothing given: the embedded table, 127.0.0.1:2525, data in ./edict-data, every accepted
/// message into Maildirs below it, nothing sent to the outside.
#[derive(Parser)]
#[command(name = "edictd", version, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Example:\n  edictd --table edict.table --listen 127.0.0.1:2525 --relay smtp.example.com:25"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    #[command(after_help = "Example:\n  edictd run --config /etc/edict/edictd.ron")]
    Run(RunArgs),
    /// Say what is wrong with a configuration file
    #[command(after_help = "Example:\n  edictd check-config /etc/edict/edictd.ron")]
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Show the table in force and the counters
    #[command(after_help = "Example:\n  edictd status --format json")]
    Status(Client),
    /// Load the table again; waits, and fails with the reason if the new one was refused
    #[command(after_help = "Example:\n  edictd reload --data /var/lib/edict")]
    Reload(Client),
    /// Put the table before the last reload in force again
    #[command(after_help = "Example:\n  edictd rollback")]
    Rollback(Client),
    /// Set a user's password in the file of users; the daemon sees it at its next reload
    ///
    /// The password is asked for twice on a terminal, else read from the first line of standard input.
    #[command(after_help = "Example:\n  edictd passwd --file users alice@example.com\n  \
        edictd passwd --config edictd.ron --scheme scram-sha-256 alice@example.com < password")]
    Passwd(passwd::PasswdArgs),
    /// Look at the queue and change it
    #[command(after_help = "Example:\n  edictd queue list\n  edictd queue release 6H2VH48QC0000")]
    Queue {
        #[command(subcommand)]
        command: Option<QueueCommand>,
        #[command(flatten)]
        client: Client,
    },
    /// Show what users have sent out, today and before
    #[command(
        after_help = "Example:\n  edictd usage alice@example.com\n  edictd usage reset alice@example.com"
    )]
    Usage {
        /// One user, or `reset USER`
        #[arg(num_args = 0..=2, value_names = ["USER"])]
        words: Vec<String>,
        #[command(flatten)]
        client: Client,
    },
}

#[derive(Args)]
struct RunArgs {
    /// Table made by `edict build`; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Configuration (docs/edictd.ron shows every key)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here in place of what the configuration says
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// Spool, mailboxes, counters
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where all mail goes that would leave
    #[arg(long, value_name = "HOST:PORT")]
    relay: Option<HostPort>,
}

#[derive(Args)]
struct Client {
    /// The daemon's admin socket
    #[arg(long, global = true, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// The daemon's data folder, where its admin socket is unless configured otherwise
    #[arg(long, global = true, value_name = "DIR", default_value = "edict-data")]
    data: PathBuf,
    /// The daemon's configuration, which says where its admin socket is
    #[arg(long, global = true, value_name = "FILE", conflicts_with_all = ["socket", "data"])]
    config: Option<PathBuf>,
    /// `json` for machines
    #[arg(long, global = true, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Subcommand)]
enum QueueCommand {
    /// Every message in the queue (the default)
    List,
    /// One message
    Show {
        /// Its name in the log
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Keep a message until it is released
    Hold {
        /// Its name in the log
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Let a held message go
    Release {
        /// Its name in the log
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Try now: one message, all that wait, or those for one destination
    #[command(after_help = "Example:\n  edictd queue retry 6H2VH48QC0000\n  edictd queue retry --all\n  \
        edictd queue retry --to example.com")]
    #[command(group = ArgGroup::new("which").required(true))]
    Retry {
        /// Its name in the log
        #[arg(group = "which", value_parser = NonEmptyStringValueParser::new())]
        id: Option<String>,
        /// All that wait for another attempt and are not held
        #[arg(long, group = "which")]
        all: bool,
        /// Those of them with a recipient there: an address, a domain, a relay of the rules, its host (or host:port), or
        /// `local`
        #[arg(long, group = "which", value_name = "WHERE", value_parser = NonEmptyStringValueParser::new())]
        to: Option<String>,
    },
    /// Throw a message away; nobody is told
    Remove {
        /// Its name in the log
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (ask, client) = match cli.command {
        None => return serve(cli.run),
        Some(Command::Run(run)) => return serve(run),
        Some(Command::CheckConfig { file }) => return check_config(&file),
        Some(Command::Passwd(args)) => return passwd::run(&args),
        Some(Command::Status(client)) => (Ask::Status, client),
        Some(Command::Reload(client)) => (Ask::Reload, client),
        Some(Command::Rollback(client)) => (Ask::Rollback, client),
        Some(Command::Queue { command, client }) => (queue_ask(command), client),
        Some(Command::Usage { words, client }) => match usage_ask(&words) {
            Some(ask) => (ask, client),
            None => {
                eprintln!("edictd: usage: write `edictd usage [USER]` or `edictd usage reset USER`");
                return ExitCode::from(2);
            }
        },
    };
    let socket = match (client.config, client.socket) {
        (Some(file), _) => match config::read(&file) {
            Ok(config) => config.admin_socket(),
            Err(error) => {
                eprintln!("edictd: {error}");
                return ExitCode::from(2);
            }
        },
        (None, Some(socket)) => socket,
        (None, None) => config::admin_socket(&client.data),
    };
    let format = match client.format {
        Format::Human => client::Format::Human,
        Format::Json => client::Format::Json,
    };
    let (mut out, mut complaints) = (std::io::stdout().lock(), std::io::stderr().lock());
    match client::ask(&socket, &ask, format, &mut out, &mut complaints) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // As with `head`: whoever reads has enough.
        Err(ClientError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            drop(complaints);
            eprintln!("edictd: {error}");
            ExitCode::from(2)
        }
    }
}

fn serve(run: RunArgs) -> ExitCode {
    let launch = Launch {
        embedded: EMBEDDED,
        table: run.table,
        config: run.config,
        listen: run.listen,
        data: run.data,
        relay: run.relay,
    };
    match daemon::run(launch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edictd: {error}");
            ExitCode::from(2)
        }
    }
}

fn check_config(file: &std::path::Path) -> ExitCode {
    let config = match config::read(file) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("edictd: {error}");
            return match error {
                config::ConfigError::Read(..) => ExitCode::from(2),
                _ => ExitCode::from(1),
            };
        }
    };
    match daemon::check(&config, EMBEDDED) {
        Ok(()) => {
            println!("{}: good", file.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("edictd: {}: {error}", file.display());
            ExitCode::from(1)
        }
    }
}

fn queue_ask(command: Option<QueueCommand>) -> Ask {
    match command {
        None | Some(QueueCommand::List) => Ask::Queue,
        Some(QueueCommand::Show { id }) => Ask::Message(id),
        Some(QueueCommand::Hold { id }) => Ask::Hold(id),
        Some(QueueCommand::Release { id }) => Ask::Release(id),
        Some(QueueCommand::Retry { id: Some(id), .. }) => Ask::Retry(id),
        Some(QueueCommand::Retry { to, .. }) => Ask::RetryMany(to),
        Some(QueueCommand::Remove { id }) => Ask::Remove(id),
    }
}

fn usage_ask(words: &[String]) -> Option<Ask> {
    match words {
        [] => Some(Ask::Usage(None)),
        [verb, user] if verb == "reset" => Some(Ask::ResetUsage(user.clone())),
        [user] if user != "reset" => Some(Ask::Usage(Some(user.clone()))),
        _ => None,
    }
}
