//! DKIM: what is signed verifies, and signing comes last.

#![expect(clippy::unwrap_used, reason = "tests may say what they mean")]

use edict_message::edit::{Edit, Order, apply, disclaim};
use edict_message::header::fields;
use edict_runtime::dkim::sign::{own, sign};
use edict_runtime::dkim::{Key, KeyError, for_domain};
use edict_table::model::{OnSigned, Replies};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

const RSA: &str = include_str!("keys/rsa.pem");
const RSA_PKCS1: &str = include_str!("keys/rsa-pkcs1.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa.pub");
const ED25519: &str = include_str!("keys/ed25519.pem");
const ED25519_PUBLIC: &str = include_str!("keys/ed25519.pub");

/// The published keys, in place of DNS.
struct Published(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Published {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// How many signatures of a message verify, and how many there are.
fn verified(message: &[u8]) -> (usize, usize) {
    let mut published = Published(HashMap::new());
    for (name, record) in [
        ("one._domainkey.example.com", format!("v=DKIM1; k=rsa; p={RSA_PUBLIC}")),
        ("two._domainkey.example.com", format!("v=DKIM1; k=ed25519; p={ED25519_PUBLIC}")),
    ] {
        let key = Txt::DomainKey(Arc::new(DomainKey::parse(record.as_bytes()).unwrap()));
        published.0.insert(name.into(), key.clone());
        published.0.insert(format!("{name}.").into(), key);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let resolver = MessageAuthenticator::new(ResolverConfig::default(), ResolverOpts::default()).unwrap();
        let message = AuthenticatedMessage::parse(message).unwrap();
        let results = resolver.verify_dkim(Parameters::new(&message).with_txt_cache(&published)).await;
        let good = results.iter().filter(|r| *r.result() == DkimResult::Pass).count();
        (good, results.len())
    })
}

fn keys() -> Vec<Key> {
    vec![
        Key::from_pem("Example.com", "one", RSA).unwrap(),
        Key::from_pem("example.com", "two", ED25519).unwrap(),
    ]
}

const MESSAGE: &str = "From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: Gr\u{fc}\u{df}e\r\n folded\r\n\
    Date: Mon, 3 Mar 2025 10:00:00 +0100\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
    Text  with spaces \r\n\r\n\r\n";

fn signed(message: &[u8], edits: &[Edit]) -> Vec<u8> {
    let keys = keys();
    let mut out = sign(message, edits, &for_domain(&keys, "example.com")).unwrap();
    out.extend(apply(message, edits));
    out
}

fn disclaimer(message: &[u8]) -> Vec<Edit> {
    let order = Order {
        text: Some("Confidential. Example Corp, registered in Berlin."),
        html: None,
        marker: "legal",
        above_quote: false,
        replies: Replies::Once,
        signed: OnSigned::Skip,
    };
    disclaim(message, &order).unwrap()
}

#[test]
fn both_kinds_of_keys_verify() {
    assert_eq!(verified(&signed(MESSAGE.as_bytes(), &[])), (2, 2));
    let mut changed = signed(MESSAGE.as_bytes(), &[]);
    changed.extend_from_slice(b"more\r\n");
    assert_eq!(verified(&changed), (0, 2));
}

#[test]
fn fields_that_were_absent_cannot_be_added() {
    let mut more = b"Reply-To: thief@example.net\r\n".to_vec();
    more.extend(signed(MESSAGE.as_bytes(), &[]));
    assert_eq!(verified(&more).0, 0);
}

#[test]
fn dkim_broken_because_signing_ran_before_the_footer() {
    let message = MESSAGE.as_bytes();
    assert_eq!(verified(&signed(message, &disclaimer(message))), (2, 2));
    // The order that broke it elsewhere.
    let early = signed(message, &[]);
    assert_eq!(verified(&apply(&early, &disclaimer(&early))).0, 0);
}

#[test]
fn dkim_broken_because_signing_ran_twice() {
    let once = signed(MESSAGE.as_bytes(), &[]);
    let foreign =
        [b"DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=x;\r\n h=from; bh=x; b=x\r\n", &once[..]]
            .concat();
    let cut = |range| Edit { range, bytes: Vec::new() };
    let own: Vec<Edit> =
        own(&fields(&foreign), |domain| domain == "example.com").into_iter().map(cut).collect();
    assert_eq!(own.len(), 2);
    let again = signed(&foreign, &own);
    let count = String::from_utf8(again.clone()).unwrap().matches("DKIM-Signature:").count();
    assert_eq!(count, 3);
    assert_eq!(verified(&again).0, 2);
}

#[test]
fn keys_are_chosen_by_the_authors_domain() {
    let keys = keys();
    assert_eq!(for_domain(&keys, "example.com").len(), 2);
    assert_eq!(for_domain(&keys, "news.example.com").len(), 2);
    assert!(for_domain(&keys, "example.org").is_empty());
    assert!(for_domain(&keys, "com").is_empty());
}

#[test]
fn keys_that_cannot_be_used() {
    assert!(Key::from_pem("example.com", "one", RSA_PKCS1).is_ok());
    let error = |domain, selector, pem| Key::from_pem(domain, selector, pem).unwrap_err();
    assert_eq!(error("example.com", "one", "nonsense"), KeyError::Pem);
    assert_eq!(error("example.com", "one\r\nX", RSA), KeyError::Selector);
    assert!(matches!(error("exa mple.com", "one", RSA), KeyError::Domain(_)));
    let cut = ED25519.replace("MC4CAQAwBQYDK2VwBCIEI", "MC4CAQAwBQYDK2VwBCIEJ");
    assert_eq!(error("example.com", "one", &cut), KeyError::Kind);
    let shown = format!("{:?}", Key::from_pem("example.com", "one", RSA).unwrap());
    assert_eq!(shown, "Key(rsa, one._domainkey.example.com)");
}
