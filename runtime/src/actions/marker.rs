//! The mark on a blind copy, by which the daemon knows its own copies again when they come back.
//!
//! A mark that anybody could write would let a user keep his mail out of the archive, so it carries keyed
//! hashes: one for each target that got a copy, over the copy's name and the fields that a message keeps on its
//! way. A mark that is not ours, was moved to another message, or names other targets, is no mark.

use super::copies::MAX_COPIES;
use crate::envelope::MessageId;
use edict_message::header::{Field, Fields};
use edict_table::value::Address;

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

    /// The value of the field on the copies of this message for these targets.
    #[must_use]
    pub fn mark<'a>(
        &self,
        id: MessageId,
        targets: impl Iterator<Item = &'a Address>,
        fields: &Fields<'_>,
    ) -> String {
        let id = id.to_string();
        targets.fold(id.clone(), |mark, target| mark + " " + &self.hash(&id, target, fields))
    }

    /// Whether this message is a copy that this daemon made, and that this target got too.
    #[must_use]
    pub fn knows(&self, target: &Address, fields: &Fields<'_>) -> bool {
        fields.fields.iter().filter(|field| field.is(FIELD)).take(MAX_MARKS).any(|field| {
            let Ok(text) = std::str::from_utf8(field.value) else { return false };
            let mut words = text.split_ascii_whitespace();
            let Some(id) = words.next() else { return false };
            let own = self.hash(id, target, fields);
            words.take(MAX_COPIES).any(|word| same(word, &own))
        })
    }

    /// The first 64 bits: nobody can try so many.
    fn hash(&self, id: &str, target: &Address, fields: &Fields<'_>) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(id.as_bytes());
        hasher.update(&[0]);
        hasher.update(target.as_str().as_bytes());
        for name in ["Message-ID", "Date", "From"] {
            let value = fields.fields.iter().find(|field| field.is(name)).map_or(&b""[..], value);
            hasher.update(&[0]);
            for word in value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                hasher.update(word);
            }
        }
        let mut hex = hasher.finalize().to_hex().to_string();
        hex.truncate(16);
        hex
    }
}

/// Compared in constant time.
fn same(one: &str, two: &str) -> bool {
    one.len() == two.len() && one.bytes().zip(two.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn value<'a>(field: &Field<'a>) -> &'a [u8] {
    field.value
}

#[cfg(test)]
mod tests {
    use super::*;
    use edict_message::header::fields;

    const MAIL: &str = "Message-ID: <1@x>\r\nDate: now\r\nFrom: a@x\r\n\r\nhello\r\n";

    fn target() -> Address {
        Address::parse("archive@x.example").unwrap()
    }

    fn marked(key: &MarkKey, mail: &str) -> String {
        format!(
            "{FIELD}: {}\r\n{mail}",
            key.mark(MessageId(7), [&target()].into_iter(), &fields(mail.as_bytes()))
        )
    }

    #[test]
    fn own_copies_are_known_again() {
        let key = MarkKey::new(&[7; 32]);
        let knows = |mail: &str| key.knows(&target(), &fields(mail.as_bytes()));
        assert!(!knows(MAIL));
        let copy = marked(&key, MAIL);
        assert!(knows(&copy));
        // Further trace fields, refolded fields, and another daemon's mark do no harm.
        let travelled = format!(
            "Received: x\r\n{}",
            marked(&MarkKey::new(&[8; 32]), &copy.replace("From: a", "From:\r\n a"))
        );
        assert!(knows(&travelled));
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
            assert!(!key.knows(&target(), &fields(forged.as_bytes())), "{forged}");
        }
        // Somebody else's copy.
        assert!(!key.knows(&Address::parse("other@x.example").unwrap(), &fields(copy.as_bytes())));
    }
}
