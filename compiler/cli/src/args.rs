//! The arguments of every command. Completions and man pages are made from these definitions.
//!
//! Says nothing about what a command does with them; each has a file of its own in `commands`.

use crate::exchange::{Format, Of};
use clap::{Args, Parser, Subcommand, ValueEnum};
use edict_compiler::lex::leaf;
use edict_runtime::quota::Amount;
use edict_table::value::Domain;
use std::path::PathBuf;

/// Mail rules in git: check them, prove them, build the table that decides live mail.
#[derive(Debug, Parser)]
#[command(
    name = "edict",
    version,
    about,
    propagate_version = true,
    after_help = "Start with:\n  edict new my-mail        a rule repository that checks and tests clean\n  edict check              everything there is to say about the rules in ./rules\n  edict build -o rules.table\n\nExit codes: 0 good, 1 the rules or the mail fell short, 2 wrong use or input/output failure."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a rule repository that checks, tests and formats clean
    New(NewArgs),
    /// Check rules: syntax, names, types, proofs
    Check(CheckArgs),
    /// Explain the code of a diagnostic
    ExplainCode(ExplainCodeArgs),
    /// Bring rule files into the one layout
    Fmt(FmtArgs),
    /// Build the table that edictd loads
    Build(BuildArgs),
    /// Make a key that signs tables, or show the public one
    Keygen(KeygenArgs),
    /// Run the `test` blocks of rules
    Test(TestArgs),
    /// Tell what happens to a mail, and why
    Explain(ExplainArgs),
    /// Put recorded mail through a table
    Replay(ReplayArgs),
    /// Show what is inside a table
    Show(ShowArgs),
    /// Make rules out of the maps of other mail systems
    Import(ImportArgs),
    /// Make maps of other mail systems out of rules
    Export(ExportArgs),
    /// Measure what a decision costs
    Bench(BenchArgs),
    /// Print shell completions
    #[command(hide = true)]
    Completions(CompletionsArgs),
    /// Write man pages
    #[command(hide = true)]
    Man(ManArgs),
}

/// Where the rules are.
#[derive(Debug, Args)]
pub struct RulesArg {
    /// The folder with `main.edict`; `-` reads a single rule file from standard input
    #[arg(value_name = "RULES", default_value = "rules")]
    pub rules: PathBuf,
}

/// How diagnostics are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum DiagnosticFormat {
    /// With the source line, for people
    Human,
    /// One line each: `file:line:column: error[E1001]: message`
    Short,
    /// One JSON object a line
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
}

/// What makes a check fail beside errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Deny {
    /// Any warning
    Warnings,
}

/// `edict check`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edict check\n  edict check rules --deny warnings\n  edict check rules --format sarif > edict.sarif"
)]
pub struct CheckArgs {
    /// Where the rules are.
    #[command(flatten)]
    pub rules: RulesArg,
    /// How to print what there is to say
    #[arg(long, value_enum, default_value = "human")]
    pub format: DiagnosticFormat,
    /// Also fail (exit code 1) on these
    #[arg(long, value_enum, value_name = "WHAT")]
    pub deny: Option<Deny>,
    /// Leave the proofs out: faster, but shadowed and conflicting rules go unseen
    #[arg(long)]
    pub no_proofs: bool,
    /// Apply the edits that mend diagnostics and leave no choice, then check again
    #[arg(long)]
    pub fix: bool,
}

/// `edict build`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edict build -o rules.table\n  edict build rules -o /etc/edict/rules.table && edictd reload\n  edict build -o rules.table --sign table.key\n\nThe file is written aside, synced and renamed: a reader sees the old table or the new one, never half.\nThe same sources give the same bytes on any machine."
)]
pub struct BuildArgs {
    /// Where the rules are.
    #[command(flatten)]
    pub rules: RulesArg,
    /// Where the table goes; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Sign the table with this private key (Ed25519, PKCS#8 in PEM, as `edict keygen` makes it); `-` is standard input
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// How to print what there is to say about the rules; with `json` what was built is an object too
    #[arg(long, value_enum, default_value = "human")]
    pub format: DiagnosticFormat,
    /// Leave the proofs out
    #[arg(long)]
    pub no_proofs: bool,
}

