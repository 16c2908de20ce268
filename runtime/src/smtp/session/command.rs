//! Command lines: finding one, what no line may hold, and who may run which command when.

use super::{Session, Step};
use crate::smtp::lines::{Found, Skip, Skipped, find, is_dirty};
use crate::smtp::verbs::{self, Flow, Turn};

const BARE_LF: &str = "500 5.5.2 a LF without CR ends no line (RFC 5321 2.3.8)";
/// To a client that was refused in the greeting.
pub(in crate::smtp) const NO_MAIL: &str = "503 5.5.1 no mail is taken from here";

impl Session {
    /// Takes one command line.
    pub(super) fn command(&mut self, rest: &[u8], now: i64) -> (usize, Option<Step>) {
        if let Some(skip) = &mut self.skip {
            let skipped = skip.feed(rest);
            if skipped == Skipped::All {
                return (rest.len(), Some(Step::Read));
            }
            self.skip = None;
            return match skipped {
                Skipped::Ended(used) => {
                    self.say("500 5.5.2 the line is too long");
                    (used, None)
                }
                Skipped::BareLf => {
                    self.hang_up(BARE_LF);
                    (rest.len(), None)
                }
                Skipped::All | Skipped::Hopeless => {
                    self.hang_up("500 5.5.2 the line is too long");
                    (rest.len(), None)
                }
            };
        }
        if rest.is_empty() && self.draining && self.transaction.is_none() {
            self.hang_up("421 4.3.2 this server goes down, try again later");
            return (0, None);
        }
        let length = match find(rest, self.settings.max_line) {
            Found::Partial => return (0, Some(Step::Read)),
            Found::Line(length) => length,
            Found::Long => {
                self.skip = Some(Skip::default());
                return (0, None);
            }
            Found::BareLf => {
                self.hang_up(BARE_LF);
                return (rest.len(), None);
            }
        };
        let used = length + 2;
        let line = rest.get(..length).unwrap_or_default();
        let text = match std::str::from_utf8(line) {
            Ok(text) if !is_dirty(line) => text,
            // RFC 5321 4.1.2: 501 where the command itself is known.
            _ if is_command(line) => {
                self.say("501 5.5.2 the line holds bytes that no command has");
                return (used, None);
            }
            _ => {
                self.say("500 5.5.2 the line holds bytes that no command has");
                return (used, None);
            }
        };
        match self.run(text, rest.len() > used, now) {
            Flow::Done => (used, None),
            Flow::Again(step) => (0, Some(step)),
        }
    }

    pub(super) fn run(&mut self, line: &str, more: bool, now: i64) -> Flow {
        // RFC 5321 4.1.1: white space before the end is tolerated.
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, args) = line.split_once(' ').unwrap_or((line, ""));
        let Some(command) = verbs::find(verb) else {
            if verbs::is_other_protocol(verb) {
                self.hang_up("500 5.5.2 this is a mail server");
            } else {
                self.say("500 5.5.2 command not recognized");
            }
            return Flow::Done;
        };
        let turn = Turn { args, now };
        if self.is_turned() {
            match command.name {
                "QUIT" => {}
                // What follows it is its chunk, and no command.
                "BDAT" => return (command.run)(self, &turn),
                _ => {
                    self.say(NO_MAIL);
                    return Flow::Done;
                }
            }
        }
        let waits = command.ends_group || !self.peer.hello.as_ref().is_some_and(|h| h.esmtp);
        if more && waits && command.name != "QUIT" && self.table().profile().strict_pipelining {
            // What follows was written for a state that may never come: it is not looked at.
            self.hang_up("503 5.5.0 commands came before the reply that they must wait for");
            return Flow::Done;
        }
        if command.junk && self.is_too_much_junk() {
            return Flow::Done;
        }
        if let Err(reply) = (command.check)(self, &turn) {
            self.say(reply);
            return Flow::Done;
        }
        (command.run)(self, &turn)
    }

    /// Counts one more command that brings no mail forward. Where it is one too many, the last word is said.
    pub(in crate::smtp) fn is_too_much_junk(&mut self) -> bool {
        self.junk += 1;
        let much = self.junk > self.table().profile().junk_commands;
        if much {
            self.hang_up("421 4.7.0 too many commands that bring no mail");
        }
        much
    }
}

/// Whether a line that cannot be read begins with a verb that is known.
fn is_command(line: &[u8]) -> bool {
    let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(verb).is_ok_and(|verb| verbs::find(verb).is_some())
}
