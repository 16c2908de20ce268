//! What is wrong with a text that is no network: which part, and what to write in its place.
//!
//! Parses nothing for use: [`edict_table::value::parse_network`] does, and only what it refused comes here.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What to say of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which part is wrong.
    pub label: String,
    /// What to write instead.
    pub help: String,
}

/// The shapes that a network has.
pub const SHAPES: &str = "write `192.0.2.7`, `192.0.2.0/24` or `2001:db8::/32`";

fn fault(label: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault { label: label.into(), help: help.into() }
}

/// Whether a text is meant as an address or a network, however wrong it is: numbers and dots, or an IPv6
/// address, or either with a prefix.
#[must_use]
pub fn looks_like_one(text: &str) -> bool {
    let ip = text.split('/').next().unwrap_or(text);
    let dotted = |ip: &str| ip.contains('.') && ip.chars().all(|c| c.is_ascii_digit() || c == '.');
    let colons =
        ip.matches(':').count() > 1 && ip.chars().all(|c| c.is_ascii_hexdigit() || ":.[]".contains(c));
    let range = ip.split_once('-').is_some_and(|(a, b)| dotted(a) && dotted(b));
    dotted(ip)
        || colons
        || range
        || ip.split_once(':').is_some_and(|(ip, port)| dotted(ip) && is_number(port))
}

/// A network in normal form as rules write it: one address stands without a length.
#[must_use]
pub fn shown_network(network: &str) -> &str {
    match network.split_once('/') {
        Some((ip, "32")) if !ip.contains(':') => ip,
        Some((ip, "128")) => ip,
        _ => network,
    }
}

