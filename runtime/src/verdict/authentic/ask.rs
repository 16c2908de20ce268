//! The lookups behind SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 9989), by mail-auth over our own resolver.
//!
//! What mail-auth is lenient about in the record of the sender's own domain is looked at here first: several records, and
//! mechanisms that nobody knows. In records that are included it stays lenient.
//!
//! Bounds: SPF does ten lookups (mail-auth holds them, and twenty seconds), DKIM one for each signature, DMARC
//! eight for each domain it compares; whoever calls bounds the time of all together.

use super::{Authentic, Signature, Signed, result};
use edict_table::facts::Slot;
use edict_table::value::{Address, Domain};
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{Name, RData};
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcResult, MessageAuthenticator, SpfOutput, SpfResult,
};
use std::net::IpAddr;

/// Who sends: the identities of RFC 7208.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The client.
    pub ip: IpAddr,
    /// The domain in HELO; empty where it held none.
    pub helo: String,
    /// The sender in policy form; none for `<>`.
    pub sender: Option<Address>,
}

impl Identity {
    /// The domain that SPF is asked of.
    fn domain(&self) -> &str {
        self.sender.as_ref().map_or(&self.helo, |sender| sender.domain())
    }
}

/// SPF of an identity.
pub(crate) async fn spf(resolver: &TokioResolver, identity: &Identity, our_name: &str) -> Slot<u8> {
    let domain = identity.domain();
    if domain.is_empty() || domain.starts_with('[') {
        return Slot::Known(result::NONE);
    }
    match published(resolver, domain).await {
        Published::One => {}
        Published::None => return Slot::Known(result::NONE),
        Published::Faulty => return Slot::Known(result::PERMERROR),
        Published::Unknown => return Slot::Unknown,
    }
    let asker = MessageAuthenticator(resolver.clone());
    let parameters = match &identity.sender {
        Some(sender) => {
            SpfParameters::verify_mail_from(identity.ip, &identity.helo, our_name, sender.as_str())
        }
        // RFC 7208 2.4: a null sender is postmaster at the HELO name.
        None => SpfParameters::verify_ehlo(identity.ip, &identity.helo, our_name),
    };
    match asker.verify_spf(parameters).await.result() {
        SpfResult::TempError => Slot::Unknown,
        SpfResult::Pass => Slot::Known(result::PASS),
        SpfResult::Fail => Slot::Known(result::FAIL),
        SpfResult::SoftFail => Slot::Known(result::SOFTFAIL),
        SpfResult::Neutral => Slot::Known(result::NEUTRAL),
        // There is a record: that none is found means that it cannot be read.
        SpfResult::PermError | SpfResult::None => Slot::Known(result::PERMERROR),
    }
}

/// What a domain publishes of SPF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Published {
    /// A record, to be evaluated.
    One,
    /// Nothing.
    None,
    /// What RFC 7208 4.5 and 4.6.1 call a permanent error.
    Faulty,
    /// It cannot be told now.
    Unknown,
}

async fn published(resolver: &TokioResolver, domain: &str) -> Published {
    let Ok(name) = Name::from_str_relaxed(format!("{}.", domain.trim_end_matches('.'))) else {
        return Published::None;
    };
    let found = match resolver.txt_lookup(name).await {
        Ok(found) => found,
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => return Published::None,
        Err(_) => return Published::Unknown,
    };
    let texts = found.answers().iter().filter_map(|record| match &record.data {
        RData::TXT(txt) => Some(txt.txt_data.concat()),
        _ => None,
    });
    of_records(texts)
}

fn of_records(texts: impl Iterator<Item = Vec<u8>>) -> Published {
    // RFC 7208 4.5: the version ends at a space or with the record.
    let mut records = texts.filter(|text| {
        let version = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        version.eq_ignore_ascii_case(b"v=spf1")
    });
    match (records.next(), records.next()) {
        (None, _) => Published::None,
        (Some(record), None) if record.split(|byte| *byte == b' ').skip(1).all(is_known) => Published::One,
        _ => Published::Faulty,
    }
}

/// Whether a term is a modifier or a mechanism of RFC 7208; what stands behind its name is for mail-auth.
fn is_known(term: &[u8]) -> bool {
    const MECHANISMS: [&[u8]; 8] = [b"all", b"include", b"a", b"mx", b"ptr", b"ip4", b"ip6", b"exists"];
    let end = term.iter().position(|byte| matches!(byte, b':' | b'/' | b'=')).unwrap_or(term.len());
    let (name, rest) = term.split_at_checked(end).unwrap_or((term, &[]));
    if rest.first() == Some(&b'=') {
        return name.first().is_some_and(u8::is_ascii_alphabetic);
    }
    let name = name.strip_prefix(b"+").or_else(|| name.strip_prefix(b"-")).unwrap_or(name);
    let name = name.strip_prefix(b"?").or_else(|| name.strip_prefix(b"~")).unwrap_or(name);
    term.is_empty() || MECHANISMS.iter().any(|mechanism| mechanism.eq_ignore_ascii_case(name))
}

