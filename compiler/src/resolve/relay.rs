//! Relays: their hosts, and how the connection to them is protected.

use super::Context;
use super::names::Sort;
use crate::ast::{self, Entry};
use crate::diag::Diagnostic;
use crate::model::RelayDef;
use edict_table::model::{Host, RelayTls};
use edict_table::value::Domain;

/// Resolves a relay.
pub fn relay(ctx: &mut Context<'_>, relay: &ast::Relay) {
    let place = ctx.model.relays.len();
    let fresh = ctx.define(Sort::Relay, &relay.name.value, relay.name.span, place);
    let tls = relay.tls.as_ref().map_or_else(RelayTls::default, |t| t.value);
    let mut hosts = Vec::new();
    // The parser has told where there is no `host` at all.
    let mut sound = relay.hosts.is_some();
    for entry in relay.hosts.iter().flat_map(|h| &h.entries) {
        let (text, span) = match entry {
            Entry::Value(value) => (value.text.as_str(), value.span),
            Entry::Group(name) => (name.value.as_str(), name.span),
        };
        match host(text, tls) {
            Some(host) => hosts.push((host, span)),
            None => {
                sound = false;
                ctx.report(
                    Diagnostic::error("E1703", format!("`{text}` is no host"), span)
                        .label(if text.ends_with(":0") {
                            "port 0 does not exist"
                        } else if port_is_too_large(text) {
                            "ports end at 65535"
                        } else if text.contains("://") {
                            "a URL; a host is a name or an address"
                        } else {
                            "a name or an address, with a port or without"
                        })
                        .help("write `smtp.example.com:587`, `192.0.2.7:25` or `[2001:db8::7]:25`"),
                );
            }
        }
    }
    if fresh && (!sound || relay.broken) {
        ctx.poison(Sort::Relay, &relay.name.value);
        // A place is needed all the same: later relays count from it.
    }
    if let Some(name) = &relay.credentials
        && (name.value.trim().is_empty()
            || name.value.len() > 200
            || name.value.chars().any(char::is_control))
    {
        ctx.report(
            Diagnostic::error("E1704", "this cannot be the name of a login", name.span)
                .label(if name.value.trim().is_empty() { "empty" } else { "too long, or holds a control character" })
                .help("write the name under which `edictd.ron` keeps user and password, as `credentials \"provider\"`"),
        );
    }
    // Of a second relay of one name nothing is kept; its mistakes were told.
    if !fresh {
        return;
    }
    ctx.model.relays.push(RelayDef {
        name: relay.name.value.clone(),
        // A broken relay counts as one with a host, so that nobody tells that it has none.
        hosts: if sound { hosts } else { vec![(Host { name: String::new(), port: 25 }, relay.name.span)] },
        tls,
        // Where `tls` could not be read, nobody knows whether the login is safe.
        credentials: relay
            .credentials
            .as_ref()
            .filter(|_| relay.tls.is_some() || !relay.broken)
            .map(|c| (c.value.clone(), c.span)),
        span: relay.name.span,
        used: false,
    });
}

fn port_is_too_large(text: &str) -> bool {
    let port = text.rsplit_once(':').map_or("", |(_, port)| port);
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_err()
}

/// Reads `name`, `name:port`, `[v6]` or `[v6]:port`.
fn host(text: &str, tls: RelayTls) -> Option<Host> {
    let usual = if tls == RelayTls::Implicit { 465 } else { 25 };
    if let Ok(ip) = text.parse::<std::net::Ipv6Addr>() {
        return Some(Host { name: ip.to_string(), port: usual });
    }
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let ip: std::net::IpAddr = inside.parse().ok()?;
        let port = match after.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if after.is_empty() => usual,
            None => return None,
        };
        (ip.to_string(), port)
    } else {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().ok()?),
            None => (text, usual),
        };
        let name = match name.parse::<std::net::Ipv4Addr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => Domain::parse(name).ok().filter(|d| !d.is_literal())?.as_str().to_owned(),
        };
        (name, port)
    };
    (port != 0).then_some(Host { name, port })
}
