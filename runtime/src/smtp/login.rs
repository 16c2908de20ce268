//! The session's part in AUTH and STARTTLS: responses, failures and their bounds, a new beginning.

use super::lines::{Found, find};
use super::sasl::{Checked, Exchange, MAX_LINE, Move};
use super::session::{Phase, Session, Step};
use super::settings::Role;
use crate::dovecot::Asker;
use crate::verdict::limits::{Counter, Key, Room};
use crate::verdict::peer::Login;
use edict_table::load::Loaded;
use edict_table::model::{Auth, Rate};
use std::time::Duration;

/// Failed logins of one connection before it is closed.
const MAX_FAILURES: u32 = 3;
/// Failed logins of one client, over all its connections, before it must wait.
const GUESSES: Rate = Rate { count: 20, seconds: 600 };
/// How long a login waits for its turn before it asks again.
const TURN: Duration = Duration::from_millis(100);
/// The last word to a client that guesses.
pub(super) const TOO_MANY: &str = "421 4.7.0 too many failed logins, try again later";
const UNCHECKED: &str = "454 4.7.0 cannot check logins now, try again later";
const FAILED: &str = "535 5.7.8 user name or password is wrong";

impl Session {
    /// Whether clients can log in here (`auth` of the profile, docs/language.md).
    pub(super) fn auth_is_on(&self, table: &Loaded) -> bool {
        match table.profile().auth {
            Auth::Off => false,
            Auth::Optional => true,
            Auth::Required => self.endpoint.role != Role::Mx,
        }
    }

    /// Whether SCRAM-SHA-256 is offered: where somebody can log in by it, and our own file of users is what counts.
    pub(super) fn offers_scram(&self) -> bool {
        self.cx.dovecot.load().is_none() && self.cx.users.load().has_scram()
    }

    fn guesses(&self) -> Key {
        Key::new("failed logins", Some(self.peer.ip))
    }

    /// Whether the client has failed less often than it may.
    pub(super) fn may_guess(&self, now: i64) -> bool {
        self.cx.limits.has_room(self.guesses(), Counter::Logins, GUESSES, now)
    }

    /// Reserves a failure before anything is checked, so that logins at once are bounded as those one after the
    /// other are.
    ///
    /// # Errors
    /// What the session does instead, where there is no room.
    fn reserve_guess(&mut self, now: i64) -> Result<(), Option<Step>> {
        match self.cx.limits.reserve(self.guesses(), Counter::Logins, GUESSES, now) {
            Room::Taken(guess) => {
                self.guess = Some(guess);
                Ok(())
            }
            // Others of this client are being checked: an office behind one address waits its turn.
            Room::Later => Err(Some(Step::Wait(TURN))),
            Room::None => {
                self.hang_up(TOO_MANY);
                Err(None)
            }
        }
    }

    /// Has a password checked, when it is its turn.
    pub(super) fn check_login(&mut self, now: i64) -> Option<Step> {
        if let Err(instead) = self.reserve_guess(now) {
            return instead;
        }
        match std::mem::replace(&mut self.phase, Phase::Checking) {
            Phase::Check(name, password) => Some(Step::Verify { name, password }),
            phase => {
                self.phase = phase;
                None
            }
        }
    }

    /// Asks for a response.
    pub(super) fn challenge(&mut self, exchange: Exchange) {
        self.say(&format!("334 {}", exchange.prompt()));
        self.phase = Phase::Auth(Box::new(exchange));
    }

