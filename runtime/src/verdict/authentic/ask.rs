//! The lookups behind SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 9989), by mail-auth over our own resolver.
//!
//! Bounds: SPF does ten lookups (mail-auth holds them, and twenty seconds), DKIM one for each signature, DMARC
//! eight for each domain it compares; whoever calls bounds the time of all together.

use super::{Authentic, Signature, Signed, result};
use edict_table::facts::Slot;
use edict_table::value::{Address, Domain};
use hickory_resolver::TokioResolver;
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
        SpfResult::PermError => Slot::Known(result::PERMERROR),
        SpfResult::None => Slot::Known(result::NONE),
    }
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
