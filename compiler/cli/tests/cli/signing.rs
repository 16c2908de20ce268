//! `edict keygen`, `edict build --sign`: keys of ours and of openssl, and each way in which a key is none.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::kit::{copy, edict};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn openssl(folder: &std::path::Path, args: &[&str]) {
    let done = Command::new("openssl").args(args).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_signed_table_names_its_signer() {
    let dir = copy("policy");
    let made = edict(dir.path(), &["keygen", "table.key"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let public = made.out.trim();
    assert!(public.starts_with("ed25519:"), "{public}");
    assert_eq!(fs::metadata(dir.path().join("table.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(edict(dir.path(), &["keygen", "--public", "table.key"]).out.trim(), public);

    let built = edict(dir.path(), &["build", "-o", "x.table", "--sign", "table.key"]);
    assert_eq!(built.code, 0, "{}", built.err);
    assert!(built.err.contains(&format!("signed by {public}")), "{}", built.err);
    assert!(edict(dir.path(), &["show", "x.table"]).out.contains(&format!("signed by      {public}")));
    let json: serde_json::Value =
        serde_json::from_str(&edict(dir.path(), &["show", "x.table", "--format", "json"]).out).unwrap();
    assert_eq!(json["signer"], public);
    // The same key and sources give the same bytes, and those of the unsigned table before the signature.
    let again = edict(dir.path(), &["build", "-o", "-", "--sign", "table.key"]).bytes;
    assert_eq!(fs::read(dir.path().join("x.table")).unwrap(), again);
    let plain = edict(dir.path(), &["build", "-o", "-"]).bytes;
    assert!(again.starts_with(&plain) && again.len() > plain.len());
    assert!(edict(dir.path(), &["show", "rules"]).out.contains("signed by      nobody"));

    let mut bytes = again;
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(dir.path().join("x.table"), bytes).unwrap();
    let done = edict(dir.path(), &["show", "x.table"]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("the signature of the table is wrong"), "{}", done.err);
}

#[test]
fn keys_of_openssl_serve_and_openssl_reads_ours() {
    let dir = copy("policy");
    openssl(dir.path(), &["genpkey", "-algorithm", "ed25519", "-out", "theirs.key"]);
    let public = edict(dir.path(), &["keygen", "--public", "theirs.key"]);
    assert_eq!(public.code, 0, "{}", public.err);
    let built = edict(dir.path(), &["build", "-o", "x.table", "--sign", "theirs.key"]);
    assert!(built.err.contains(public.out.trim()), "{}", built.err);
    edict(dir.path(), &["keygen", "ours.key"]);
    openssl(dir.path(), &["pkey", "-in", "ours.key", "-noout", "-text"]);
}

#[test]
fn what_is_no_key_is_told_before_anything_is_written() {
    let dir = copy("policy");
    edict(dir.path(), &["keygen", "table.key"]);
    let kept = fs::read(dir.path().join("table.key")).unwrap();
    let twice = edict(dir.path(), &["keygen", "table.key"]);
    assert_eq!(twice.code, 2, "a key that is there is never written over");
    assert_eq!(fs::read(dir.path().join("table.key")).unwrap(), kept);
    openssl(dir.path(), &["genpkey", "-algorithm", "RSA", "-out", "rsa.key"]);
    openssl(dir.path(), &["pkey", "-in", "table.key", "-aes256", "-passout", "pass:x", "-out", "locked.key"]);
    openssl(dir.path(), &["pkey", "-in", "table.key", "-pubout", "-out", "public.key"]);
    fs::write(dir.path().join("text.key"), "edict 1\n").unwrap();
    for (key, want) in [
        ("no.key", "cannot read `no.key`"),
        ("text.key", "holds no PKCS#8 private key in PEM"),
        ("public.key", "holds no PKCS#8 private key in PEM"),
        ("rsa.key", "holds a key, but no Ed25519 one"),
        ("locked.key", "is encrypted"),
    ] {
        let done = edict(dir.path(), &["build", "-o", "x.table", "--sign", key]);
        assert_eq!(done.code, 2, "{key}: {}", done.err);
        assert!(done.err.contains(want), "{key}: {}", done.err);
        assert!(!dir.path().join("x.table").exists(), "{key}");
    }
}
