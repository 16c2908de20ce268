//! What the log knows of messages in folders that a start could not read.
//!
//! Their states cannot be changed then, and the log forgets what it knows when it moves on. So it is kept in a file of its own,
//! `deferred/hidden`, which each start takes as what stands before all of the log; it goes once it is in the states. Where it
//! is damaged it is set aside like all else, and large messages that may be among it are all taken.

use super::{Deferred, Words};
use crate::envelope::MessageId;
use crate::spool::disk::{Mode, read_exact};
use crate::spool::frame::u64_at;
use crate::spool::segment;
use serde::{Deserialize, Serialize};
use std::io;
use xxhash_rust::xxh3::xxh3_64;

const NAME: &str = "hidden";
/// Among large messages that were taken: others were, and which ones nobody knows.
pub(in crate::spool) const ANY: MessageId = MessageId(0);

/// What is known of such messages, and of others whose states could not be changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(in crate::spool) struct Hidden {
    /// Who needs nothing more.
    pub settled: Vec<(MessageId, Vec<(u16, u16)>)>,
    /// What is told of recipients.
    pub words: Vec<(MessageId, Words)>,
    /// Messages that need nothing more: a file that was left behind comes to light again.
    pub done: Vec<MessageId>,
    /// Large messages that were taken: their files may have provisional names.
    pub taken: Vec<MessageId>,
}

impl Deferred {
    /// Whether messages may be here that are not seen, in folders that could not be read. Any may be there: where it is not at
    /// home is told by which folders could not be read when it came.
    pub(in crate::spool) fn may_hide(&self) -> bool {
        self.shut.get().is_some_and(|shut| !shut.is_empty())
    }

    /// What former starts kept. Where that cannot be read, large messages may have been taken ([`ANY`]).
    pub(in crate::spool) fn hidden(&self) -> Hidden {
        let path = self.folder.join(NAME);
        let read = || -> io::Result<Vec<u8>> {
            let file = self.disk.open(&path, Mode::Read)?;
            let length = usize::try_from(file.length()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
            read_exact(&*file, 0, length)
        };
        let error = match read() {
            Ok(bytes) => match decode(&bytes) {
                Some(hidden) => return hidden,
                None => io::ErrorKind::InvalidData.into(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Hidden::default(),
            Err(error) => error,
        };
        let aside = segment::nonce().and_then(|nonce| {
            let kept = path.with_extension(format!("{nonce:016x}.bad"));
            self.disk.rename(&path, &kept)
        });
        let kept = aside.is_ok();
        tracing::error!(
            file = %path.display(), %error, kept,
            "what became of deferred messages in a folder that could not be read is lost: some may be delivered again"
        );
        Hidden { taken: vec![ANY], ..Hidden::default() }
    }

    /// Keeps that instead, durably.
    ///
    /// # Errors
    /// As the system says; what was kept before stays then.
    pub(in crate::spool) fn keep_hidden(&self, hidden: &Hidden) -> io::Result<()> {
        let path = self.folder.join(NAME);
        if *hidden == Hidden::default() {
            match self.disk.remove(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                removed => removed?,
            }
            return self.disk.sync_dir(&self.folder);
        }
        let body = postcard::to_allocvec(hidden).map_err(io::Error::other)?;
        let mut bytes = xxh3_64(&body).to_le_bytes().to_vec();
        bytes.extend_from_slice(&body);
        let half = path.with_extension("t");
        let file = self.disk.open(&half, Mode::Create)?;
        let written = file.write_at(&bytes, 0).and_then(|()| file.sync());
        let written = written.and_then(|()| self.disk.rename(&half, &path));
        if written.is_err() {
            // Gives the space back; the error that counts is the first.
            let _ = self.disk.remove(&half);
        }
        written?;
        self.disk.sync_dir(&self.folder)
    }
}

/// None where it is damaged.
fn decode(bytes: &[u8]) -> Option<Hidden> {
    let body = bytes.get(8..)?;
    if u64_at(bytes, 0)? != xxh3_64(body) {
        return None;
    }
    postcard::from_bytes(body).ok()
}
