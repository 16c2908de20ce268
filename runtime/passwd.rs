//! `edictd passwd`: asks for a password and has it written into the file of users.
//!
//! The password is never an argument, which every user of the machine could see.

use clap::{Args, ValueEnum};
use edict_runtime::config;
use edict_runtime::users::Scheme;
use edict_runtime::users::file::{Change, ChangeError, change};
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

/// The longest line read from standard input, in bytes.
const MAX_INPUT: u64 = 4096;

#[derive(Args)]
pub struct PasswdArgs {
    /// The user: an address, or a local part for every local domain
    name: String,
    /// The file of users
    #[arg(long, value_name = "FILE", required_unless_present = "config", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// The configuration, whose `users` is the file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the password is kept; only scram-sha-256 serves clients that log in with SCRAM
    #[arg(long, value_enum, default_value = "argon2id")]
    scheme: SchemeArg,
    /// A mailbox without a login
    #[arg(long, conflicts_with_all = ["scheme", "remove"])]
    no_login: bool,
    /// Take the user away
    #[arg(long, conflicts_with = "scheme")]
    remove: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum SchemeArg {
    Argon2id,
    #[value(name = "scram-sha-256")]
    ScramSha256,
    #[value(name = "sha512-crypt")]
    Sha512Crypt,
}

impl From<SchemeArg> for Scheme {
    fn from(scheme: SchemeArg) -> Self {
        match scheme {
            SchemeArg::Argon2id => Self::Argon2id,
            SchemeArg::ScramSha256 => Self::ScramSha256,
            SchemeArg::Sha512Crypt => Self::Sha512Crypt,
        }
    }
}

/// Does it. Exit codes: 1 where the user or password cannot be, 2 for files and terminals.
pub fn run(args: &PasswdArgs) -> ExitCode {
    match go(args) {
        Ok(text) => {
            eprintln!("{text}");
            ExitCode::SUCCESS
        }
        Err((code, text)) => {
            eprintln!("edictd: {text}");
            ExitCode::from(code)
        }
    }
}

fn go(args: &PasswdArgs) -> Result<String, (u8, String)> {
    let path = match (&args.file, &args.config) {
        (Some(file), _) => file.clone(),
        (None, Some(path)) => {
            let config = config::read(path).map_err(|e| (2, e.to_string()))?;
            config.users.ok_or_else(|| (2, format!("{}: no key `users`", path.display())))?
        }
        (None, None) => return Err((2, "name the file with --file or --config".to_owned())),
    };
    let password;
    let wanted = if args.remove {
        Change::Remove
    } else if args.no_login {
        Change::NoLogin
    } else {
        password = ask(&args.name)?;
        Change::Password(&password, args.scheme.into())
    };
    let found = change(&path, &args.name, wanted).map_err(|error| {
        let code = match error {
            ChangeError::Entry(_) | ChangeError::Users(..) | ChangeError::Nobody(..) => 1,
            ChangeError::File(..) | ChangeError::Busy(_) | ChangeError::Random => 2,
        };
        (code, error.to_string())
    })?;
    let done = match (args.remove, found) {
        (true, _) => "removed",
        (false, true) => "changed",
        (false, false) => "added",
    };
    Ok(format!("{}: `{}` {done}; `edictd reload` puts it in force", path.display(), args.name))
}

fn ask(name: &str) -> Result<String, (u8, String)> {
    let failed = |e: io::Error| (2, format!("the password cannot be read: {e}"));
    if io::stdin().is_terminal() {
        let first = rpassword::prompt_password(format!("Password of {name}: ")).map_err(failed)?;
        let again = rpassword::prompt_password("Once more: ").map_err(failed)?;
        return if first == again { Ok(first) } else { Err((1, "the two are not the same".to_owned())) };
    }
    let mut text = String::new();
    io::stdin().take(MAX_INPUT).read_to_string(&mut text).map_err(failed)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
