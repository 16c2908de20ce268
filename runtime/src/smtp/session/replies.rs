//! What a session says, and what of it counts as an error of the client: every command that is refused, for good
//! (5xx) or for now (4xx). What is refused for now can be asked for ever otherwise, at the price of a lookup each time.

use super::Session;
use crate::smtp::escape::reply_text;

/// Errors of a client that was refused in the greeting; one more ends it.
const MAX_TURNED: u32 = 5;

/// Recipients of one message that are refused for now and count as one error: the server's own wish that some come
/// again, or a greylist, must not end the session of a client that does as it is told. From there on each counts.
const MAX_LATER: u32 = 1000;

impl Session {
    /// Writes a reply line; a refusal counts as an error of the client.
    pub(in crate::smtp) fn say(&mut self, line: &str) {
        if line.starts_with("421") {
            // RFC 5321 3.8: whoever says so closes, also where a rule says it, or a next hop.
            self.hang_up(line);
            return;
        }
        self.put(line);
        if line.starts_with(['4', '5']) {
            self.errors = self.errors.saturating_add(1);
            let table = self.table();
            let profile = table.profile();
            let most = if self.turned { MAX_TURNED } else { u32::MAX };
            if self.errors > profile.errors_close_after.min(most) {
                self.hang_up("421 4.7.0 too many errors");
            }
            self.pause |= self.errors > profile.errors_slow_after;
        }
    }

    /// Refuses a recipient.
    pub(in crate::smtp) fn refuse_recipient(&mut self, line: &str) {
        if line.starts_with('4')
            && !line.starts_with("421")
            && let Some(transaction) = &mut self.transaction
        {
            transaction.later = transaction.later.saturating_add(1);
            if (2..=MAX_LATER).contains(&transaction.later) {
                self.put(line);
                return;
            }
        }
        self.say(line);
    }

    fn put(&mut self, line: &str) {
        self.out.extend_from_slice(&reply_text(line, 510));
        self.out.extend_from_slice(b"\r\n");
    }

    /// Writes a line of a 250 reply to which more lines follow.
    pub(in crate::smtp) fn say_more(&mut self, text: &str) {
        self.out.extend_from_slice(b"250-");
        self.out.extend_from_slice(&reply_text(text, 500));
        self.out.extend_from_slice(b"\r\n");
    }

    /// Says a last word, if none was said yet.
    pub(in crate::smtp) fn hang_up(&mut self, line: &str) {
        if !std::mem::replace(&mut self.closing, true) {
            self.put(line);
        }
    }

    /// Ends the session without a word on what was asked last: a 421 would be one, too.
    pub(in crate::smtp) fn fall_silent(&mut self) {
        self.closing = true;
    }

    /// Ends the session as its client wishes.
    pub(in crate::smtp) fn take_leave(&mut self) {
        self.quit = true;
        self.hang_up("221 2.0.0 Bye");
    }

    /// Holds the replies back for a while.
    pub(in crate::smtp) fn hold_back(&mut self) {
        self.pause = true;
    }
}
