//! A message for the claims of each group of facts: who and where from, sender, subject, attachments, and facts alone.

use super::mailbox::{self, Claims};
use super::{Answer, Claim, Directions, Group, Part, Space, envelope, flag, number, split, text};
use crate::prove::world::World;
use edict_table::fact::{Fact, Type};
use edict_table::facts::{Attachment, HeaderField};
use edict_table::model::Test;
use edict_table::value::{Address, Domain};

pub(super) fn one(
    space: &Space<'_>,
    group: Group,
    claims: &[Claim],
    directions: Directions,
    world: &mut World,
) -> Answer<()> {
    let part: Part<'_> =
        claims.iter().filter_map(|(at, holds)| space.predicate(*at).map(|p| (p, *holds))).collect();
    match group {
        Group::Envelope | Group::Trust => envelope::solve(space, &part, group, directions, world),
        Group::Name => name(space, &part, world),
        Group::Helo => helo(space, &part, world),
        Group::Sender => sender(space, &part, world),
        Group::Attachments => attachments(space, &part, world),
        Group::Subject => subject(space, &part, world),
        Group::Alone(fact) => alone(space, fact, &part, world),
    }
}

macro_rules! found {
    ($answer:expr) => {
        match $answer {
            Answer::Found(value) => value,
            Answer::Impossible => return Answer::Impossible,
            Answer::Unknown => return Answer::Unknown,
        }
    };
}

/// A value, or none where the tests leave that open: `Some(None)` is absence.
fn optional<T>(
    yes: &[&Test],
    no: &[&Test],
    prefer_absent: bool,
    solve: impl FnOnce() -> Answer<T>,
) -> Answer<Option<T>> {
    let may_be_absent = yes.is_empty();
    if may_be_absent && (prefer_absent || no.contains(&&Test::Present)) {
        return Answer::Found(None);
    }
    match solve() {
        Answer::Found(value) => Answer::Found(Some(value)),
        _ if may_be_absent => Answer::Found(None),
        Answer::Impossible => Answer::Impossible,
        Answer::Unknown => Answer::Unknown,
    }
}

fn bare<'t>(part: &Part<'t>, fact: Fact) -> Claims<'t> {
    // A literal is no domain that HELO told; what DNS tells is not known so well.
    Claims { domain: split(part, fact), bare: true, host: fact == Fact::Helo, ..Claims::default() }
}

fn one_domain<'t>(space: &Space<'t>, claims: &Claims<'t>) -> Answer<Domain> {
    let (_, domain) = found!(mailbox::solve(space, claims));
    Domain::parse(&domain).map_or(Answer::Unknown, Answer::Found)
}

fn name(space: &Space<'_>, part: &Part<'_>, world: &mut World) -> Answer<()> {
    let claims = bare(part, Fact::ClientName);
    // Without a reverse name there is none that could be confirmed.
    let nameless = flag(part, Fact::ClientNameless) == Some(true);
    let unverified = match flag(part, Fact::ClientUnverified) {
        Some(false) if nameless => return Answer::Impossible,
        None if nameless => Some(true),
        unverified => unverified,
    };
    world.client_nameless = nameless;
    let (yes, no) = claims.domain.clone();
    world.client_name = match unverified {
        // No confirmed name: nothing may be asked of one.
        Some(true) if yes.is_empty() => None,
        Some(true) => return Answer::Impossible,
        Some(false) => Some(found!(one_domain(space, &claims))),
        None => found!(optional(&yes, &no, true, || one_domain(space, &claims))),
    };
    Answer::Found(())
}

fn helo(space: &Space<'_>, part: &Part<'_>, world: &mut World) -> Answer<()> {
    let mut claims = bare(part, Fact::Helo);
    let malformed = flag(part, Fact::HeloMalformed);
    let unresolvable = flag(part, Fact::HeloUnresolvable);
    claims.unqualified = flag(part, Fact::HeloUnqualified);
    let (yes, no) = claims.domain.clone();
    let needs = !yes.is_empty() || claims.unqualified == Some(true) || unresolvable == Some(true);
    if malformed == Some(true) {
        if needs {
            return Answer::Impossible;
        }
        world.helo = None;
    } else if needs {
        world.helo = Some(found!(one_domain(space, &claims)));
    } else {
        world.helo = found!(optional(&yes, &no, false, || one_domain(space, &claims)));
    }
    world.helo_malformed = malformed == Some(true);
    world.helo_unresolvable = unresolvable == Some(true);
    Answer::Found(())
}

