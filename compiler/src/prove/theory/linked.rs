//! Facts that hang on others: on a header field of some name, on who sends, on what a message holds.

use super::{Answer, Claim, Space, number};
use crate::prove::world::World;
use edict_table::fact::{Fact, RESULTS};
use edict_table::model::{Predicate, Test};
use edict_table::value::Domain;

/// The fields, any of which makes a fact what it is when it holds.
fn fields(fact: Fact) -> &'static [&'static str] {
    match fact {
        Fact::Subject => &["subject"],
        Fact::From => &["from"],
        Fact::To => &["to"],
        Fact::Cc => &["cc"],
        Fact::Reply => &["in-reply-to", "references"],
        Fact::AutoSubmitted => &["auto-submitted"],
        _ => &[],
    }
}

/// Claims that cannot be so together, since one fact hangs on another that says no.
pub(super) fn conflict(space: &Space<'_>, claims: &[Claim]) -> Option<Vec<Claim>> {
    by_field(space, claims)
        .or_else(|| by_hops(space, claims))
        .or_else(|| by_author(space, claims))
        .or_else(|| by_identity(space, claims))
        .or_else(|| by_size(space, claims))
}

/// The claim that there is no header field of a name.
fn absent(space: &Space<'_>, claims: &[Claim], name: &str) -> Option<Claim> {
    let is = |p: &&Predicate| p.fact == Fact::Header && p.parameter == name && p.test == Test::Present;
    claims.iter().copied().find(|(at, holds)| !holds && space.predicate(*at).filter(is).is_some())
}

/// The claims on a fact, with those that hold and those that do not.
fn on<'t>(space: &Space<'t>, claims: &[Claim], fact: Fact) -> (Vec<Claim>, Vec<&'t Test>, Vec<&'t Test>) {
    let (mut own, mut yes, mut no) = (Vec::new(), Vec::new(), Vec::new());
    for claim in claims {
        if let Some(predicate) = space.predicate(claim.0).filter(|p| p.fact == fact) {
            own.push(*claim);
            if claim.1 { yes.push(&predicate.test) } else { no.push(&predicate.test) }
        }
    }
    (own, yes, no)
}

/// The claim that a flag is so, or is not; or that there is no value.
fn flag(space: &Space<'_>, claims: &[Claim], fact: Fact, test: &Test, holds: bool) -> Option<Claim> {
    let is = |p: &&Predicate| p.fact == fact && p.test == *test;
    claims.iter().copied().find(|(at, h)| *h == holds && space.predicate(*at).filter(is).is_some())
}

/// Facts that are read from a header field which is not there.
fn by_field(space: &Space<'_>, claims: &[Claim]) -> Option<Vec<Claim>> {
    claims.iter().filter(|(_, holds)| *holds).find_map(|claim| {
        let names = fields(space.predicate(claim.0)?.fact);
        let missing: Vec<Claim> = names.iter().filter_map(|name| absent(space, claims, name)).collect();
        let all = !names.is_empty() && missing.len() == names.len();
        all.then(|| std::iter::once(*claim).chain(missing).collect())
    })
}

fn by_hops(space: &Space<'_>, claims: &[Claim]) -> Option<Vec<Claim>> {
    let missing = absent(space, claims, "received")?;
    // One claim on the hops that none of them meets.
    let claim = claims.iter().find(|(at, holds)| {
        space.predicate(*at).filter(|p| p.fact == Fact::Hops).is_some_and(|p| {
            let (yes, no): (&[&Test], &[&Test]) = if *holds { (&[&p.test], &[]) } else { (&[], &[&p.test]) };
            number::solve(yes, no, 0, 0) == Answer::Impossible
        })
    })?;
    Some(vec![*claim, missing])
}