/// `edict keygen`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edict keygen table.key             makes it, and prints the public key\n  edict keygen --public table.key    prints the public key of one that is there\n\nThe public key belongs into `signers` of edictd.ron; whoever has the private one can decide over your mail.\n`openssl genpkey -algorithm ed25519 -out table.key` makes such a key too."
)]
pub struct KeygenArgs {
    /// The file of the private key; with `--public`, `-` is standard input
    #[arg(value_name = "KEY")]
    pub key: PathBuf,
    /// Make nothing; print the public key of KEY
    #[arg(long)]
    pub public: bool,
    /// How to print it
    #[arg(long, value_enum, default_value = "human")]
    pub format: ResultFormat,
}

/// How `edict show` prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ShowFormat {
    /// A summary for people
    Human,
    /// The summary as one JSON object
    Json,
    /// The whole table, in RON
    Ron,
}

/// `edict show`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edict show rules.table\n  edict show rules.table --format ron > rules.ron"
)]
pub struct ShowArgs {
    /// A table, or a folder of rules that is compiled first; `-` is a table on standard input
    #[arg(value_name = "TABLE")]
    pub table: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value = "human")]
    pub format: ShowFormat,
}

/// How a result is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ResultFormat {
    /// For people
    Human,
    /// One JSON object
    Json,
}

/// `edict import`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edict import aliases /etc/aliases > rules/aliases.edict\n  edict import access /etc/postfix/sender_access --of sender > rules/senders.edict\n  postconf -h header_checks; edict import header_checks /etc/postfix/header_checks\n\nThe first line of a csv says what it holds: `alias,member`, `list,entry`, or `client,action,reply` (or sender, recipient, helo; the reply may be left out). Its actions are allow, reject, defer, hold, discard and dunno (no decision), or those of access(5).\n\nEvery line is reported on standard error: what was changed, and what Edict cannot say (exit code 1)."
)]
pub struct ImportArgs {
    /// What FILE is
    #[arg(value_enum, value_name = "FORMAT")]
    pub format: Format,
    /// The file; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What the keys of an access, pcre or regexp table are
    #[arg(long, value_enum, value_name = "WHAT")]
    pub of: Option<Of>,
    /// What the names of rules and lists begin with; the file's name where absent
    #[arg(long)]
    pub name: Option<String>,
    /// The domain of names that have none; aliases keep them bare without it
    #[arg(long)]
    pub domain: Option<String>,
    /// The priority of the rules that come first
    #[arg(long, default_value_t = 100)]
    pub priority: u32,
    /// Domains match themselves alone (parent_domain_matches_subdomains without smtpd_access_maps)
    #[arg(long)]
    pub dotted: bool,
    /// Give no rules at all unless every line can be said
    #[arg(long)]
    pub all_or_nothing: bool,
    /// How to print the rules and the report
    #[arg(long = "format", value_enum, default_value = "human", value_name = "FORMAT", id = "print")]
    pub print: ResultFormat,
}

/// `edict export`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edict export aliases rules > /etc/aliases\n  edict export access rules --of sender\n  edict export csv rules --of client > clients.csv\n  edict export csv rules --lists > lists.csv\n\nA csv without --of and --lists holds the aliases; with --lists it holds the lists that rules ask\nfor by `in NAME`, not those that no rule uses or that are searched for (`contains any of`). What the format cannot hold is named on standard error (exit code 1)."
)]
pub struct ExportArgs {
    /// What to make
    #[arg(value_enum, value_name = "FORMAT")]
    pub format: Format,
    /// A folder of rules, or a table
    #[arg(value_name = "RULES", default_value = "rules")]
    pub rules: PathBuf,
    /// What the keys of an access, pcre, regexp or csv table are
    #[arg(long, value_enum, value_name = "WHAT")]
    pub of: Option<Of>,
    /// The lists that have a name (csv)
    #[arg(long, conflicts_with = "of")]
    pub lists: bool,
    /// How to print the map and what it cannot hold
    #[arg(long = "format", value_enum, default_value = "human", value_name = "FORMAT", id = "print")]
    pub print: ResultFormat,
}

/// `edict explain-code`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  edict explain-code E2003\n  edict explain-code       lists them all")]
pub struct ExplainCodeArgs {
    /// A code as diagnostics show it; without one, all codes are listed
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value = "human")]
    pub format: ResultFormat,
}