/// DKIM, and DMARC where it is wanted. `known` is SPF as far as it was asked.
pub(crate) async fn authentic(
    resolver: &TokioResolver,
    identity: &Identity,
    known: Slot<u8>,
    signed: Option<&Signed>,
    dmarc: bool,
    our_name: &str,
) -> Authentic {
    let found = match known {
        Slot::Pending if dmarc => spf(resolver, identity, our_name).await,
        known => known,
    };
    let Some(message) = signed.and_then(Signed::read) else {
        return Authentic::unreadable(found);
    };
    let asker = MessageAuthenticator(resolver.clone());
    let outputs = asker.verify_dkim(&message).await;
    let signatures: Vec<Signature> = outputs.iter().map(signature).collect();
    let unknown = signatures.iter().any(|s| s.result == result::TEMPERROR);
    let valid = signatures.iter().filter(|s| s.result == result::PASS);
    let domains = match unknown {
        true => Slot::Unknown,
        false => Slot::Known(valid.filter_map(|s| s.domain.clone()).collect()),
    };
    let (author, several) = author(&message);
    let dmarc = match (dmarc, several) {
        (false, _) => Slot::Pending,
        // Several authors of several domains: none of them can be gone by, and no reader sees which is meant.
        (true, true) => Slot::Known(result::PERMERROR),
        (true, false) => verify(&asker, &message, &outputs, identity, found).await,
    };
    Authentic { spf: found, domains, dmarc, author, signatures }
}

async fn verify<'x>(
    asker: &MessageAuthenticator,
    message: &'x AuthenticatedMessage<'x>,
    outputs: &'x [DkimOutput<'x>],
    identity: &'x Identity,
    spf: Slot<u8>,
) -> Slot<u8> {
    let domain = identity.domain();
    let spf = SpfOutput::new(domain.to_owned()).with_result(match spf {
        Slot::Known(result::PASS) => SpfResult::Pass,
        Slot::Unknown => SpfResult::TempError,
        // DMARC only looks at these two (RFC 9989 4.4).
        _ => SpfResult::Neutral,
    });
    let parameters = DmarcParameters {
        message,
        dkim_output: outputs,
        dkim2_output: None,
        rfc5321_mail_from_domain: domain,
        spf_output: &spf,
    };
    match asker.verify_dmarc(parameters).await.result() {
        DmarcResult::Pass => Slot::Known(result::PASS),
        DmarcResult::Fail(_) => Slot::Known(result::FAIL),
        DmarcResult::TempError(_) => Slot::Unknown,
        DmarcResult::PermError(_) => Slot::Known(result::PERMERROR),
        DmarcResult::None => Slot::Known(result::NONE),
    }
}

/// The author's domain, and whether there are several.
fn author(message: &AuthenticatedMessage<'_>) -> (Option<Domain>, bool) {
    let domains = message.from.iter().filter_map(|from| from.rsplit_once('@'));
    let mut domains: Vec<Option<Domain>> = domains.map(|(_, domain)| Domain::parse(domain).ok()).collect();
    domains.dedup();
    let several = domains.len() > 1;
    (domains.into_iter().next().flatten().filter(|_| !several), several)
}

fn signature(output: &DkimOutput<'_>) -> Signature {
    let result = match output.result() {
        DkimResult::Pass => result::PASS,
        DkimResult::Neutral(_) => result::NEUTRAL,
        DkimResult::Fail(_) => result::FAIL,
        DkimResult::PermError(_) => result::PERMERROR,
        DkimResult::TempError(_) => result::TEMPERROR,
        DkimResult::None => result::NONE,
    };
    let (domain, selector) = match output.signature() {
        Some(signature) => (Domain::parse(&signature.d).ok(), Domain::parse(&signature.s).ok()),
        None => (None, None),
    };
    Signature { result, domain, selector }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7208 4.5 and 4.6.1: one record, and no mechanism that nobody knows, wherever it stands.
    #[test]
    fn records_that_cannot_be_gone_by() {
        let of = |texts: &[&str]| of_records(texts.iter().map(|text| text.as_bytes().to_vec()));
        for (texts, expected) in [
            (&[][..], Published::None),
            (&["site-verification=abc", "v=spf10 -all"][..], Published::None),
            (&["v=spf1"][..], Published::One),
            (&["x", "V=SPF1  a mx/24 +mx:a.example ?ptr ~exists:%{i}.x -ALL"][..], Published::One),
            (
                &["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 redirect=_spf.a.example x-new=1"][..],
                Published::One,
            ),
            (&["v=spf1 -all", "v=spf1 +all"][..], Published::Faulty),
            (&["v=spf1 foo:bar -all"][..], Published::Faulty),
            (&["v=spf1 ip4:192.0.2.0/24 foo -all"][..], Published::Faulty),
            (&["v=spf1 =x -all"][..], Published::Faulty),
        ] {
            assert_eq!(of(texts), expected, "{texts:?}");
        }
    }
}
