//! Facts that are read from a header field, and a header that has none of that name.

use super::{Answer, Claim, Space, number};
use edict_table::fact::Fact;
use edict_table::model::Test;

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

/// Claims that cannot be so together, since the field that one of them needs is not there.
pub(super) fn conflict(space: &Space<'_>, claims: &[Claim]) -> Option<Vec<Claim>> {
    let absent = |name: &str| {
        claims.iter().copied().find(|(at, holds)| {
            let is = |p: &&_| is_presence(p, name);
            !holds && space.predicate(*at).filter(is).is_some()
        })
    };
    let by_field = claims.iter().filter(|(_, holds)| *holds).find_map(|claim| {
        let names = fields(space.predicate(claim.0)?.fact);
        let missing: Vec<Claim> = names.iter().filter_map(|name| absent(name)).collect();
        let all = !names.is_empty() && missing.len() == names.len();
        all.then(|| std::iter::once(*claim).chain(missing).collect())
    });
    by_field.or_else(|| {
        let missing = absent("received")?;
        // One claim on the hops that none of them meets.
        let claim = claims.iter().find(|(at, holds)| {
            space.predicate(*at).filter(|p| p.fact == Fact::Hops).is_some_and(|p| {
                let (yes, no): (&[&Test], &[&Test]) =
                    if *holds { (&[&p.test], &[]) } else { (&[], &[&p.test]) };
                number::solve(yes, no, 0, 0) == Answer::Impossible
            })
        })?;
        Some(vec![*claim, missing])
    })
}

fn is_presence(predicate: &edict_table::model::Predicate, name: &str) -> bool {
    predicate.fact == Fact::Header && predicate.parameter == name && predicate.test == Test::Present
}