    /// Takes a line within AUTH.
    pub(super) fn response(&mut self, rest: &[u8], now: i64) -> (usize, Option<Step>) {
        let length = match find(rest, MAX_LINE) {
            Found::Partial => return (0, Some(Step::Read)),
            Found::Line(length) => length,
            Found::Long | Found::BareLf => {
                self.hang_up("500 5.5.6 the response is too long or holds a LF without CR");
                return (rest.len(), None);
            }
        };
        if matches!(&self.phase, Phase::Auth(exchange) if exchange.decides())
            && let Err(step) = self.reserve_guess(now)
        {
            return (0, step);
        }
        let Phase::Auth(exchange) = std::mem::replace(&mut self.phase, Phase::Command) else {
            return (0, None);
        };
        match rest.get(..length).and_then(|line| std::str::from_utf8(line).ok()) {
            Some(line) => self.respond(*exchange, line, now),
            None => {
                self.guess = None;
                self.say("501 5.5.2 this is no base64");
            }
        }
        (length + 2, None)
    }

    /// Goes on with an exchange.
    pub(super) fn respond(&mut self, exchange: Exchange, response: &str, now: i64) {
        let Some(nonce) = self.cx.nonce() else {
            self.guess = None;
            self.say(UNCHECKED);
            return;
        };
        match exchange.take(response, &self.cx.users.load(), &nonce) {
            Move::Ask(text, exchange) => {
                // A proof that was right is answered by ours.
                self.guess = None;
                self.say(&format!("334 {text}"));
                self.phase = Phase::Auth(Box::new(exchange));
            }
            Move::Check(name, password) => self.phase = Phase::Check(name, password),
            Move::Proved(name) => self.logged_in(&name),
            Move::Failed => self.login_failed(now),
            Move::Wrong(reply) => {
                self.guess = None;
                self.say(reply);
            }
        }
    }

    /// The answer to [`Step::Verify`].
    pub fn verified(&mut self, outcome: Checked, now: i64) {
        if !matches!(self.phase, Phase::Checking) {
            return;
        }
        self.phase = Phase::Command;
        match outcome {
            Checked::Right(name) => self.logged_in(&name),
            Checked::Wrong => self.login_failed(now),
            Checked::Unknown => {
                self.guess = None;
                self.say(UNCHECKED);
            }
        }
    }

    /// On whose behalf a password is checked.
    pub(super) fn asker(&self) -> Asker {
        Asker { client: self.peer.ip, tls: self.peer.tls }
    }

    fn logged_in(&mut self, name: &str) {
        self.guess = None;
        self.peer.login = Some(Login::new(name));
        let ours = self.cx.dovecot.load().is_none();
        self.proof = self.cx.users.load().proof(name).filter(|_| ours).map(Box::new);
        self.say("235 2.7.0 welcome");
    }

    /// Whether the login is good no longer: a reload took its user away, or changed the password. Dovecot, which keeps its
    /// own, is not asked again.
    pub(super) fn login_is_void(&self) -> bool {
        let login = self.peer.login.as_ref().zip(self.proof.as_ref());
        login.is_some_and(|(login, proof)| !self.cx.users.load().still(&login.name, proof))
    }

    /// One reply whatever was wrong, held back; bounded for the connection and for the client.
    fn login_failed(&mut self, now: i64) {
        match self.guess.take() {
            Some(guess) => guess.count(now),
            None => {
                let _ = self.cx.limits.take(self.guesses(), Counter::Logins, GUESSES, now);
            }
        }
        self.failures += 1;
        tracing::info!(target: "edict::mail", client = %self.peer.ip, "login failed");
        self.say(FAILED);
        self.hold_back();
        if self.failures >= MAX_FAILURES {
            self.hang_up("421 4.7.0 too many failed logins");
        }
    }

    /// Begins STARTTLS.
    pub(super) fn start_tls(&mut self) {
        self.say("220 2.0.0 go ahead");
        self.phase = Phase::Tls;
    }

    /// The connection is encrypted: all that was learnt before is forgotten (RFC 3207 4.2).
    pub fn encrypted(&mut self) {
        self.end_transaction();
        self.peer.hello = None;
        self.peer.login = None;
        self.peer.tls = true;
        if matches!(self.phase, Phase::Tls) {
            self.phase = Phase::Command;
        }
    }
}
