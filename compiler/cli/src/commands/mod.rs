//! One file a command. Each returns whether all was good, or why it could not be done.

mod bench;
mod build;
mod check;
mod exchange;
mod explain;
mod explain_code;
mod fix;
mod fmt;
mod keygen;
mod manual;
mod new;
mod replay;
mod show;
mod test;

use crate::args::Command;
use crate::console::{Console, Failure};

/// Runs a command. `false` means that the rules or the mail fell short.
pub fn run(command: Command, console: &mut Console) -> Result<bool, Failure> {
    match command {
        Command::New(args) => new::run(&args, console),
        Command::ExplainCode(args) => explain_code::run(&args, console),
        Command::Fmt(args) => fmt::run(&args, console),
        Command::Bench(args) => bench::run(&args, console),
        Command::Completions(args) => manual::completions(&args, console),
        Command::Man(args) => manual::man(&args, console),
        Command::Check(args) => check::run(&args, console),
        Command::Build(args) => build::run(&args, console),
        Command::Keygen(args) => keygen::run(&args, console),
        Command::Test(args) => test::run(&args, console),
        Command::Explain(args) => explain::run(&args, console),
        Command::Replay(args) => replay::run(&args, console),
        Command::Show(args) => show::run(&args, console),
        Command::Import(args) => exchange::import(&args, console),
        Command::Export(args) => exchange::export(&args, console),
    }
}