/// `edict test`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edict test\n  edict test rules --coverage\n  edict test rules --junit tests.xml\n  edict test --junit - | report\n\nNo DNS is asked: what a test does not say with `dns` resolves, and is on no list. A client of which nothing\nis said has the confirmed name mx.elsewhere.example."
)]
pub struct TestArgs {
    /// Where the rules are.
    #[command(flatten)]
    pub rules: RulesArg,
    /// Name the rules and conditions that no test decides
    #[arg(long)]
    pub coverage: bool,
    /// Also write the results as JUnit XML; `-` is standard output, and then they stand there alone
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// How to print the results; JSON is one object a line
    #[arg(long, value_enum, default_value = "human")]
    pub format: ResultFormat,
}

/// A result of SPF or DMARC (RFC 8601 2.7), in the order of [`edict_table::fact::RESULTS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum CheckResult {
    /// Nothing is published, or nothing was checked
    None,
    /// The sender is who he says
    Pass,
    /// He is not
    Fail,
    /// He is probably not
    Softfail,
    /// The domain says nothing about it
    Neutral,
    /// A lookup failed for now
    Temperror,
    /// What is published cannot be read
    Permerror,
}

/// The results that DMARC has.
fn dmarc() -> impl clap::builder::TypedValueParser<Value = CheckResult> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    let words = edict_table::fact::DMARC_RESULTS.iter().copied().filter(|word| !word.is_empty());
    PossibleValuesParser::new(words).try_map(|word| CheckResult::from_str(&word, false))
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|e| e.to_string())
}

/// `499 messages`, `20 recipients`, `199 MiB`
fn used(text: &str) -> Result<Amount, String> {
    let wrong = || format!("`{text}` is no amount: write `499 messages`, `20 recipients` or `199 MiB`");
    let (number, unit) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    let unit = Some(unit.trim()).filter(|unit| !unit.is_empty());
    if let Some("message" | "messages" | "recipient" | "recipients") = unit {
        let leaf::Amount::Number(count) = leaf::amount(number, None).map_err(|_| wrong())? else {
            return Err(wrong());
        };
        return Ok(match unit {
            Some("message" | "messages") => Amount { messages: count, ..Amount::default() },
            _ => Amount { recipients: count, ..Amount::default() },
        });
    }
    match leaf::amount(number, unit) {
        Ok(leaf::Amount::Size(bytes)) => Ok(Amount { bytes, ..Amount::default() }),
        _ => Err(wrong()),
    }
}

/// `edict explain`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edict explain rules --client 203.0.113.9 --sender bob@partner.example --recipient sales@example.com\n  edict explain rules.table --auth ann --sender ann@example.com --recipient bob@x.example --message mail.eml\n  edict explain rules --auth ann --sender ann@example.com --recipient bob@x.example --used \"500 messages\"\n  edict explain rules --sender bob@partner.example --recipient sales@example.com --dns '\"partner.example\" answers nothing'\n\nNo DNS is asked: what --dns does not say resolves, clients are on no list, and local mailboxes exist. A client of which\nnothing is said has the confirmed name mx.elsewhere.example. Nothing is counted: quotas hold what --used says, and limits\nwhat a client did before, which is nothing here."
)]
pub struct ExplainArgs {
    /// A table, or a folder of rules; `-` is a table on standard input
    #[arg(value_name = "TABLE|RULES")]
    pub table: PathBuf,
    /// The client's address
    #[arg(long, value_name = "IP", default_value = "203.0.113.1")]
    pub client: std::net::IpAddr,
    /// The client's forward-confirmed name
    #[arg(long, value_name = "NAME")]
    pub client_name: Option<String>,
    /// What the client says in HELO
    #[arg(long, value_name = "NAME")]
    pub helo: Option<String>,
    /// The connection is encrypted
    #[arg(long)]
    pub tls: bool,
    /// The result of SPF
    #[arg(long, value_enum, value_name = "RESULT")]
    pub spf: Option<CheckResult>,
    /// The result of DMARC
    #[arg(long, value_name = "RESULT", value_parser = dmarc())]
    pub dmarc: Option<CheckResult>,
    /// A domain with a valid DKIM signature; give it several times for several
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub dkim: Vec<Domain>,
    /// The login
    #[arg(long, value_name = "USER")]
    pub auth: Option<String>,
    /// The envelope sender; `<>` for a bounce
    #[arg(long, value_name = "ADDRESS")]
    pub sender: String,
    /// A recipient; give it several times for several
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub recipient: Vec<String>,
    /// The message; an empty one where absent. `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub message: Option<PathBuf>,
    /// What the sender has used up today: `499 messages`, `20 recipients` or `199 MiB`; give it several times for several
    #[arg(long, value_name = "AMOUNT", value_parser = used)]
    pub used: Vec<Amount>,
    /// When the mail arrives, as in a test: `2026-12-01T10:30`, in the time zone of the profile; now where absent
    #[arg(long, value_name = "DATE")]
    pub time: Option<String>,
    /// What DNS says, as in a test: `"203.0.113.9" answers ptr mx.partner.example`; give it several times for several names
    #[arg(long, value_name = "NAME ANSWER")]
    pub dns: Vec<String>,
    /// Show every rule looked at, however many
    #[arg(long)]
    pub all: bool,
    /// How to print it
    #[arg(long, value_enum, default_value = "human")]
    pub format: ResultFormat,
}

