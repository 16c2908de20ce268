//! Whom a login may write in From, by `sender-must`: the rest the daemon refuses at the end of the data.

use super::mailbox::{self, Claims};
use super::owner::{home, owned};
use super::{Answer, Keys, Part, Space, split, text};
use crate::prove::world::World;
use edict_table::fact::Fact;
use edict_table::facts::HeaderField;
use edict_table::model::{SenderMust, Test};
use edict_table::owner::{may_send_as, may_write};
use edict_table::value::{Address, Domain, fold};

/// Whether the daemon takes a message with such a From from this login; gives it one that the login owns where it can.
/// What asks nothing of From leaves it to whoever writes.
pub(super) fn writes<'t>(space: &Space<'t>, part: &Part<'t>, login: &str, world: &mut World) -> bool {
    if space.table.profile.sender_must == SenderMust::BeAnything {
        return true;
    }
    if world.header.malformed {
        return false;
    }
    let of_from = |field: bool| {
        let is = |fact, parameter: &str| match fact {
            Fact::From => !field,
            Fact::Header => field && parameter == "from",
            _ => false,
        };
        part.iter().filter(|(p, _)| is(p.fact, &p.parameter)).copied().collect::<Part<'t>>()
    };
    let (addresses, fields) = (of_from(false), of_from(true));
    if addresses.is_empty() && fields.is_empty() {
        return true;
    }
    let (Some(table), login) = (space.loaded(), fold(login)) else { return false };
    let may = |address: &Address| may_send_as(table, &login, address);
    let mut from = world.header.from.clone();
    if from.is_empty() || !from.iter().all(may) {
        let home = home(space, &login).map(|home| Keys::Own(vec![home.to_string()]));
        let all = owned(space, &login).0;
        let (yes, no) = split(&addresses, Fact::From);
        let each: Vec<Vec<&Test>> =
            if yes.is_empty() { vec![Vec::new()] } else { yes.into_iter().map(|test| vec![test]).collect() };
        let find = |yes: Vec<&'t Test>| {
            home.iter()
                .chain([&all])
                .find_map(|keys| own(space, (yes.clone(), no.clone()), keys).filter(&may))
        };
        let Some(found) = each.into_iter().map(find).collect() else { return false };
        from = found;
    }
    let mut header = world.header.clone();
    if !fields.is_empty() {
        let (yes, no) = split(&fields, Fact::Header);
        let Some(value) = value(space, (&yes, &no), &from, &header.fields) else { return false };
        header.fields.retain(|field| field.name != "from");
        header.fields.push(HeaderField { name: "from".to_owned(), value });
    }
    header.from = from;
    if !may_write(table, &login, &header) {
        return false;
    }
    world.header = header;
    true
}

/// An address of these keys that passes the tests.
fn own<'t>(space: &Space<'t>, whole: (Vec<&'t Test>, Vec<&'t Test>), keys: &Keys<'t>) -> Option<Address> {
    let claims = Claims { whole, own: (vec![keys], Vec::new()), ..Claims::default() };
    let Answer::Found((local, domain)) = mailbox::solve(space, &claims) else { return None };
    Some(Address::new(&local, &Domain::parse(&domain).ok()?))
}

/// The field with these addresses, where one passes the tests: with what was found for them as a name, too.
fn value(
    space: &Space<'_>,
    (yes, no): (&[&Test], &[&Test]),
    from: &[Address],
    fields: &[HeaderField],
) -> Option<String> {
    let names = fields.iter().filter(|field| field.name == "from").map(|field| field.value.as_str());
    let plain: Vec<String> = from.iter().map(ToString::to_string).collect();
    let plain = plain.join(", ");
    let named = |name: &str| {
        let (first, rest) = plain.split_once(", ").unwrap_or((&plain, ""));
        let rest = if rest.is_empty() { String::new() } else { format!(", {rest}") };
        // What is an address, or steers how one is read, is no name.
        let fine = name.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        (fine && !name.trim().is_empty()).then(|| format!("{} <{first}>{rest}", name.trim()))
    };
    let mut all = std::iter::once(plain.clone()).chain(names.filter_map(named)).chain(named("someone"));
    let passes = |value: &str, t: &&Test| text::passes(space, t, value);
    all.find(|value| yes.iter().all(|t| passes(value, t)) && !no.iter().any(|t| passes(value, t)))
}
