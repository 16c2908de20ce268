//! Who sends from where to whom, and which direction that makes.
//!
//! Submitted is by a login, or from a trusted network: there to an outside recipient, or by an inside sender. What a
//! trusted network passes on from outside to inside is inbound. SPF and DMARC are `none` for both.

use super::facts::{narrow_sender, sender_claims, wants_result};
use super::mailbox::{self, Claims};
use super::number::Ranges;
use super::region::is_inside;
use super::shape::Shape;
use super::{
    Answer, Directions, GIVEN, Group, Part, Space, author, flag, inside_domain, number, owner, split, text,
};
use crate::prove::world::World;
use edict_table::fact::{Fact, Stage};
use edict_table::facts::Direction;
use edict_table::model::{SenderMust, Test};
use edict_table::value::{Address, Domain};

/// A way a client may be trusted: with a login, from a trusted network.
type Way = (bool, bool);

/// Fills in the envelope; for [`Group::Trust`] with its sender.
pub(super) fn solve<'t>(
    space: &Space<'t>,
    part: &Part<'t>,
    group: Group,
    directions: Directions,
    world: &mut World,
) -> Answer<()> {
    let (direction_yes, direction_no) = split(part, Fact::Direction);
    let (user_yes, user_no) = split(part, Fact::AuthUser);
    let (ip_yes, ip_no) = split(part, Fact::ClientIp);
    let lists = |tests: &[&Test]| -> Vec<&Ranges> {
        tests
            .iter()
            .filter_map(|t| if let Test::InList(list) = t { Some(space.ranges(*list)) } else { None })
            .collect()
    };
    let (ip_in, ip_out) = (lists(&ip_yes), lists(&ip_no));
    let submitted_claim = flag(part, Fact::Submitted);
    // Without an inside domain every recipient is outside, and none is taken from a stranger (the relay
    // guard); what is asked before there are recipients is asked of strangers, too. A bare `postmaster` and what is
    // at an address literal are no exceptions. Rules that are asked later may still see mail of an older policy.
    let asks_recipient = part.iter().any(|(p, _)| p.fact.row().stage == Stage::Rcpt);
    let nobody_inside = directions & GIVEN != 0 && space.inside.is_empty() && asks_recipient;
    let mut unknown = false;
    // A login with a sender of elsewhere is somebody's only by its name: it comes last.
    let mut put_off = false;
    let all = [Direction::Inbound, Direction::Internal, Direction::Outbound, Direction::Forwarded];
    for (direction, last) in all.map(|d| (d, false)).into_iter().chain(all.map(|d| (d, true))) {
        if last && !put_off {
            break;
        }
        let bit = 1u8 << (direction as u8);
        let is = |t: &&Test| matches!(t, Test::OneOf(bits) if bits & bit != 0);
        if directions & bit == 0 || !direction_yes.iter().all(is) || direction_no.iter().any(is) {
            continue;
        }
        if nobody_inside && direction != Direction::Outbound {
            continue;
        }
        let submitted = matches!(direction, Direction::Outbound | Direction::Internal);
        if submitted_claim.is_some_and(|claim| claim != submitted) {
            continue;
        }
        let inside = matches!(direction, Direction::Inbound | Direction::Internal);
        let recipient = match recipient(space, part, inside) {
            Answer::Found(recipient) => recipient,
            Answer::Unknown => {
                unknown = true;
                continue;
            }
            Answer::Impossible => continue,
        };
        let ways: &[Way] = if submitted {
            &[(true, false), (true, true), (false, true)]
        } else {
            &[(false, false), (false, true)]
        };
        for way in ways {
            let (with_user, from_trusted) = *way;
            if !with_user && !user_yes.is_empty() {
                continue;
            }
            let mut within = ip_in.clone();
            let mut without = ip_out.clone();
            if from_trusted {
                within.push(&space.trusted)
            } else {
                without.push(&space.trusted)
            }
            let Answer::Found(ip) = number::address(space, &within, &without) else { continue };
            // Of logins and trusted networks no check is made.
            let ours = with_user || from_trusted;
            if directions & GIVEN != 0
                && ours
                && (wants_result(part, Fact::Spf) || wants_result(part, Fact::Dmarc))
            {
                continue;
            }
            if group == Group::Trust {
                let strict = directions & GIVEN != 0 && inside && *way == (false, true);
                match trusted_sender(space, part, strict.then_some(submitted), submitted, world) {
                    Answer::Found(()) => {}
                    Answer::Impossible => continue,
                    Answer::Unknown => {
                        unknown = true;
                        continue;
                    }
                }
            }
            let foreign = || world.sender.as_ref().is_some_and(|s| !is_inside(&space.inside, s.domain()));
            if group == Group::Trust && with_user && !last && user_yes.is_empty() && foreign() {
                put_off = true;
                continue;
            }
            let mut user = if with_user {
                match login(space, &user_yes, &user_no, world.sender.as_ref()) {
                    Answer::Found(user) => Some(user),
                    Answer::Unknown => {
                        unknown = true;
                        continue;
                    }
                    Answer::Impossible => continue,
                }
            } else {
                None
            };
            if let (Group::Trust, Some(user)) = (group, &user) {
                own_sender(space, part, user, world);
            }
            if let (Group::Trust, Some(first)) = (group, &user)
                && !(owner::may_send(space, first, world.sender.as_ref())
                    && author::writes(space, part, first, world))
            {
                user = match owner::pair(space, part, (&user_yes, &user_no), world) {
                    Answer::Found(other) => Some(other),
                    // An alias may have put its owner in the place of whoever sent what stays here.
                    Answer::Impossible if directions & GIVEN != 0 || direction == Direction::Outbound => {
                        continue;
                    }
                    Answer::Impossible | Answer::Unknown => {
                        unknown = true;
                        continue;
                    }
                };
            }
            world.direction = direction;
            world.submitted = submitted;
            world.recipient = recipient;
            world.auth_user = user;
            world.client_ip = ip;
            world.told.client = true;
            return Answer::Found(());
        }
    }
    if unknown { Answer::Unknown } else { Answer::Impossible }
}

