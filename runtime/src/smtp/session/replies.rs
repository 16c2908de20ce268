//! What a session says. Every reply of 5xx counts as an error of the client.

use super::Session;
use crate::smtp::escape::reply_text;

/// Errors of a client that was refused in the greeting; one more ends it.
const MAX_TURNED: u32 = 5;

impl Session {
    /// Writes a reply line; a 5xx counts as an error of the client.
    pub(in crate::smtp) fn say(&mut self, line: &str) {
        self.out.extend(reply_text(line, 510));
        self.out.extend_from_slice(b"\r\n");
        if line.starts_with('5') {
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

    /// Writes a line of a 250 reply to which more lines follow.
    pub(in crate::smtp) fn say_more(&mut self, text: &str) {
        self.out.extend_from_slice(b"250-");
        self.out.extend(reply_text(text, 500));
        self.out.extend_from_slice(b"\r\n");
    }

    /// Says a last word.
    pub(in crate::smtp) fn hang_up(&mut self, line: &str) {
        self.out.extend(reply_text(line, 510));
        self.out.extend_from_slice(b"\r\n");
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
