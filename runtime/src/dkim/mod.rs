//! DKIM signing: the keys that the configuration names, and who signs with which.
//!
//! Only mail that was submitted is signed, with the keys of the domain in its From field, and the daemon's own
//! notices with those of its name. What strangers bring is never signed, whatever its From says. Verifies
//! nothing. [`sign`] makes the signatures.

pub mod sign;

pub use sign::{Key, KeyError, for_domain};

use crate::config::DkimKey;
use crate::envelope::{Dispatch, DispatchKind, Submitted};
use crate::files;
use arc_swap::ArcSwap;
use edict_message::address;
use edict_message::edit::Edit;
use edict_message::header::{self, Fields};
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest key file read, in bytes: an RSA key of 16,384 bits takes 13 KiB.
const MAX_KEY_FILE: u64 = 64 << 10;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, io::Error),
    /// What it holds, or what is said of it, is wrong.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Key(PathBuf, KeyError),
}

/// Reads all keys, or none where one of them is wrong.
///
/// # Errors
/// The first file that cannot be used, and why.
pub fn load(configured: &[DkimKey]) -> Result<Vec<Key>, KeysError> {
    let read = |wanted: &DkimKey| {
        let path = &wanted.key_file;
        let pem = read_key(path).map_err(|error| KeysError::Read(path.clone(), error))?;
        Key::from_pem(&wanted.domain, &wanted.selector, &pem)
            .map_err(|error| KeysError::Key(path.clone(), error))
    };
    configured.iter().map(read).collect()
}

fn read_key(path: &Path) -> io::Result<String> {
    let text = files::text(path, MAX_KEY_FILE)?;
    if std::fs::metadata(path)?.permissions().mode() & 0o007 != 0 {
        tracing::warn!(path = %path.display(), "every user of this machine may read this private key");
    }
    Ok(text)
}

/// The keys in force; cheap to clone. A reload puts others in their place.
#[derive(Clone, Default)]
pub struct Signer(Arc<ArcSwap<Vec<Key>>>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&**self.0.load()).finish()
    }
}

/// The same keys, also after a reload.
impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Signer {}

impl Signer {
    /// Signs with these keys until others come.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(keys)))
    }

    /// Puts other keys in force.
    pub fn store(&self, keys: Vec<Key>) {
        self.0.store(Arc::new(keys));
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.load().len()
    }

    /// Whether nothing is signed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys for a domain, to be kept for one message. None where it is not signed.
    #[must_use]
    pub fn of_domain(&self, domain: &str) -> Option<Keys> {
        let all = self.0.load_full();
        let keys = Keys { domain: for_domain(&all, domain).first()?.domain().to_owned(), all };
        Some(keys)
    }

    /// The keys for an author: the domain of the first mailbox in From. None where it is not one field, or its
    /// domain has no key.
    #[must_use]
    pub fn of_author(&self, fields: &Fields<'_>) -> Option<Keys> {
        if self.0.load().is_empty() {
            return None;
        }
        let mut from = fields.fields.iter().filter(|field| field.is("From"));
        let (Some(field), None) = (from.next(), from.next()) else { return None };
        let author = address::list(field.value).mailboxes.into_iter().next()?;
        let author = edict_table::value::Address::parse(&author.wire).ok()?;
        self.of_domain(author.domain())
    }
}

impl Signer {
    /// Signs a message anew that had to be changed on its way out, if it is ours: submitted for one of those that it goes to
    /// at least, as where it was signed first, or the daemon's own. Our
    /// signatures from before the change go.
    pub fn sign_anew(&self, id: &dyn fmt::Display, dispatch: &Dispatch, bytes: &mut Vec<u8>) {
        if dispatch.submitted == Submitted::No && dispatch.kind != DispatchKind::Notice {
            return;
        }
        let read = header::fields(bytes);
        let Some(keys) = self.of_author(&read) else { return };
        let stale = sign::own(&read, |domain| domain == keys.domain());
        for range in stale.into_iter().rev() {
            drop(bytes.drain(range));
        }
        if let Some(edit) = keys.sign(id, bytes, &[]) {
            bytes.splice(edit.range, edit.bytes);
        }
    }
}

/// The keys of one domain.
#[derive(Clone)]
pub struct Keys {
    domain: String,
    all: Arc<Vec<Key>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.domain).finish()
    }
}

impl Keys {
    /// `d=`
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The edit that puts the signatures in front of a message as these edits leave it. None where it cannot be
    /// signed, which is logged: unsigned mail is better than none.
    #[must_use]
    pub fn sign(&self, id: &dyn fmt::Display, message: &[u8], edits: &[Edit]) -> Option<Edit> {
        match sign::sign(message, edits, &for_domain(&self.all, &self.domain)) {
            Ok(bytes) => Some(Edit { range: 0..0, bytes }),
            Err(error) => {
                tracing::error!(%id, domain = self.domain, %error, "mail goes out without a DKIM signature");
                None
            }
        }
    }
}
