//! Settings that contradict each other or that no server can run with.

use crate::diag::Diagnostic;
use crate::model::Model;
use crate::span::Span;
use edict_table::model::Auth;
use ipnet::IpNet;
use std::collections::BTreeSet;

/// The longest banner and reply text, in bytes (RFC 5321 4.5.3.1.5 leaves 512 for the whole line).
pub const MAX_LINE: usize = 400;

/// Checks the profile of a rule set.
pub fn check(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    banner(model, diagnostics);
    numbers(model, diagnostics);
    domains(model, diagnostics);
    login(model, diagnostics);
    trusted(model, diagnostics);
}

fn at(model: &Model, setting: &str) -> Span {
    model.settings.get(setting).copied().unwrap_or_default()
}

/// Where one value of a setting stands.
fn at_value(model: &Model, setting: &'static str, value: &str) -> Span {
    let known = if setting == "is" { "domain-aliases" } else { setting };
    model.values.get(&(setting, value.to_owned())).copied().unwrap_or_else(|| at(model, known))
}

/// Whether the profile holds what was written for these settings, or their defaults.
fn sure(model: &Model, settings: &[&str]) -> bool {
    settings.iter().all(|setting| !model.faulty.contains(setting))
}

fn banner(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    let profile = &model.profile;
    let Some(banner) = &profile.banner else { return };
    let span = at(model, "banner");
    if let Some(c) = banner.chars().find(|c| c.is_control() || !c.is_ascii()) {
        diagnostics.push(
            Diagnostic::error("E1201", "the banner holds a character that cannot stand in a greeting", span)
                .label(match c {
                    '\n' | '\r' => "holds a line break; only printable ASCII on one line is taken".to_owned(),
                    c if c.is_control() => format!("holds the control character U+{:04X}", u32::from(c)),
                    c => format!("holds `{c}`, which is not ASCII"),
                })
                .help("write one line of plain text: a line break would end the greeting early"),
        );
        return;
    }
    if banner.len() > MAX_LINE {
        diagnostics.push(
            Diagnostic::error("E1201", format!("the banner is longer than {MAX_LINE} bytes"), span)
                .label("too long")
                .help("write the hostname and a few words"),
        );
        return;
    }
    let Some(hostname) = &profile.hostname else {
        if !sure(model, &["hostname"]) {
            return;
        }
        diagnostics.push(
            Diagnostic::error("E1202", "a banner needs a `hostname` to begin with", span)
                .label("no `hostname` is set")
                .help(match banner.split(' ').next().filter(|head| head.contains('.')) {
                    Some(head) => format!("add `hostname {head}` to the profile"),
                    None => "add `hostname mx.example.com` to the profile, and begin the banner with it"
                        .to_owned(),
                }),
        );
        return;
    };
    let head = banner.split(' ').next().unwrap_or_default();
    if !head.eq_ignore_ascii_case(hostname) {
        diagnostics.push(
            Diagnostic::error(
                "E1202",
                format!("the banner does not begin with the hostname `{hostname}`"),
                span,
            )
            .label(format!("begins with `{head}`"))
            .also(at(model, "hostname"), "the hostname is set here")
            .help(format!("write `\"{hostname} ESMTP\"`, as RFC 5321 4.3.1 asks")),
        );
    }
}

