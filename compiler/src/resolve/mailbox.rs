//! One exact mailbox: with its spelling kept, completed by the first local domain, and what only looks like one.

use super::Context;
use super::named::Place;
use super::value::{address_help, shape};
use crate::ast::{Class, Value};
use crate::diag::Diagnostic;
use crate::model::Mailbox;
use crate::span::Span;
use edict_table::value::address::parse_local;
use edict_table::value::{Address, Domain, Pattern, fold, parse_network};

impl Context<'_> {
    /// Tells the `!` that means "not this one" in lists of other systems. `"!ann"@example.com` is a name.
    pub(super) fn left_out(
        &mut self,
        code: &'static str,
        value: &Value,
        instead: impl FnOnce(&str) -> String,
    ) -> bool {
        let text = value.text.as_str();
        let Some(rest) = text.strip_prefix('!').filter(|_| value.class == Class::Word) else { return false };
        // Rules ask for whole addresses.
        let domain = if code == "E1110" && !rest.contains('@') { "@example.com" } else { "" };
        let mut help = instead(&format!("{rest}{domain}"));
        if let Some((local, domain)) = rest.rsplit_once('@').filter(|(local, _)| !local.is_empty()) {
            help.push_str(&format!(
                "; a name that begins with `!` stands in quotes: `\"!{local}\"@{domain}`"
            ));
        }
        self.report(
            Diagnostic::error(
                code,
                format!("`{text}` begins with `!`, which leaves nothing out"),
                value.span,
            )
            .label("there is no negation in values and lists")
            .help(help),
        );
        true
    }

    /// The same as [`Context::mailbox`] where a rule file names mailboxes: the name of a group or list is none.
    pub(super) fn mailbox_at(&mut self, value: &Value, place: Place<'_>) -> Option<Mailbox> {
        if self.names_set(value, place) { None } else { self.mailbox(value) }
    }

    /// One exact address, with its spelling kept. A bare name is one at the first local domain.
    pub(super) fn mailbox(&mut self, value: &Value) -> Option<Mailbox> {
        let text = value.text.as_str();
        if self.left_out(
            "E1110",
            value,
            |_| "take the whole entry out: whoever is not named is left out; in place of a group some of whom are not meant, name the others".to_owned(),
        ) {
            return None;
        }
        if value.class != Class::Word && !matches!(value.class, Class::Number(_)) {
            self.report(
                Diagnostic::error(
                    "E1110",
                    format!("`{text}` is {}, not an address", shape(value)),
                    value.span,
                )
                .label("one address is expected here")
                .help("write it without quotes: `ann@example.com`"),
            );
            return None;
        }
        if !text.contains('@') {
            return self.bare_mailbox(text, value.span);
        }
        match Address::parse(text) {
            Ok(address) => Some(self.canonical_mailbox(text, address, value.span)),
            Err(error) => {
                let whole = Pattern::parse(text).is_ok();
                let (label, help) = if whole {
                    ("stands for many addresses; one is expected here".to_owned(), "write `ann@example.com`")
                } else {
                    (error.to_string(), address_help(&error))
                };
                self.report(
                    Diagnostic::error("E1110", format!("`{text}` is no single address"), value.span)
                        .label(label)
                        .help(help),
                );
                None
            }
        }
    }

    /// A bare name as a mailbox at the first local domain.
    pub(super) fn bare_mailbox(&mut self, text: &str, span: Span) -> Option<Mailbox> {
        let profile = &self.model.profile;
        let mut inside = profile.local_domains.iter().chain(profile.relay_domains.iter().map(|d| &d.domain));
        if inside.any(|domain| domain == text) {
            self.report(
                Diagnostic::error("E1110", format!("`{text}` is a domain, not an address"), span)
                    .label("one address is expected here")
                    .help(format!("write `ann@{text}`")),
            );
            return None;
        }
        if self.is_client(text, span) {
            return None;
        }
        if parse_local(text).is_err() {
            self.report(
                Diagnostic::error("E1110", format!("`{text}` is no address"), span)
                    .label("one address is expected here")
                    .help("write `ann@example.com`"),
            );
            return None;
        }
        let Some(domain) = self.first_local_domain() else {
            if self.hangs_on("local-domains") {
                return None;
            }
            self.report(
                Diagnostic::error(
                    "E1604",
                    format!("`{text}` has no domain, and there is no local domain to add"),
                    span,
                )
                .label("a bare name stands for an address at the first local domain")
                .help(format!("write `{text}@example.com`, or set `local-domains` in the profile")),
            );
            return None;
        };
        if self.seems_domain(text) {
            self.report(
                Diagnostic::warning(
                    "W0217",
                    format!("`{text}` looks like a domain, and is taken for a name"),
                    span,
                )
                .label(format!("stands for `{text}@{domain}`"))
                .help(format!("write the address that is meant, as `ann@{text}`, or `{text}@{domain}`")),
            );
        }
        let address = Address::new(text, &domain);
        Some(Mailbox { wire: format!("{text}@{domain}"), address, span })
    }

    /// Tells an IP address where the name of a mailbox is meant: a legal local part, and nobody's.
    pub(super) fn is_client(&mut self, text: &str, span: Span) -> bool {
        let client = parse_network(text).is_ok();
        if client {
            self.report(
                Diagnostic::error(
                    "E1110",
                    format!(
                        "`{text}` is {}, not an address for mail",
                        if text.contains('/') { "a network" } else { "an IP address" }
                    ),
                    span,
                )
                .label("one address is expected here")
                .help("write the address of a mailbox, as `ann@example.com`; to pass mail on to a host write a `relay` and a `route`"),
            );
        }
        client
    }

    /// Whether a bare name is more likely a domain than `first.last`: it ends as domains do, lies in a domain of this
    /// server, or has as many parts as only hosts have.
    pub(super) fn seems_domain(&self, text: &str) -> bool {
        // Two letters are a country or a surname, `ann.li`: a third part decides.
        const ENDINGS: &[&str] = &[
            "arpa",
            "biz",
            "cloud",
            "com",
            "corp",
            "edu",
            "eu",
            "example",
            "gov",
            "home",
            "info",
            "int",
            "internal",
            "invalid",
            "io",
            "lan",
            "local",
            "localdomain",
            "mil",
            "net",
            "org",
            "test",
            "uk",
            "xyz",
        ];
        let text = fold(text);
        let Some((above, last)) = text.rsplit_once('.') else { return false };
        let profile = &self.model.profile;
        let names = profile.local_domains.iter().chain(profile.relay_domains.iter().map(|d| &d.domain));
        let mut names = names.chain(profile.domain_aliases.iter().map(|(from, _)| from));
        let country = last.len() == 2 && last.bytes().all(|b| b.is_ascii_alphabetic()) && above.contains('.');
        Domain::parse(&text).is_ok()
            && (country
                || ENDINGS.contains(&last)
                || names
                    .any(|n| text.strip_suffix(n.as_str()).is_some_and(|h| h.is_empty() || h.ends_with('.'))))
    }

    /// Replaces a domain alias by its domain and the domain by its A-labels; the local part stays.
    fn canonical_mailbox(&self, text: &str, address: Address, span: Span) -> Mailbox {
        let local = text.rsplit_once('@').map_or(text, |(local, _)| local);
        let target = self
            .model
            .profile
            .domain_aliases
            .iter()
            .find(|(from, _)| from == address.domain())
            .and_then(|(_, to)| Domain::parse(to).ok());
        match target {
            Some(domain) => {
                let address = Address::new(address.local(), &domain);
                Mailbox { wire: format!("{local}@{domain}"), address, span }
            }
            None => Mailbox { wire: format!("{local}@{}", address.domain()), address, span },
        }
    }

    /// The first local domain as the profile lists it.
    pub(super) fn first_local_domain(&self) -> Option<Domain> {
        self.model.first_local.as_deref().and_then(|d| Domain::parse(d).ok())
    }
}
