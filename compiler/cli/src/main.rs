//! The `edict` command: for those who write rules. Arguments in, one command run, an exit code out.
//!
//! 0 is good, 1 means that the rules (or the mail) fell short, 2 wrong use or a failure of input or
//! output. Knows no SMTP. Results go to standard output, remarks to standard error.

mod args;
mod commands;
mod console;
mod exchange;
mod explained;
mod files;
mod flow;
mod folder;
mod progress;
mod recorded;
mod render;
mod replayed;
mod signing;
mod table;
mod testing;

use clap::Parser;
use console::{Console, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let mut console = Console::real();
    let done = commands::run(cli.command, &mut console);
    let done = done.and_then(|good| console.finish().map(|()| good));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // Whoever read our output has seen enough of it: `edict show table | head`.
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            console.failure(&failure);
            ExitCode::from(2)
        }
    }
}