fn numbers(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    let profile = &model.profile;
    let zeros = [
        ("max-message-size", profile.max_message_size == 0),
        ("max-attachment-size", profile.max_attachment_size == Some(0)),
        ("max-recipients", profile.max_recipients == 0),
        ("max-hops", profile.max_hops == 0),
        ("junk-commands", profile.junk_commands == 0),
    ];
    for (setting, zero) in zeros {
        if zero {
            diagnostics.push(
                Diagnostic::error("E1203", format!("`{setting}` of 0 refuses all mail"), at(model, setting))
                    .label("0 takes nothing")
                    .help("write a bound above 0, or leave the line out for the default"),
            );
        }
    }
    if profile.errors_slow_after == 0 || profile.errors_close_after == 0 {
        let (word, what) = if profile.errors_close_after == 0 {
            ("close", "its first mistake ends a connection")
        } else {
            ("slow", "its first mistake slows a client down")
        };
        diagnostics.push(
            Diagnostic::error("E1203", format!("`{word} after 0` leaves room for no mistake"), at(model, "errors"))
                .label(format!("{what}; mail programs and servers make some"))
                .help("write a bound above 0, as `errors slow after 10, close after 20`, or leave the line out for the default"),
        );
    }
    if profile.errors_slow_after >= profile.errors_close_after
        && profile.errors_close_after > 0
        && sure(model, &["errors"])
    {
        let text = format!(
            "clients would be slowed down after {} errors, but are gone after {}",
            profile.errors_slow_after, profile.errors_close_after
        );
        diagnostics.push(
            Diagnostic::error("E1204", text, at(model, "errors"))
                .label("the soft limit has to be below the hard one")
                .help("write `errors slow after 10, close after 20`"),
        );
    }
    if let (Some(attachment), Some(span)) =
        (profile.max_attachment_size, model.settings.get("max-attachment-size"))
        && attachment > profile.max_message_size
        && sure(model, &["max-attachment-size", "max-message-size"])
    {
        let mut diagnostic = Diagnostic::error(
            "E1204",
            "`max-attachment-size` is larger than `max-message-size`, so it never applies",
            *span,
        )
        .label(format!("{attachment} bytes"))
        .help("write a smaller attachment size, or a larger message size");
        match model.settings.get("max-message-size") {
            Some(other) => {
                diagnostic = diagnostic.also(*other, format!("{} bytes", profile.max_message_size))
            }
            None => {
                diagnostic = diagnostic.help(format!(
                    "write a smaller attachment size, or set `max-message-size`: where it is not written it is {} MiB",
                    profile.max_message_size >> 20
                ));
            }
        }
        diagnostics.push(diagnostic);
    }
}

fn domains(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    let profile = &model.profile;
    let local: BTreeSet<&str> = profile.local_domains.iter().map(String::as_str).collect();
    let relay: BTreeSet<&str> = profile.relay_domains.iter().map(|d| d.domain.as_str()).collect();
    let aliases: BTreeSet<&str> = profile.domain_aliases.iter().map(|(from, _)| from.as_str()).collect();
    for both in local.intersection(&relay) {
        diagnostics.push(
            Diagnostic::error(
                "E1205",
                format!("`{both}` is a local domain and a relay domain at once"),
                at_value(model, "relay-domains", both),
            )
            .label("passed on here")
            .also(at_value(model, "local-domains", both), "delivered here")
            .help("keep it in one of the two"),
        );
    }
    for (from, to) in &profile.domain_aliases {
        let (from, to) = (from.as_str(), to.as_str());
        if local.contains(from) || relay.contains(from) {
            diagnostics.push(
                Diagnostic::error(
                    "E1205",
                    format!("`{from}` is a domain of its own and an alias of `{to}` at once"),
                    at_value(model, "domain-aliases", from),
                )
                .label("an alias here")
                .also(
                    at_value(
                        model,
                        if local.contains(from) { "local-domains" } else { "relay-domains" },
                        from,
                    ),
                    "a domain of its own here",
                )
                .help(format!("take `{from}` out of one of the two")),
            );
        }
        if aliases.contains(to) {
            diagnostics.push(
                Diagnostic::error(
                    "E1206",
                    format!("`{from}` is an alias of `{to}`, which is an alias itself"),
                    at_value(model, "is", from),
                )
                .label("aliases of aliases are not followed")
                .also(at_value(model, "domain-aliases", to), format!("`{to}` is an alias here"))
                .help(match end(&profile.domain_aliases, to) {
                    Some(end) => format!("write `{from} is {end}`"),
                    None => "name the domain that the mail is for".to_owned(),
                }),
            );
        } else if !local.contains(to)
            && !relay.contains(to)
            && sure(model, &["local-domains", "relay-domains"])
        {
            diagnostics.push(
                Diagnostic::error(
                    "E1206",
                    format!("`{from}` is an alias of `{to}`, which is no local or relay domain"),
                    at_value(model, "is", from),
                )
                .label("no mail for it is taken here")
                .help(
                    match crate::parse::words::nearest(to, local.iter().chain(&relay).copied()) {
                        Some(meant) => format!("did you mean `{meant}`? Else add `{to}` to `local-domains`"),
                        None => format!("add `{to}` to `local-domains`"),
                    },
                ),
            );
        }
    }
    for address in &profile.postmaster {
        let own = edict_table::value::Address::parse(address).ok();
        if let Some(own) = own
            && matches!(own.local(), "postmaster" | "mailer-daemon")
            && local.contains(own.domain())
        {
            diagnostics.push(
                Diagnostic::error(
                    "E1207",
                    format!("mail for `{address}` would be sent to `{address}` again"),
                    at_value(model, "postmaster", address),
                )
                .label("this is one of the addresses that the setting redirects")
                .help("name the mailbox of a person"),
            );
        }
    }
}

