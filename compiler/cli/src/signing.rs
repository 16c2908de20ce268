//! Private keys that sign tables: Ed25519 in PKCS#8 (RFC 8410), PEM, the form that `openssl genpkey` writes.
//!
//! Verifying is the table's business. No passphrases: who protects a key by one decrypts it with `openssl pkey` first.

use crate::console::Failure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edict_table::signed::{self, PublicKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// PKCS#8 version 1 of an Ed25519 key, up to its 32 bytes (RFC 8410 section 7).
const PKCS8_V1: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// A key file is a few lines.
const MAX_KEY: u64 = 64 << 10;

/// Reads a private key; `-` is standard input.
pub fn read(path: &Path) -> Result<Ed25519KeyPair, Failure> {
    let fail = |source| Failure::read(path, source);
    let mut text = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(MAX_KEY).read_to_end(&mut text).map_err(fail)?;
    } else {
        File::open(path).and_then(|file| file.take(MAX_KEY).read_to_end(&mut text)).map_err(fail)?;
    }
    let wrong = |what: &str| {
        Failure::Use(format!(
            "`{}` {what}: make one with `edict keygen`, or `openssl genpkey -algorithm ed25519`",
            path.display()
        ))
    };
    if text.windows(10).any(|w| w == b"ENCRYPTED ") {
        return Err(wrong("is encrypted; decrypt it with `openssl pkey`, or"));
    }
    let der =
        PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| wrong("holds no PKCS#8 private key in PEM"))?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
        .map_err(|_| wrong("holds a key, but no Ed25519 one"))
}

/// Makes a private key in a new file that only its owner can read.
pub fn create(path: &Path) -> Result<Ed25519KeyPair, Failure> {
    if path == Path::new("-") {
        return Err(Failure::Use(
            "a private key goes into a file that its owner alone can read; standard output gets the public one"
                .to_owned(),
        ));
    }
    let fail = |source| Failure::write(path, source);
    let mut seed = [0u8; 32];
    let random = || Failure::Use("the system gives no random numbers".to_owned());
    SystemRandom::new().fill(&mut seed).map_err(|_| random())?;
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| random())?;
    let der = [PKCS8_V1.as_slice(), &seed].concat();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path).map_err(fail)?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
    Ok(key)
}

/// Its public part.
pub fn public(key: &Ed25519KeyPair) -> PublicKey {
    PublicKey(key.public_key().as_ref().try_into().unwrap_or([0; 32]))
}

/// Signs an artifact. The signature goes behind it.
pub fn sign(artifact: &mut Vec<u8>, key: &Ed25519KeyPair) -> Result<(), Failure> {
    let bug = || Failure::Use("the table cannot be signed, which is a bug in edict".to_owned());
    let message = signed::message(artifact).ok_or_else(bug)?;
    let signature: [u8; 64] = key.sign(&message).as_ref().try_into().map_err(|_| bug())?;
    signed::attach(artifact, public(key), &signature);
    Ok(())
}
