//! What a start finds in the store.

use super::{Deferred, home};
use crate::envelope::MessageId;
use std::collections::HashSet;
use std::io;

impl Deferred {
    /// The names of all messages, and of those that are provisional. Removes half-written files, and states of messages that
    /// are not there: the power went after a message was removed, or before it was put here; the log still has that one, and
    /// what became of it.
    pub(in crate::spool) fn scan(&self) -> io::Result<(Vec<MessageId>, Vec<MessageId>)> {
        let (mut all, mut new, mut strays) = (Vec::new(), Vec::new(), Vec::new());
        for fan in self.disk.list(&self.folder)? {
            let Some(place) = u8::from_str_radix(&fan, 16).ok().filter(|_| fan.len() == 2) else { continue };
            let folder = self.folder.join(&fan);
            let (mut there, mut states) = (HashSet::new(), Vec::new());
            for name in self.disk.list(&folder)? {
                let (stem, suffix) = name.split_once('.').unwrap_or((&name, ""));
                let Ok(id) = stem.parse::<MessageId>() else { continue };
                match suffix {
                    "" => all.push(id),
                    "new" => new.push(id),
                    "t" | "part" => self.remove_file(&folder.join(&name))?,
                    half if half.ends_with(".t") => self.remove_file(&folder.join(&name))?,
                    "s" => states.push((id, name.clone())),
                    _ => {}
                }
                // The state of one that was set aside is for people as well.
                if matches!(suffix, "" | "new" | "bad") {
                    there.insert(id);
                }
                if matches!(suffix, "" | "new") && home(id) != place {
                    strays.push((id, place));
                }
            }
            for (_, name) in states.iter().filter(|(id, _)| !there.contains(id)) {
                if let Err(error) = self.remove_file(&folder.join(name)) {
                    tracing::warn!(name, %error, "the state of a message that is gone cannot be removed");
                }
            }
        }
        for ids in [&mut all, &mut new] {
            ids.sort_unstable();
            ids.dedup();
        }
        strays.sort_unstable();
        strays.dedup_by_key(|(id, _)| *id);
        // Once: a store is looked through when it is opened.
        let _ = self.strays.set(strays);
        Ok((all, new))
    }
}