/// The domain at the end of a chain of aliases; none where they lead in a circle.
fn end<'a>(aliases: &'a [(String, String)], from: &'a str) -> Option<&'a str> {
    let mut at = from;
    for _ in 0..=aliases.len() {
        match aliases.iter().find(|(alias, _)| alias == at) {
            Some((_, next)) => at = next,
            None => return Some(at),
        }
    }
    None
}

fn login(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    let profile = &model.profile;
    if profile.auth != Auth::Off {
        return;
    }
    let asked = [
        ("auth-for-trusted", !profile.auth_for_trusted_skipped),
        ("auth-without-tls", profile.auth_without_tls),
    ];
    for (setting, contradicts) in asked {
        if contradicts {
            diagnostics.push(
                Diagnostic::error(
                    "E1208",
                    format!("`{setting}` speaks of logins, but `auth off` offers none"),
                    at(model, setting),
                )
                .label("has nothing to act on")
                .also(at(model, "auth"), "logins are off")
                .help("write `auth required` or `auth optional`, or leave this setting out"),
            );
        }
    }
}

/// The shortest prefix that a trusted network may have, where this one is shorter: no wider network belongs to one owner,
/// apart from the private and link-local ones of IPv6.
fn too_wide(network: &str) -> Option<u8> {
    const PRIVATE: [&str; 2] = ["fc00::/7", "fe80::/10"];
    let network: IpNet = network.parse().ok()?;
    let private = PRIVATE.iter().filter_map(|p| p.parse::<IpNet>().ok()).any(|p| p.contains(&network));
    let most = if network.addr().is_ipv4() { 8 } else { 16 };
    (network.prefix_len() < most && !private).then_some(most)
}

/// How a network of one's own may look, of the same family.
fn own_network(network: &str) -> &'static str {
    if network.contains(':') { "`2001:db8:12::/48`" } else { "`10.20.0.0/16`" }
}

fn trusted(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    for network in &model.profile.trusted_networks {
        if network.ends_with("/0") {
            diagnostics.push(
                Diagnostic::error(
                    "E1209",
                    format!("`{network}` in `trusted-networks` trusts the whole Internet"),
                    at_value(model, "trusted-networks", network),
                )
                .label("anyone could relay through this server")
                .help(format!("name the networks of your own machines, as {}", own_network(network))),
            );
        } else if let Some(most) = too_wide(network) {
            diagnostics.push(
                Diagnostic::error(
                    "E1213",
                    format!("`{network}` in `trusted-networks` is too wide to be your own"),
                    at_value(model, "trusted-networks", network),
                )
                .label("whoever sits in it could relay through this server")
                .help(format!(
                    "name the networks of your own machines, as {}; `/{most}` is the widest that is taken{}",
                    own_network(network),
                    if network.contains(':') { " of public IPv6" } else { "" }
                )),
            );
        }
    }
}
