//! Signed artifacts: taken with a right signature, refused with any other, whatever byte it is that differs.

use crate::common::random;
use crate::common::rng::Rng;
use crate::hostile::{load, mend};
use edict_table::emit::emit;
use edict_table::load::LoadError;
use edict_table::signed::{LENGTH, PublicKey, attach, message};
use ring::signature::{Ed25519KeyPair, KeyPair};

fn key(seed: u8) -> (Ed25519KeyPair, PublicKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public = PublicKey(pair.public_key().as_ref().try_into().unwrap());
    (pair, public)
}

fn plain() -> Vec<u8> {
    emit(&random::table(&mut Rng(7), 3))
}

fn signed(seed: u8) -> Vec<u8> {
    let (pair, public) = key(seed);
    let mut bytes = plain();
    let signature = pair.sign(&message(&bytes).unwrap());
    attach(&mut bytes, public, signature.as_ref().try_into().unwrap());
    bytes
}

#[test]
fn who_signed_is_told() {
    assert_eq!(load(plain()).unwrap().signer(), None);
    let loaded = load(signed(1)).unwrap();
    assert_eq!(loaded.signer(), Some(key(1).1));
    assert_eq!(loaded.digest(), load(plain()).unwrap().digest(), "a signature is no part of the policy");
    assert_eq!(signed(1)[..plain().len()], plain(), "nor of the artifact");
    assert_eq!(signed(1), signed(1));
}

#[test]
fn every_changed_byte_is_refused() {
    let whole = signed(1);
    let tail = whole.len() - LENGTH;
    for at in (0..tail).step_by(97).chain(tail..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(load(bytes).is_err(), "byte {at}");
    }
    for length in tail + 1..whole.len() {
        assert!(load(whole[..length].to_vec()).is_err(), "{length} bytes");
    }
    assert!(load([whole, vec![0; 8]].concat()).is_err());
}

/// Somebody changes the rules and mends digest and checksum: the signature gives it away.
#[test]
fn a_mended_table_has_no_right_signature() {
    let whole = signed(1);
    let mut artifact = plain();
    // A local domain: `in.example` becomes `in.ezample`.
    let at = artifact.windows(10).position(|w| w == b"in.example").unwrap();
    artifact[at + 4] ^= 2;
    mend(&mut artifact);
    assert!(load(artifact.clone()).is_ok(), "without a signature nobody can tell");
    artifact.extend_from_slice(&whole[whole.len() - LENGTH..]);
    assert_eq!(load(artifact).unwrap_err(), LoadError::Signature);
}

#[test]
fn a_signature_of_another_table_or_key_is_refused() {
    let (mut bytes, other) = (signed(1), signed(2));
    let tail = bytes.len() - LENGTH;
    // The key of one, the signature of the other.
    bytes[tail + 8..tail + 40].copy_from_slice(&other[tail + 8..tail + 40]);
    assert_eq!(load(bytes).unwrap_err(), LoadError::Signature);
    let mut table = emit(&random::table(&mut Rng(8), 3));
    table.extend_from_slice(&other[tail..]);
    assert_eq!(load(table).unwrap_err(), LoadError::Signature);
    // Signed twice: the first signature would be a part of the artifact.
    let mut twice = signed(1);
    let (pair, public) = key(1);
    let signature = pair.sign(&message(&twice).unwrap());
    attach(&mut twice, public, signature.as_ref().try_into().unwrap());
    assert!(matches!(load(twice), Err(LoadError::Length { .. })));
}

#[test]
fn public_keys_are_read_as_they_are_written() {
    let (_, public) = key(3);
    assert_eq!(public.to_string().parse(), Ok(public));
    for text in ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA", &public.to_string()[8..], &format!("{public}=")]
    {
        assert!(text.parse::<PublicKey>().is_err(), "{text}");
    }
}
