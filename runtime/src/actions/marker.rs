//! The mark on a blind copy, by which the daemon knows its own copies again when they come back.
//!
//! A mark that anybody could write would let a user keep his mail out of the archive, so it carries a
//! keyed hash over the copy's name and the fields that a message keeps on its way. A mark that is not
//! ours, or was moved to another message, is no mark.

use crate::envelope::MessageId;
use edict_message::header::{Field, Fields};

/// The name of the field.
pub const FIELD: &str = "X-Edict-Copy";
/// Marks of one message that are looked at: each daemon on the way may have left one.
const MAX_MARKS: usize = 100;

/// The secret of this daemon.
#[derive(Clone)]
pub struct MarkKey([u8; 32]);

impl std::fmt::Debug for MarkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MarkKey")
    }
}

impl MarkKey {
    /// Over a secret; the key for this purpose is derived from it.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(blake3::derive_key("edict 2026-11-24 mark on copies", secret))
    }

    /// The value of the field on a copy of this message.
    #[must_use]
    pub fn mark(&self, id: MessageId, fields: &Fields<'_>) -> String {
        format!("{id} {}", self.hash(&id.to_string(), fields))
    }

    /// Whether this message is a copy that this daemon made.
    #[must_use]
    pub fn knows(&self, fields: &Fields<'_>) -> bool {
        fields.fields.iter().filter(|field| field.is(FIELD)).take(MAX_MARKS).any(|field| {
            let Ok(text) = std::str::from_utf8(field.value) else { return false };
            let mut words = text.split_ascii_whitespace();
            let (Some(id), Some(hash), None) = (words.next(), words.next(), words.next()) else {
                return false;
            };
            // blake3's own comparison is of constant time.
            blake3::Hash::from_hex(hash).is_ok_and(|hash| hash == self.hash(id, fields))
        })
    }

    fn hash(&self, id: &str, fields: &Fields<'_>) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(id.as_bytes());
        for name in ["Message-ID", "Date", "From"] {
            let value = fields.fields.iter().find(|field| field.is(name)).map_or(&b""[..], value);
            hasher.update(&[0]);
            for word in value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                hasher.update(word);
            }
        }
        hasher.finalize()
    }
}

fn value<'a>(field: &Field<'a>) -> &'a [u8] {
    field.value
}

#[cfg(test)]
mod tests {
    use super::*;
    use edict_message::header::fields;

    const MAIL: &str = "Message-ID: <1@x>\r\nDate: now\r\nFrom: a@x\r\n\r\nhello\r\n";

    fn marked(key: &MarkKey, mail: &str) -> String {
        format!("{FIELD}: {}\r\n{mail}", key.mark(MessageId(7), &fields(mail.as_bytes())))
    }

    #[test]
    fn own_copies_are_known_again() {
        let key = MarkKey::new(&[7; 32]);
        assert!(!key.knows(&fields(MAIL.as_bytes())));
        let copy = marked(&key, MAIL);
        assert!(key.knows(&fields(copy.as_bytes())));
        // Further trace fields, refolded fields, and another daemon's mark do no harm.
        let travelled = format!(
            "Received: x\r\n{}",
            marked(&MarkKey::new(&[8; 32]), &copy.replace("From: a", "From:\r\n a"))
        );
        assert!(key.knows(&fields(travelled.as_bytes())));
    }

    /// A user must not be able to keep mail out of the archive.
    #[test]
    fn forged_and_moved_marks_are_not() {
        let key = MarkKey::new(&[7; 32]);
        let copy = marked(&key, MAIL);
        for forged in [
            copy.replace("<1@x>", "<2@x>"),
            copy.replace("0000000000007", "0000000000008"),
            marked(&MarkKey::new(&[8; 32]), MAIL),
            format!("{FIELD}: \r\n{MAIL}"),
            format!("{FIELD}: 0000000000007 ff\r\n{MAIL}"),
        ] {
            assert!(!key.knows(&fields(forged.as_bytes())), "{forged}");
        }
    }
}
