//! What a start finds in the store.

use super::{Deferred, home};
use crate::envelope::MessageId;
use crate::spool::segment;
use std::collections::HashSet;
use std::io;
use std::path::Path;

impl Deferred {
    /// The names of all messages, and of those that are provisional. Removes half-written files, and states of messages that
    /// are not there: the power went after a message was removed, or before it was put here; the log still has that one, and
    /// what became of it. A folder that cannot be read is told and left as it is, and what only has the name of one goes aside.
    pub(in crate::spool) fn scan(&self) -> io::Result<(Vec<MessageId>, Vec<MessageId>)> {
        let (mut all, mut new, mut strays, mut shut) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for fan in self.disk.list(&self.folder)? {
            let Some(place) = u8::from_str_radix(&fan, 16).ok().filter(|_| fan.len() == 2) else { continue };
            let folder = self.folder.join(&fan);
            let (mut there, mut states) = (HashSet::new(), Vec::new());
            let names = match self.disk.list(&folder) {
                Ok(names) => names,
                Err(error) => {
                    if !self.is_cleared(&folder, &error) {
                        shut.push(place);
                    }
                    continue;
                }
            };
            // After a kill none of that need outlast a power cut; whoever acts on it would be wrong then.
            if let Err(error) = self.disk.sync_dir(&folder) {
                tracing::warn!(folder = %folder.display(), %error, "a folder of deferred messages cannot be synced");
            }
            for name in names {
                let (stem, suffix) = name.split_once('.').unwrap_or((&name, ""));
                let Ok(id) = stem.parse::<MessageId>() else { continue };
                match suffix {
                    "" => all.push(id),
                    "new" => new.push(id),
                    half if matches!(half, "t" | "part") || half.ends_with(".t") => {
                        if let Err(error) = self.remove_file(&folder.join(&name)) {
                            tracing::warn!(name, %error, "a half-written file cannot be removed");
                        }
                    }
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
        let _ = self.shut.set(shut);
        Ok((all, new))
    }

    /// Tells of a folder that cannot be read. True: it was none, and its name is free.
    fn is_cleared(&self, folder: &Path, error: &io::Error) -> bool {
        let path = folder.display();
        if error.kind() != io::ErrorKind::NotADirectory {
            tracing::error!(
                folder = %path, %error,
                "a folder of deferred messages cannot be read: what lies there waits for a start that can"
            );
            return false;
        }
        let aside = segment::nonce().and_then(|nonce| {
            let kept = folder.with_extension(format!("{nonce:016x}.bad"));
            self.disk.rename(folder, &kept).map(|()| kept)
        });
        match &aside {
            Ok(kept) => tracing::error!(
                file = %path, kept = %kept.display(),
                "a file among the folders of deferred messages is set aside"
            ),
            Err(error) => tracing::error!(
                file = %path, %error,
                "a file among the folders of deferred messages cannot be set aside"
            ),
        }
        aside.is_ok()
    }
}
