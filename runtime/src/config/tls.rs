//! `tls`: certificates, keys, and the oldest version spoken.
//!
//! Paths only; the files are read elsewhere, and again on each reload. Which certificate a client gets is
//! chosen by the names in the certificates themselves.

use crate::smtp::tls::MinimumTls;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The most certificates taken.
const MAX_CERTIFICATES: usize = 1000;

/// What the daemon proves itself with.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The first is for clients that name no server, or one that no certificate has.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version spoken.
    #[serde(default)]
    pub minimum: MinimumVersion,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// PEM: the certificate, then those that signed it.
    pub certificate: PathBuf,
    /// PEM, without a passphrase.
    pub key: PathBuf,
}

/// A version of TLS, written `"1.2"` or `"1.3"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct MinimumVersion(pub MinimumTls);

impl TryFrom<String> for MinimumVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "1.2" => Ok(Self(MinimumTls::V12)),
            "1.3" => Ok(Self(MinimumTls::V13)),
            _ => Err(format!("`{text}` is no version of TLS spoken here: write \"1.2\" or \"1.3\"")),
        }
    }
}

impl TlsConfig {
    /// Paths are relative to the configuration's folder.
    pub(super) fn rebase(&mut self, base: &Path) {
        for files in &mut self.certificates {
            files.certificate = base.join(&files.certificate);
            files.key = base.join(&files.key);
        }
    }

    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.certificates.len() {
            0 => Err("`tls.certificates` is empty: leave out `tls` to go without".to_owned()),
            1..=MAX_CERTIFICATES => Ok(()),
            _ => Err(format!("`tls.certificates` holds more than {MAX_CERTIFICATES}")),
        }
    }
}
