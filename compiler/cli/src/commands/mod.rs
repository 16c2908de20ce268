//! One file a command. Each returns whether all was good, or why it could not be done.

mod build;
mod check;
mod exchange;
mod fix;
mod show;

use crate::args::Command;
use crate::console::{Console, Failure};

/// Runs a command. `false` means that the rules or the mail fell short.
pub fn run(command: Command, console: &mut Console) -> Result<bool, Failure> {
    match command {
        Command::Check(args) => check::run(&args, console),
        Command::Build(args) => build::run(&args, console),
        Command::Show(args) => show::run(&args, console),
        Command::Import(args) => exchange::import(&args, console),
        Command::Export(args) => exchange::export(&args, console),
    }
}