/// The networks of a range, as many as a message can hold.
fn range(first: &str, last: &str) -> String {
    const SHOWN: usize = 8;
    let (Ok(first), Ok(last)) = (first.parse::<Ipv4Addr>(), last.parse::<Ipv4Addr>()) else {
        return "`192.0.2.0/25`".to_owned();
    };
    let networks: Vec<String> = ipnet::Ipv4Subnets::new(first, last, 0)
        .take(SHOWN + 1)
        .map(|n| if n.prefix_len() == 32 { n.addr().to_string() } else { n.to_string() })
        .collect();
    match networks.len() {
        0 => "`192.0.2.0/25`".to_owned(),
        count if count > SHOWN => {
            format!("`[{}, ...]`", networks.get(..SHOWN).unwrap_or_default().join(", "))
        }
        _ => format!("`[{}]`", networks.join(", ")),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Finds what is wrong with a text that is no network.
#[must_use]
pub fn network_fault(text: &str) -> Fault {
    let (ip, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    if let Some(inner) = ip.strip_prefix('[') {
        let bare = inner.split(']').next().unwrap_or(inner);
        return fault("brackets stand around it", format!("write it without them: `{bare}`"));
    }
    if let Some((bare, zone)) = ip.split_once('%') {
        return fault(format!("`%{zone}` is no part of it"), format!("write `{bare}`"));
    }
    if let Some((first, last)) = ip.split_once('-')
        && first.parse::<Ipv4Addr>().is_ok()
    {
        return fault(
            format!("a range, from `{first}` to `{last}`"),
            format!(
                "write the networks that it is made of, each by itself, as {}; a test asks for several with `in`",
                range(first, last)
            ),
        );
    }
    let four = if ip.contains("::") || ip.matches(':').count() > 1 {
        if let Some(fault) = six(ip) {
            return fault;
        }
        false
    } else if looks_like_one(ip) {
        if let Some(fault) = four(ip, prefix) {
            return fault;
        }
        true
    } else {
        return fault("neither an IP address nor a network", SHAPES);
    };
    let (most, kind, whole) =
        if four { (32, "IPv4", "192.0.2.0/24") } else { (128, "IPv6", "2001:db8::/32") };
    match prefix {
        None => fault("neither an IP address nor a network", SHAPES),
        Some("") => fault(
            "nothing stands behind the `/`",
            format!("write a length, as `{whole}`, or take the `/` out"),
        ),
        Some(prefix) if prefix.contains('/') => {
            fault("two `/` in one network", format!("write one, as `{whole}`"))
        }
        Some(prefix) if is_number(prefix) && prefix.starts_with('0') && prefix.len() > 1 => fault(
            format!("the length `{prefix}` begins with 0"),
            format!("write `{ip}/{}`", prefix.trim_start_matches('0')),
        ),
        Some(prefix) if is_number(prefix) => fault(
            format!("the length `/{prefix}` is over {most}, the most for {kind}"),
            format!("write a length from 0 to {most}, as `{whole}`, or the address alone"),
        ),
        Some(prefix) if prefix.contains('.') => fault(
            format!("`{prefix}` is no netmask"),
            format!("write the length of the prefix, as `{whole}`"),
        ),
        Some(prefix) => fault(
            format!("`{prefix}` is no length of a prefix"),
            format!("write a number from 0 to {most}, as `{whole}`"),
        ),
    }
}

/// What is wrong with an IPv4 address; none where it is one.
fn four(ip: &str, prefix: Option<&str>) -> Option<Fault> {
    if let Some((bare, port)) = ip.split_once(':') {
        return Some(fault(format!("a port, `:{port}`, stands behind it"), format!("write `{bare}`")));
    }
    let parts: Vec<&str> = ip.split('.').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Some(fault("a part is empty: two dots in a row, or a dot at an end", SHAPES));
    }
    if let Some(part) =
        parts.iter().find(|part| part.parse::<u64>().is_ok_and(|n| n > 255) || part.len() > 19)
    {
        return Some(fault(
            format!("the part `{part}` is over 255"),
            "each of the four parts of an IPv4 address is at most 255",
        ));
    }
    if let Some(part) = parts.iter().find(|part| part.starts_with('0') && part.len() > 1) {
        let plain: Vec<String> =
            parts.iter().map(|part| part.parse::<u32>().unwrap_or(0).to_string()).collect();
        return Some(fault(
            format!("the part `{part}` begins with 0, which some read as octal"),
            format!("write `{}`", plain.join(".")),
        ));
    }
    let count = parts.len();
    if count > 4 {
        return Some(fault(format!("{count} parts, where an IPv4 address has four"), SHAPES));
    }
    if count < 4 {
        let zeros = ".0".repeat(4 - count);
        let network = format!(
            "{ip}{zeros}/{}",
            prefix.filter(|p| is_number(p)).map_or_else(|| (count * 8).to_string(), str::to_owned)
        );
        let one = format!("{ip}{}.1", ".0".repeat(3 - count));
        return Some(fault(
            format!("{count} parts, where an IPv4 address has four"),
            format!(
                "it may mean a network or an address cut short: write `{network}` for all that begins with `{ip}.`, or one address whole, as `{one}`"
            ),
        ));
    }
    None
}

/// What is wrong with an IPv6 address; none where it is one.
fn six(ip: &str) -> Option<Fault> {
    const HELP: &str = "write eight groups of up to four hexadecimal digits, or `::` once for a run of zeros, as `2001:db8::7`";
    if ip.parse::<Ipv6Addr>().is_ok() {
        return None;
    }
    let groups: Vec<&str> = ip.split(':').filter(|group| !group.is_empty()).collect();
    if let Some(group) = groups.iter().find(|g| !g.contains('.') && g.len() > 4) {
        return Some(fault(format!("the group `{group}` has more than four digits"), HELP));
    }
    let digit = |c: char| c.is_ascii_hexdigit() || c == '.';
    if let Some(c) = groups.iter().flat_map(|g| g.chars()).find(|c| !digit(*c)) {
        return Some(fault(format!("`{c}` is no hexadecimal digit"), HELP));
    }
    let label = match (ip.matches("::").count(), groups.len()) {
        (2.., _) => "`::` stands twice".to_owned(),
        (0, count) if count != 8 => format!("{count} groups, where an IPv6 address has eight"),
        (_, count) if count > 7 => format!("{count} groups and a `::`, where eight are all"),
        _ => "a colon or a group too many or too few".to_owned(),
    };
    Some(fault(label, HELP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use edict_table::value::parse_network;

    #[test]
    fn one_address_stands_alone() {
        for (text, shown) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("2001:DB8::7", "2001:db8::7"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(shown_network(&parse_network(text).unwrap().to_string()), shown, "{text}");
        }
    }

    #[test]
    fn says_which_part() {
        for (text, label, help) in [
            ("192.0.300.1", "`300` is over 255", "at most 255"),
            ("192.0.2.0/33", "`/33` is over 32", "0 to 32"),
            ("2001:db8::/129", "`/129` is over 128", "0 to 128"),
            (
                "10.1",
                "2 parts",
                "`10.1.0.0/16` for all that begins with `10.1.`, or one address whole, as `10.1.0.1`",
            ),
            ("192.0.2", "3 parts", "`192.0.2.0/24`"),
            ("10.1/12", "2 parts", "`10.1.0.0/12`"),
            ("1.2.3.4.5", "5 parts", "192.0.2.7"),
            ("192.0.2.010", "`010` begins with 0", "`192.0.2.10`"),
            ("192..2.1", "empty", "192.0.2.7"),
            ("192.0.2.0/", "nothing stands behind", "/24"),
            ("192.0.2.0/x", "`x` is no length", "0 to 32"),
            ("192.0.2.0/024", "begins with 0", "`192.0.2.0/24`"),
            ("192.0.2.0/255.0.255.0", "`255.0.255.0` is no netmask", "/24"),
            ("192.0.2.7:25", "a port, `:25`", "`192.0.2.7`"),
            ("192.0.2.1-192.0.2.9", "a range", "each by itself"),
            ("[2001:db8::7]", "brackets", "`2001:db8::7`"),
            ("fe80::1%eth0", "`%eth0`", "`fe80::1`"),
            ("2001:db8:::1", "too many", "eight groups"),
            ("2001::db8::1", "`::` stands twice", "once"),
            ("2001:db8:1:2:3", "5 groups", "eight groups"),
            ("2001:db8::12345", "`12345` has more than four", "eight groups"),
            ("2001:db8::xyz", "`x` is no hexadecimal digit", "eight groups"),
            ("1:2:3:4:5:6:7:8::", "8 groups and a `::`", "eight"),
            ("mail", "neither", "192.0.2.7"),
        ] {
            assert!(parse_network(text).is_err(), "{text} is a network");
            let fault = network_fault(text);
            assert!(fault.label.contains(label), "{text}: {}", fault.label);
            assert!(fault.help.contains(help), "{text}: {}", fault.help);
        }
    }
}