/// `edict replay`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edict replay rules /var/lib/edict/journal\n  edict replay rules journal --against /etc/edict/edict.table\n  edict replay rules ~/Maildir sent.mbox mail.eml --recipient ann@example.com\n\nNo DNS is asked: names resolve, clients are on no list, and local mailboxes exist. SPF, DKIM and DMARC are not in a\njournal and count as not checked; of a mail whose body was not kept, rules see an empty one of its size.\n\nExit code: 0, and with --against 1 where a mail is treated differently."
)]
pub struct ReplayArgs {
    /// A table, or a folder of rules; `-` is a table on standard input
    #[arg(value_name = "TABLE|RULES")]
    pub table: PathBuf,
    /// Recorded mail: the daemon's journal, a message, an mbox or a Maildir
    #[arg(value_name = "MAIL", required = true)]
    pub mail: Vec<PathBuf>,
    /// Another table or folder of rules; only what changes from it is shown
    #[arg(long, value_name = "OLD")]
    pub against: Option<PathBuf>,
    /// Who gets mail that does not say so itself; give it several times for several
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Vec<String>,
    /// How to print it; JSON is one object a line
    #[arg(long, value_enum, default_value = "human")]
    pub format: ResultFormat,
}

/// `edict bench`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edict bench rules.table\n  edict bench rules --message mail.eml --format json"
)]
pub struct BenchArgs {
    /// A table, or a folder of rules; `-` is a table on standard input
    #[arg(value_name = "TABLE|RULES")]
    pub table: PathBuf,
    /// The message to decide on; a short one of ours where absent
    #[arg(long, value_name = "FILE")]
    pub message: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value = "human")]
    pub format: ResultFormat,
}

/// `edict fmt`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  edict fmt\n  edict fmt --check rules\n  edict fmt - < main.edict")]
pub struct FmtArgs {
    /// Files, and folders of which every `.edict` file is meant; `-` is standard input
    #[arg(value_name = "PATHS", default_value = "rules")]
    pub paths: Vec<PathBuf>,
    /// Change nothing; name the files that would change, and exit with 1 if there are any
    #[arg(long)]
    pub check: bool,
    /// How to print the files; JSON is one object a line, `changed` says whether the layout is another
    #[arg(long, value_enum, default_value = "human")]
    pub format: ResultFormat,
}

/// `edict new`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  edict new my-mail && cd my-mail && edict check && edict test")]
pub struct NewArgs {
    /// An empty folder, or one that is not there yet
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// How to print what was made
    #[arg(long, value_enum, default_value = "human")]
    pub format: ResultFormat,
}

/// `edict completions`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  edict completions bash > /etc/bash_completion.d/edict")]
pub struct CompletionsArgs {
    /// Whose
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `edict man`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  edict man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The folder that they go to
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn definitions_are_sound() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn results_are_those_of_the_registry() {
        use clap::ValueEnum;
        let ours: Vec<String> = super::CheckResult::value_variants()
            .iter()
            .filter_map(|v| v.to_possible_value().map(|v| v.get_name().to_owned()))
            .collect();
        assert_eq!(ours, edict_table::fact::RESULTS);
    }

    #[test]
    fn every_command_has_an_example() {
        for command in super::Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("edict {}", command.get_name())), "{}", command.get_name());
        }
    }
}
