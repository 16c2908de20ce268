//! The commands: one row each, with a check and a do function, one file per verb.
//!
//! `check` looks at state and shape and changes nothing; `run` does it. A `run` that must wait for
//! something says [`Flow::Again`] and is called again with the same line once that is known.

mod auth;
mod bdat;
mod data;
mod helo;
mod mail;
mod other;
mod rcpt;
mod starttls;
mod xclient;

use super::session::{Session, Step};

/// A command's arguments and moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'a> {
    /// What follows the verb and one space, without white space at the end.
    pub(super) args: &'a str,
    /// Unix milliseconds.
    pub(super) now: i64,
}

/// How a command ended.
#[derive(Debug)]
pub(super) enum Flow {
    /// Its reply is written.
    Done,
    /// Do this, then run the same line again.
    Again(Step),
}

/// One command.
pub(super) struct Command {
    /// In upper case.
    pub(super) name: &'static str,
    /// Must be the last of a pipelined group (RFC 2920 3.1), where ambiguity would do harm.
    pub(super) ends_group: bool,
    /// Brings no mail forward.
    pub(super) junk: bool,
    /// The reply, where the command is out of order or out of shape.
    pub(super) check: fn(&Session, &Turn<'_>) -> Result<(), &'static str>,
    /// Does it.
    pub(super) run: fn(&mut Session, &Turn<'_>) -> Flow,
}

const fn row(
    name: &'static str,
    ends_group: bool,
    junk: bool,
    check: fn(&Session, &Turn<'_>) -> Result<(), &'static str>,
    run: fn(&mut Session, &Turn<'_>) -> Flow,
) -> Command {
    Command { name, ends_group, junk, check, run }
}

static COMMANDS: &[Command] = &[
    row("RCPT", false, false, rcpt::check, rcpt::run),
    row("MAIL", false, false, mail::check, mail::run),
    row("DATA", true, false, data::check, data::run),
    row("BDAT", false, false, bdat::check, bdat::run),
    row("EHLO", true, true, helo::check, helo::ehlo),
    row("HELO", true, true, helo::check, helo::helo),
    row("STARTTLS", true, true, starttls::check, starttls::run),
    row("AUTH", true, true, auth::check, auth::run),
    row("XCLIENT", true, true, xclient::check, xclient::run),
    row("RSET", false, true, other::no_args, other::rset),
    row("NOOP", false, true, other::any_args, other::noop),
    row("QUIT", false, false, other::no_args, other::quit),
    row("VRFY", false, true, other::needs_args, other::vrfy),
    row("EXPN", false, true, other::any_args, other::expn),
    row("HELP", false, true, other::any_args, other::help),
];

/// The command of a verb, without case.
pub(super) fn find(verb: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name.eq_ignore_ascii_case(verb))
}

/// Verbs of other protocols: a browser that was sent here by a page (ALPACA, 2021) gets no second try.
pub(super) fn is_other_protocol(verb: &str) -> bool {
    ["GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "PRI", "USER", "HOST:", "PROXY"]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(verb))
        || verb.starts_with('\u{16}')
}
