//! The settings of a profile.

use super::block::block;
use super::cursor::{Cursor, short};
use super::list::{entries, list, words};
use super::value::{count, value};
use crate::ast::{DomainAlias, Item, Profile, Recipients, RelayDomain, Setting, SettingValue, Spanned};
use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::span::Span;

/// Reads a profile behind its keyword, which was taken.
pub(super) fn profile(c: &mut Cursor<'_>, keyword: Span) -> Option<Item> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut unread = Vec::new();
    block(c, "profile", |c, name| {
        let start = c.last_span();
        let Some(value) = setting(c, name) else {
            unread.push(name);
            return None;
        };
        // Read, but with a mistake in it, or something behind it that does not belong there.
        if c.broken_since(start) || c.junk("profile") {
            unread.push(name);
            if c.junk("profile") {
                return Some(());
            }
        }
        if !settings.iter().any(|s| s.name.value == name) {
            settings.push(Setting { name: Spanned::new(name, start), value, span: c.since(start) });
        }
        Some(())
    });
    let span = c.since(keyword);
    Some(Item::Profile(Profile { settings, unread, broken: c.broken_since(keyword), keyword, span }))
}

/// The words of the settings that are one of several.
pub(super) fn choices(setting: &str) -> &'static [(&'static str, &'static str)] {
    match setting {
        "auth" => &[("off", "off"), ("optional", "optional"), ("required", "required")],
        "auth-without-tls" => &[("forbidden", "forbidden"), ("allowed", "allowed")],
        "auth-for-trusted" => &[("skipped", "skipped"), ("required", "required")],
        "sender-must" => {
            &[("be-anything", "be-anything"), ("equal-login", "equal-login"), ("own-address", "own-address")]
        }
        "forward-sender" => &[("srs", "srs"), ("keep", "keep")],
        "helo" => &[("required", "required"), ("optional", "optional")],
        "vrfy" => &[("on", "on"), ("off", "off")],
        "envelope-syntax" | "pipelining" => &[("strict", "strict"), ("lenient", "lenient")],
        _ => &[],
    }
}

fn setting(c: &mut Cursor<'_>, name: &'static str) -> Option<SettingValue> {
    let choices = choices(name);
    if !choices.is_empty() {
        return c.choice(&format!("value of `{name}`"), choices).map(SettingValue::Choice);
    }
    Some(match name {
        "hostname" => SettingValue::Word(c.expect_word("a host name")?),
        "banner" => SettingValue::Text(c.expect_text("the banner in quotes")?),
        "time-zone" => SettingValue::Text(c.expect_text("a time zone in quotes")?),
        "max-message-size" | "max-attachment-size" => {
            SettingValue::Amount(value(c, "a size such as `25 MiB`")?)
        }
        "max-recipients" | "max-hops" | "junk-commands" => SettingValue::Amount(value(c, "a number")?),
        "local-domains" => SettingValue::Set(entries(c, "a domain")?),
        "trusted-networks" => SettingValue::Set(entries(c, "a network")?),
        "postmaster" | "notice-copies" => SettingValue::Set(entries(c, "an address")?),
        "domain-aliases" => SettingValue::DomainAliases(list(c, "domains", domain_alias)?.0),
        "relay-domains" => SettingValue::RelayDomains(list(c, "domains", relay_domain)?.0),
        "recipients" => SettingValue::Recipients(recipients(c)?),
        "auto-forwarding" => {
            let on = c.choice("value of `auto-forwarding`", &[("on", true), ("off", false)])?;
            let except = if c.eat_word("except").is_some() { Some(entries(c, "an address")?) } else { None };
            SettingValue::AutoForwarding { on, except }
        }
        "errors" => errors(c)?,
        _ => return None,
    })
}

fn domain_alias(c: &mut Cursor<'_>) -> Option<DomainAlias> {
    let alias = c.expect_word("a domain")?;
    if !c.at_word("is") {
        if let Some(diagnostic) = c.missing("`is`") {
            c.report(
                diagnostic
                    .help(format!("write which domain it stands for: `{} is example.com`", alias.value)),
            );
        }
        return None;
    }
    c.bump();
    let domain = c.expect_word("a domain")?;
    Some(DomainAlias { alias, domain })
}

fn relay_domain(c: &mut Cursor<'_>) -> Option<RelayDomain> {
    let domain = c.expect_word("a domain")?;
    let via = if c.eat_word("via").is_some() { Some(c.expect_word("a relay's name or `mx`")?) } else { None };
    let recipients = if c.eat_word("recipients").is_some() { Some(recipients(c)?) } else { None };
    // A word that is no domain is no entry of which only the comma is missing.
    let next = c.peek().filter(|t| t.kind == TokenKind::Word && !t.text.contains('.'));
    if let Some(token) = next.filter(|_| !c.starts_line(0)) {
        let message = format!("`{}` does not belong behind this domain", short(token.text));
        let help = format!("write `{0}`, `{0} via RELAY` or `{0} recipients ask`", domain.value);
        c.report(Diagnostic::error("E0017", message, token.span).help(help));
        return None;
    }
    Some(RelayDomain { domain, via, recipients })
}

fn recipients(c: &mut Cursor<'_>) -> Option<Spanned<Recipients>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Which {
        Known,
        Ask,
        Any,
    }
    let words_ = [("known", Which::Known), ("ask", Which::Ask), ("any", Which::Any)];
    let which = c.choice("value of `recipients`", &words_)?;
    let value = match which.value {
        Which::Known if c.eat_word("in").is_some() => Recipients::Known(words(c, "the name of a list")?),
        Which::Known => Recipients::Known(Vec::new()),
        Which::Ask => Recipients::Ask,
        Which::Any => Recipients::Any,
    };
    Some(Spanned::new(value, c.since(which.span)))
}

/// `slow after 10, close after 20`
fn errors(c: &mut Cursor<'_>) -> Option<SettingValue> {
    let (mut slow, mut close) = (None, None);
    loop {
        let slower = c.at_word("slow") && slow.is_none();
        let closer = c.at_word("close") && close.is_none();
        if !slower && !closer {
            if let Some(diagnostic) = c.missing("`slow after` or `close after` and a number") {
                c.report(diagnostic.help("write `errors slow after 10, close after 20`"));
            }
            return None;
        }
        c.bump();
        c.expect_keyword("after")?;
        let number = Some(count(c, "a number")?);
        if slower {
            slow = number
        } else {
            close = number
        }
        if c.eat(TokenKind::Comma).is_none() && !c.at_word("slow") && !c.at_word("close") {
            return Some(SettingValue::Errors { slow, close });
        }
    }
}