/// Whether one of these results is as the claims want it.
fn may_be(yes: &[&Test], no: &[&Test], results: &[&str]) -> bool {
    (0u8..).zip(RESULTS).filter(|(_, word)| results.contains(word)).any(|(place, _)| {
        let is = |t: &&Test| matches!(t, Test::OneOf(bits) if bits & (1 << place) != 0);
        yes.iter().all(is) && !no.iter().any(is)
    })
}

/// DMARC goes by the domain in From. Where there is no such field it comes to nothing, or to a message that cannot be
/// read. That holds for a well-formed header alone: whoever reads DMARC also finds a From behind more fields than rules
/// see. And an address in From that rules cannot read may be one to him, so that `from is absent` says nothing.
fn by_author(space: &Space<'_>, claims: &[Claim]) -> Option<Vec<Claim>> {
    let missing = absent(space, claims, "from")?;
    let formed = flag(space, claims, Fact::Malformed, &Test::Set, false)?;
    let (own, yes, no) = on(space, claims, Fact::Dmarc);
    let known = ["none", "pass", "fail", "permerror"];
    let never = may_be(&yes, &no, &known) && !may_be(&yes, &no, &["none", "permerror"]);
    never.then(|| own.into_iter().chain([missing, formed]).collect())
}

/// SPF goes by the domain of the sender, and without a sender by that of HELO. Without either it comes to nothing.
fn by_identity(space: &Space<'_>, claims: &[Claim]) -> Option<Vec<Claim>> {
    let null = [Fact::Sender, Fact::SenderLocal, Fact::SenderDomain]
        .into_iter()
        .find_map(|fact| flag(space, claims, fact, &Test::Present, false))?;
    let no_helo = flag(space, claims, Fact::Helo, &Test::Present, false)
        .or_else(|| flag(space, claims, Fact::HeloMalformed, &Test::Set, true))?;
    let (own, yes, no) = on(space, claims, Fact::Spf);
    let never = !own.is_empty() && !may_be(&yes, &no, &["none"]);
    never.then(|| own.into_iter().chain([null, no_helo]).collect())
}

/// A message is at least as long as the longest of its attachments, decoded.
fn by_size(space: &Space<'_>, claims: &[Claim]) -> Option<Vec<Claim>> {
    let (own, yes, no) = on(space, claims, Fact::Size);
    let (attached, wanted, unwanted) = on(space, claims, Fact::AttachmentSize);
    let most = space.table.profile.max_message_size;
    if own.is_empty() || number::solve(&yes, &no, 0, most) == Answer::Impossible {
        return None;
    }
    let long = attached.iter().filter(|(_, holds)| *holds).zip(&wanted).find(|(_, test)| {
        let Answer::Found(least) = number::solve(&[**test], &unwanted, 0, most) else { return false };
        number::solve(&yes, &no, least, most) == Answer::Impossible
    })?;
    let excluded = attached.iter().filter(|(_, holds)| !holds);
    Some(own.iter().chain(excluded).chain([long.0]).copied().collect())
}

/// What an attachment takes beside its content, generously.
const AROUND: u64 = 1_000;

/// Makes a message whole that claims were found for one by one. False where that was not easily done.
pub(super) fn settle(space: &Space<'_>, claims: &[Claim], world: &mut World) -> bool {
    let no_identity = world.sender.is_none() && world.helo.is_none() && world.spf != 0;
    if no_identity && !world.helo_malformed {
        world.helo = Domain::parse("mail.stranger.example").ok();
    }
    let attached = &world.body.attachments;
    let content = attached.iter().fold(0_u64, |sum, a| sum.saturating_add(a.size));
    // Encoded it takes more than a third on top.
    let whole = content.saturating_add(content / 2).saturating_add(AROUND * attached.len() as u64);
    let most = space.table.profile.max_message_size;
    if content > most {
        return false;
    }
    if whole > world.size {
        let (_, yes, no) = on(space, claims, Fact::Size);
        match number::solve(&yes, &no, whole.min(most), most) {
            Answer::Found(size) => world.size = size,
            _ => return false,
        }
    }
    true
}