pub(super) fn asks_sender(part: &Part<'_>) -> bool {
    part.iter().any(|(p, _)| super::group(p).0 == Group::Sender)
}

/// A sender that may be submitted, or may not, by mere trust; any where that is not the question.
fn trusted_sender<'t>(
    space: &Space<'t>,
    part: &Part<'t>,
    inside: Option<bool>,
    submitted: bool,
    world: &mut World,
) -> Answer<()> {
    if !asks_sender(part) {
        let at = if submitted { inside_domain(space) } else { None };
        let domain = at.or_else(|| Domain::parse("stranger.example").ok());
        world.sender = domain.map(|d| Address::new("bob", &d));
        // Without a domain of ours none is inside.
        return if inside == Some(true) && space.inside.is_empty() {
            Answer::Unknown
        } else {
            Answer::Found(())
        };
    }
    let claims = sender_claims(part);
    match inside {
        None => narrow_sender(space, part, claims, world),
        Some(true) => {
            let claims = Claims { inside: (vec![&space.inside_senders], Vec::new()), ..claims };
            let answer = narrow_sender(space, part, claims, world);
            // The null sender is not inside.
            if world.sender.is_none() && answer == Answer::Found(()) { Answer::Impossible } else { answer }
        }
        Some(false) => {
            let claims = Claims { inside: (Vec::new(), vec![&space.inside_senders]), ..claims };
            narrow_sender(space, part, claims, world)
        }
    }
}

/// A login: where the tests allow it one that may write this sender, so that the daemon would take the mail.
fn login(space: &Space<'_>, yes: &[&Test], no: &[&Test], sender: Option<&Address>) -> Answer<String> {
    let fits = |login: &String| {
        let passes = |t: &&Test| text::passes(space, t, login);
        yes.iter().all(passes) && !no.iter().any(passes)
    };
    let domain = inside_domain(space).map_or_else(|| "example.com".to_owned(), |d| d.to_string());
    let own = sender.map(|sender| sender.without_extension().unwrap_or_else(|| sender.clone()));
    let whole = own.iter().chain(sender).map(ToString::to_string);
    let bare = own.iter().filter(|own| space.table.profile.local_domains.iter().any(|d| d == own.domain()));
    let bare = bare.map(|own| own.local().to_owned());
    let usual = std::iter::once(format!("alice@{domain}"));
    match whole.chain(bare).chain(usual).find(fits) {
        Some(login) => Answer::Found(login),
        None => text::solve_as(space, Shape::Name, yes, no),
    }
}

/// Gives a login its own address as the sender where nothing else was asked of one.
pub(super) fn own_sender(space: &Space<'_>, part: &Part<'_>, user: &str, world: &mut World) {
    if asks_sender(part) || space.table.profile.sender_must == SenderMust::BeAnything {
        return;
    }
    if let Some(own) = owner::home(space, user) {
        world.sender = Some(own);
    }
}

fn recipient(space: &Space<'_>, part: &Part<'_>, inside: bool) -> Answer<Address> {
    let mut claims = Claims {
        whole: split(part, Fact::Recipient),
        local: split(part, Fact::RecipientLocal),
        domain: split(part, Fact::RecipientDomain),
        ..Claims::default()
    };
    // Without a domain of its own a rule set says nothing about what is inside.
    if !space.inside.is_empty() {
        if inside { claims.inside.0.push(&space.inside) } else { claims.inside.1.push(&space.inside) }
    }
    match mailbox::solve(space, &claims) {
        Answer::Found((local, domain)) => match Domain::parse(&domain) {
            Ok(domain) => Answer::Found(Address::new(&local, &domain)),
            Err(_) => Answer::Unknown,
        },
        Answer::Impossible => Answer::Impossible,
        Answer::Unknown => Answer::Unknown,
    }
}
