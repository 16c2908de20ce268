//! Recorded mail, one at a time: a journal of the daemon, a message, an mbox, a Maildir.
//!
//! A journal says who brought a mail and what became of it. Of the others the envelope is what the header tells:
//! `Return-Path`, `X-Original-To` or `Delivered-To`, and the topmost `Received`.

mod journal;
mod mailbox;

use crate::console::Failure;
use crate::flow::Mail;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A mail as it once came.
#[derive(Debug)]
pub struct Recorded {
    /// Where it lies: a file, with the line or number of the mail in it.
    pub place: String,
    /// The mail.
    pub mail: Mail,
    /// What became of it, where that is known.
    pub before: Option<Before>,
}

/// What a journal says became of a mail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Before {
    /// `accept`, `hold`, `discard`, `reject` or `defer`, for each recipient.
    pub verdicts: Vec<String>,
    /// The rule that decided the whole, where one did: its name, file and line.
    pub rule: Option<(String, String, u32)>,
}

/// What is found in a record.
#[derive(Debug)]
pub enum Found {
    /// A mail.
    Mail(Box<Recorded>),
    /// Something that was over before there was a recipient.
    Early,
    /// Something that cannot be replayed: where, and why.
    Unfit(String),
}

/// What is taken of a mail whose record does not say it.
#[derive(Clone, Debug)]
pub struct Missing {
    /// The recipients.
    pub recipients: Vec<String>,
}

/// Everything in a file or folder, in the order in which it lies there.
pub fn open(path: &Path, missing: &Missing) -> Result<Box<dyn Iterator<Item = Found>>, Failure> {
    let fail = |source| Failure::read(path, source);
    if path.is_dir() {
        if path.join("cur").is_dir() && path.join("new").is_dir() {
            return mailbox::maildir(path, missing);
        }
        let mut names = std::fs::read_dir(path)
            .map_err(fail)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        if names.any(|name| name.starts_with("journal-") && name.ends_with(".jsonl")) {
            return journal::open(path);
        }
        let what = format!("`{}` is neither a journal (journal-*.jsonl) nor a Maildir", path.display());
        return Err(Failure::Use(what));
    }
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(5).read_to_end(&mut start)).map_err(fail)?;
    match start.as_slice() {
        [b'{', ..] => journal::open(path),
        b"From " => mailbox::mbox(path, missing),
        _ => mailbox::message(path, missing),
    }
}
