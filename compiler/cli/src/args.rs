//! The arguments of every command. Completions and man pages are made from these definitions.
//!
//! Says nothing about what a command does with them; each has a file of its own in `commands`.

use clap::{Args, Parser, Subcommand, ValueEnum};
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
    /// Check rules: syntax, names, types, proofs
    Check(CheckArgs),
    /// Build the table that edictd loads
    Build(BuildArgs),
    /// Show what is inside a table
    Show(ShowArgs),
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
    after_help = "Examples:\n  edict build -o rules.table\n  edict build rules -o /etc/edict/rules.table && edictd reload\n\nThe file is written aside, synced and renamed: a reader sees the old table or the new one, never half.\nThe same sources give the same bytes on any machine."
)]
pub struct BuildArgs {
    /// Where the rules are.
    #[command(flatten)]
    pub rules: RulesArg,
    /// Where the table goes; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// How to print what there is to say about the rules
    #[arg(long, value_enum, default_value = "human")]
    pub format: DiagnosticFormat,
    /// Leave the proofs out
    #[arg(long)]
    pub no_proofs: bool,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn definitions_are_sound() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in super::Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("edict {}", command.get_name())), "{}", command.get_name());
        }
    }
}
