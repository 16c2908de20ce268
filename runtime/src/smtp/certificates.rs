//! Which certificate a client gets: one that has the name it asks for (SNI, RFC 6066 3), else the first.
//!
//! Names come from the certificates themselves (subjectAltName); `*.example.com` covers one label (RFC 6125
//! 6.4.3). Several certificates may have one name: the first whose key the client can check is taken.
//! Whether a certificate has run out is not looked at: clients do.

use super::tls::TlsError;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// All certificates of a server.
#[derive(Debug)]
pub(super) struct Certificates {
    all: Vec<Arc<CertifiedKey>>,
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Certificates {
    /// Sorts them by name.
    ///
    /// # Errors
    /// One whose names cannot be read.
    pub(super) fn new(pairs: Vec<CertifiedKey>) -> Result<Self, TlsError> {
        let all: Vec<Arc<CertifiedKey>> = pairs.into_iter().map(Arc::new).collect();
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for pair in &all {
            let own = pair.end_entity_cert()?;
            let read = webpki::EndEntityCert::try_from(own);
            let read = read.map_err(|e| TlsError::Certificate(e.to_string()))?;
            for name in read.valid_dns_names() {
                by_name.entry(name.to_ascii_lowercase()).or_default().push(Arc::clone(pair));
            }
        }
        Ok(Self { all, by_name })
    }

    /// Those that have this name.
    fn named(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let name = name.to_ascii_lowercase();
        let wild = || name.split_once('.').and_then(|(_, parent)| self.by_name.get(&format!("*.{parent}")));
        self.by_name.get(&name).or_else(wild).map_or(&[], Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = self.named(hello.server_name().unwrap_or_default());
        named.iter().find(fits).or_else(|| self.all.iter().find(fits)).cloned()
    }
}