pub(super) fn sender_claims<'t>(part: &Part<'t>) -> Claims<'t> {
    // Nobody looks up an address literal.
    let looked_up = flag(part, Fact::SenderUnresolvable) == Some(true) || wants_result(part, Fact::Spf);
    Claims {
        host: looked_up,
        whole: split(part, Fact::Sender),
        local: split(part, Fact::SenderLocal),
        domain: split(part, Fact::SenderDomain),
        unqualified: flag(part, Fact::SenderUnqualified),
        ..Claims::default()
    }
}

fn sender<'t>(space: &'t Space<'t>, part: &Part<'t>, world: &mut World) -> Answer<()> {
    narrow_sender(space, part, sender_claims(part), world)
}

/// A sender for these claims, which hold all that `part` says of one.
pub(super) fn narrow_sender<'t>(
    space: &'t Space<'t>,
    part: &Part<'t>,
    mut claims: Claims<'t>,
    world: &mut World,
) -> Answer<()> {
    let unknown = flag(part, Fact::SenderUnknown) == Some(true);
    let unresolvable = flag(part, Fact::SenderUnresolvable) == Some(true);
    if unknown {
        claims.inside.0.push(&space.known_senders);
    }
    let positive = !claims.whole.0.is_empty() || !claims.local.0.is_empty() || !claims.domain.0.is_empty();
    let needs = positive || unknown || unresolvable || claims.unqualified == Some(true);
    world.sender = match mailbox::solve(space, &claims) {
        Answer::Found((local, domain)) => match Domain::parse(&domain) {
            Ok(domain) => Some(Address::new(&local, &domain)),
            Err(_) => return Answer::Unknown,
        },
        _ if !needs => None,
        Answer::Impossible => return Answer::Impossible,
        Answer::Unknown => return Answer::Unknown,
    };
    world.sender_unknown = unknown;
    world.sender_unresolvable = unresolvable;
    Answer::Found(())
}

/// Whether a check must have come to something.
pub(super) fn wants_result(part: &Part<'_>, check: Fact) -> bool {
    let none = |test: &Test| matches!(test, Test::OneOf(bits) if bits & 1 != 0);
    part.iter().any(|(p, holds)| p.fact == check && none(&p.test) != *holds)
}

/// The subject, and all fields of that name: the first is the subject.
fn subject(space: &Space<'_>, part: &Part<'_>, world: &mut World) -> Answer<()> {
    let (yes, no) = split(part, Fact::Subject);
    let (field_yes, field_no) = split(part, Fact::Header);
    let both: Vec<&Test> = no.iter().chain(&field_no).copied().collect();
    // Where only the field is asked, its values are subjects too, but the subject alone has no claim.
    let wanted = !yes.is_empty() || !field_yes.is_empty();
    let mut values = Vec::new();
    if wanted {
        let own: Vec<&Test> = if yes.is_empty() { vec![&Test::Present] } else { yes };
        // One value for all tests if it can be, else the rest in further fields.
        let all: Vec<&Test> = own.iter().chain(&field_yes).copied().collect();
        match text::solve(space, &all, &both) {
            Answer::Found(value) => values.push(value),
            _ => {
                values.push(found!(text::solve(space, &own, &both)));
                values.extend(found!(text::solve_many(space, &field_yes, &field_no)));
            }
        }
    }
    let field = |value: String| HeaderField { name: "subject".to_owned(), value };
    world.header.fields.extend(values.into_iter().map(field));
    Answer::Found(())
}

fn attachments(space: &Space<'_>, part: &Part<'_>, world: &mut World) -> Answer<()> {
    let (name_yes, name_no) = split(part, Fact::AttachmentName);
    let (type_yes, type_no) = split(part, Fact::AttachmentType);
    let (size_yes, size_no) = split(part, Fact::AttachmentSize);
    let (count_yes, count_no) = split(part, Fact::AttachmentCount);
    let names = found!(text::solve_many(space, &name_yes, &name_no));
    let types = found!(text::solve_many(space, &type_yes, &type_no));
    let profile = &space.table.profile;
    // Decoded, nothing is longer than it was as a part of the message.
    let largest = profile.max_attachment_size.unwrap_or(u64::MAX).min(profile.max_message_size);
    let mut sizes = Vec::new();
    let none = size_no.contains(&&Test::Present) || type_no.contains(&&Test::Present);
    for test in &size_yes {
        sizes.push(found!(number::solve(&[*test], &size_no, 0, largest)));
    }
    let least = names.len().max(types.len()).max(sizes.len()) as u64;
    let most = if none { 0 } else { 100_000 };
    let count = found!(number::solve(&count_yes, &count_no, least, most));
    if count > 1000 {
        return Answer::Unknown;
    }
    if count > 0 {
        // What no test asks for still has a type and a size.
        let any_type = found!(text::solve(space, &[], &type_no));
        let plain = "application/pdf".to_owned();
        let fine = !type_no.iter().any(|t| text::passes(space, t, &plain));
        let any_type = if fine { plain } else { any_type };
        let any_size = found!(number::solve(&[], &size_no, 0, largest));
        let count = usize::try_from(count).unwrap_or(0);
        world.body.attachments = (0..count)
            .map(|at| Attachment {
                name: names.get(at).cloned(),
                media_type: types.get(at).cloned().unwrap_or_else(|| any_type.clone()),
                size: sizes.get(at).copied().unwrap_or(any_size),
            })
            .collect();
    }
    Answer::Found(())
}

/// Every fact that stands for itself.
fn alone(space: &Space<'_>, fact: Fact, part: &Part<'_>, world: &mut World) -> Answer<()> {
    let (yes, no) = split(part, fact);
    let profile = &space.table.profile;
    let set = !yes.is_empty();
    match fact {
        Fact::ClientListed => {
            if let Some((predicate, holds)) = part.first() {
                world.listed.push((predicate.parameter.clone(), *holds));
            }
        }
        Fact::ClientTls => {
            world.tls = set;
            world.told.tls = true;
        }
        Fact::AutoSubmitted => world.header.auto_submitted = set,
        Fact::AutoForwarded => world.header.auto_forwarded = set,
        Fact::Signed => world.header.signed = set,
        Fact::Encrypted => world.header.encrypted = set,
        Fact::Reply => world.header.reply = set,
        Fact::Malformed => world.header.malformed = set,
        Fact::Size => {
            let low = if set || !no.is_empty() { 1 } else { 4096 };
            world.size = found!(number::solve(&yes, &no, low, profile.max_message_size));
            world.told.size = true;
        }
        Fact::RecipientCount => {
            world.recipient_count = found!(number::solve(&yes, &no, 1, u64::from(profile.max_recipients)));
            world.told.count = true;
        }
        Fact::Hops => {
            world.header.hops = found!(number::solve(&yes, &no, 0, u64::from(profile.max_hops)));
        }
        Fact::Time => {
            let seconds = found!(number::solve(&yes, &no, 0, i64::MAX as u64));
            world.time = i64::try_from(seconds).unwrap_or(0);
            world.told.time = true;
        }
        Fact::Spf | Fact::Dmarc => {
            let fits = |place: &u8| {
                let is = |t: &&Test| matches!(t, Test::OneOf(bits) if bits & (1 << place) != 0);
                yes.iter().all(is) && !no.iter().any(is)
            };
            let words = if let Type::Enum(words) = fact.row().ty { words } else { &[] };
            // A check that failed for now has no result: it makes the test unknown.
            let mut places = (0u8..)
                .zip(words)
                .filter(|(_, word)| !word.is_empty() && **word != "temperror")
                .map(|(place, _)| place);
            let Some(place) = places.find(fits) else {
                return Answer::Impossible;
            };
            if fact == Fact::Spf {
                world.spf = place;
                world.told.spf = true;
            } else {
                world.dmarc = place;
                world.told.dmarc = true;
            }
        }
        Fact::Header => {
            let values = found!(text::solve_many(space, &yes, &no));
            let name = part.first().map(|(p, _)| p.parameter.clone()).unwrap_or_default();
            let field = |value: String| HeaderField { name: name.clone(), value };
            world.header.fields.extend(values.into_iter().map(field));
        }
        Fact::Body => world.body.texts = found!(text::solve_many(space, &yes, &no)),
        Fact::From | Fact::To | Fact::Cc => {
            let mut out = Vec::new();
            for test in &yes {
                let claims = Claims { whole: (vec![*test], no.clone()), ..Claims::default() };
                let (local, domain) = found!(mailbox::solve(space, &claims));
                if let Ok(domain) = Domain::parse(&domain) {
                    out.push(Address::new(&local, &domain));
                }
            }
            match fact {
                Fact::From => world.header.from = out,
                Fact::To => world.header.to = out,
                _ => world.header.cc = out,
            }
        }
        Fact::DkimDomain => {
            for test in &yes {
                let claims = Claims { domain: (vec![*test], no.clone()), bare: true, ..Claims::default() };
                world.dkim.push(found!(one_domain(space, &claims)));
            }
        }
        _ => return Answer::Unknown,
    }
    Answer::Found(())
}
