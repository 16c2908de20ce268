//! What stands at the top level of a file, apart from rules, profile and tests.

use super::block::{block, reserved, starts_item, to_item};
use super::cursor::{Cursor, named, short};
use super::list::{entries, some_entries};
use super::words::{ITEMS, RESERVED, items_with, meant, nearest};
use super::{rule, setting, testing};
use crate::ast::{Alias, Aliases, Ast, Group, Import, Item, List, ListBody, ListType, Relay, Spanned};
use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::parse::opposite::Likely as _;
use crate::span::Span;
use crate::tree::NodeKind;
use edict_table::model::RelayTls;

/// The edition this compiler knows.
pub const EDITION: u32 = 1;

/// Reads the whole file.
pub(super) fn file(c: &mut Cursor<'_>, ast: &mut Ast) {
    let before = c.taken();
    ast.edition = c.node(NodeKind::Edition, edition);
    // A later edition may mean anything by the rest.
    if ast.edition.is_none() && c.taken() > before {
        while c.peek().is_some() {
            to_item(c);
        }
        ast.partial = true;
        return;
    }
    while c.peek().is_some() {
        match item(c) {
            Some(item) => {
                // The name may not be the one that was meant.
                ast.partial |= matches!(&item, Item::List(list) if list.ty.is_none() && list.body.is_none())
                    || matches!(&item, Item::Group(group) if group.members.is_none());
                ast.items.push(item);
            }
            None => ast.partial = true,
        }
    }
    ast.partial |= c.cut();
}

fn edition(c: &mut Cursor<'_>) -> Option<Spanned<u32>> {
    let Some(keyword) = c.eat_word("edict") else {
        if !c.cut() {
            let start = c.peek().map_or(c.last_span(), |t| t.span);
            // The word or the number alone, mistyped or not, is the edition and no item.
            let own = c
                .word()
                .is_some_and(|word| !ITEMS.contains(&word) && c.nth(1).is_some_and(|t| t.is_word("1")));
            let near = own || c.word().is_some_and(|word| nearest(word, ["edict"]).is_some());
            let number = c.nth(usize::from(near)).is_some_and(|t| t.is_word("1"));
            if number {
                let last = if near { c.bump().map_or(start, |_| start) } else { start };
                let span = c.bump().map_or(last, |t| start.to(t.span));
                let diagnostic = Diagnostic::error("E0010", "the file does not say its edition", span)
                    .help("write `edict 1` as its first line")
                    .fix("write `edict 1`", span, "edict 1");
                c.report(diagnostic);
                return Some(Spanned::new(EDITION, span));
            }
            let insert = Span { end: start.start, ..start };
            let diagnostic = Diagnostic::error("E0010", "the file does not say its edition", start)
                .help("write `edict 1` as its first line")
                .fix("write `edict 1`", insert, "edict 1\n\n");
            c.report(diagnostic);
        }
        return None;
    };
    let number = c.peek().filter(|t| t.kind == TokenKind::Word && (!c.starts_line(0) || t.text == "1"));
    let Some(token) = number else {
        let diagnostic = Diagnostic::error("E0010", "`edict` has no edition behind it", keyword);
        c.report(diagnostic.help("write `edict 1`").fix("write `edict 1`", keyword, "edict 1"));
        return Some(Spanned::new(EDITION, keyword));
    };
    c.bump();
    if token.text == "1" {
        return Some(Spanned::new(EDITION, c.since(keyword)));
    }
    let diagnostic =
        Diagnostic::error("E0011", format!("edition `{}` is not known", short(token.text)), token.span)
            .label("this compiler knows edition 1")
            .help("write `edict 1`, or use a newer compiler");
    c.report(diagnostic);
    None
}

fn item(c: &mut Cursor<'_>) -> Option<Item> {
    let token = c.peek()?;
    if c.starts_line(0) || ITEMS.contains(&token.text) {
        c.starts_here(true);
    }
    if token.kind != TokenKind::Word {
        let close =
            matches!(token.kind, TokenKind::CloseBrace | TokenKind::CloseBracket | TokenKind::CloseParen);
        if close {
            let diagnostic = Diagnostic::error(
                "E0019",
                format!("nothing is open that this `{}` closes", token.text),
                token.span,
            );
            c.report(
                diagnostic.help("remove it, or write the opening one where its block or list begins").fix(
                    "remove it",
                    token.span,
                    "",
                ),
            );
            c.node(NodeKind::Error, |c| c.bump());
            return None;
        }
        let message = format!("expected an item such as `list` or `reject`, found {}", named(token));
        let diagnostic = Diagnostic::error("E0017", message, token.span);
        c.report(if token.kind == TokenKind::Comma {
            diagnostic.help("several values stand in brackets, as in `[a, b]`")
        } else {
            diagnostic.help("at this place a keyword stands first, as in `reject \"name\" { ... }` or `list name: address = [...]`")
        });
        to_item(c);
        return None;
    }
    let known = ITEMS.iter().copied().find(|item| *item == token.text);
    let Some(keyword) = known.or_else(|| unknown(c)) else {
        to_item(c);
        return None;
    };
    c.open(NodeKind::Item);
    c.bump();
    // A list may well be named `list`.
    let head = if matches!(keyword, "list" | "group" | "relay") {
        c.nth(1).is_some_and(|t| t.kind == TokenKind::Word && !c.starts_line(1))
    } else {
        true
    };
    if head {
        c.doubled(keyword);
    }
    let item = match keyword {
        "import" => import(c, token.span),
        "profile" => setting::profile(c, token.span),
        "list" => list(c, token.span),
        "group" => group(c, token.span),
        "alias" => alias(c, token.span),
        "aliases" => aliases(c, token.span),
        "relay" => relay(c, token.span),
        "test" => testing::test(c, token.span),
        _ => rule::rule(c, keyword, token.span),
    };
    c.item_ends(token.span);
    c.close();
    // A head that could not be read leaves the rest of its item behind.
    if c.broken_since(token.span) && c.peek().is_some() && !starts_item(c) && !c.flush_left() {
        to_item(c);
    }
    item
}

/// Reports a word that is no item. Answers the item that is surely meant, to read on with it.
fn unknown(c: &mut Cursor<'_>) -> Option<&'static str> {
    let token = c.peek()?;
    let (word, span) = (token.text, token.span);
    if word == "edict" {
        let diagnostic =
            Diagnostic::error("E0010", "the edition stands in the first line of a file, once", span)
                .help("take this one out");
        c.report(diagnostic);
        return None;
    }
    if let Some((_, today)) = RESERVED.iter().find(|(reserved, _)| *reserved == word) {
        c.report(reserved(word, span, today));
        return None;
    }
    let head = c.nth(1).is_some_and(|t| !matches!(t.kind, TokenKind::CloseBrace));
    // What follows tells which sort of item it can be.
    let sort: Vec<&'static str> = match c.nth(1).map(|t| t.kind) {
        Some(TokenKind::Text | TokenKind::Block) => ITEMS
            .iter()
            .copied()
            .filter(|item| !matches!(*item, "profile" | "list" | "group" | "alias" | "aliases" | "relay"))
            .collect(),
        _ => ITEMS.to_vec(),
    };
    if let Some(meant) = meant(word, &sort).filter(|_| head && items_with(word).next().is_none()) {
        let diagnostic = Diagnostic::error("E0012", format!("unknown item `{}`", short(word)), span)
            .label(format!("did you mean `{meant}`?"))
            .help(format!("write `{meant}`"))
            .nearest(word, meant, span, meant);
        c.report(diagnostic);
        return Some(meant);
    }
    // What a comment of another language took along was told: `; profile {`.
    if items_with(word).next().is_some() && c.swallowed(Span { start: 0, end: 0, ..span }, '{') {
        return None;
    }
    let diagnostic = if items_with(word).next().is_some() {
        Diagnostic::error("E0012", format!("`{word}` stands outside of any block"), span)
            .label("not inside `{ … }`")
            .help("a `}` before it may be one too many")
    } else {
        let items: Vec<String> = ITEMS.iter().map(|item| format!("`{item}`")).collect();
        Diagnostic::error("E0012", format!("unknown item `{}`", short(word)), span)
            .help(format!("items are {}", items.join(", ")))
    };
    c.report(diagnostic);
    None
}

fn import(c: &mut Cursor<'_>, keyword: Span) -> Option<Item> {
    let path = c.expect_text("a file's name in quotes")?;
    Some(Item::Import(Import { path, span: c.since(keyword) }))
}

fn aliases(c: &mut Cursor<'_>, keyword: Span) -> Option<Item> {
    if c.eat_word("from").is_none() {
        if let Some(diagnostic) = c.missing("`from`") {
            let diagnostic = diagnostic.help("write `aliases from \"aliases.txt\"`");
            let behind = Span { start: keyword.end, ..keyword };
            let path = c.peek().is_some_and(|t| t.kind == TokenKind::Text);
            c.report(if path { diagnostic.fix("write `from`", behind, " from") } else { diagnostic });
        }
        return None;
    }
    let path = c.expect_text("a file's name in quotes")?;
    Some(Item::Aliases(Aliases { path, span: c.since(keyword) }))
}

fn list(c: &mut Cursor<'_>, keyword: Span) -> Option<Item> {
    let name = c.expect_word("the list's name")?;
    let mut list = List { name, ty: None, body: None, broken: false, span: keyword };
    list_body(c, &mut list);
    list.span = c.since(keyword);
    list.broken = c.broken_since(keyword);
    Some(Item::List(list))
}

fn list_body(c: &mut Cursor<'_>, list: &mut List) -> Option<()> {
    if c.eat(TokenKind::Colon).is_none() {
        let diagnostic = c.missing("`:` and the list's type").map(|d| {
            d.help("write what the list holds: `list NAME: address = […]`; types are `address`, `domain`, `network`, `text`")
        });
        if let Some(diagnostic) = diagnostic {
            c.report(diagnostic);
        }
        return None;
    }
    let types = [
        ("address", ListType::Address),
        ("domain", ListType::Domain),
        ("network", ListType::Network),
        ("text", ListType::Text),
    ];
    list.ty = c.choice("type of a list", &types);
    if c.eat_word("from").is_some() {
        list.body = Some(ListBody::From(c.expect_text("a file's name in quotes")?));
    } else if c.eat(TokenKind::Equals).is_some() {
        list.body = Some(ListBody::Inline(entries(c, "an entry")?));
    } else if list.ty.is_some() {
        c.expected("`= […]` or `from \"file\"`");
    }
    Some(())
}

/// `= […]`
fn members(c: &mut Cursor<'_>, help: &str) -> Option<crate::ast::Entries> {
    if c.eat(TokenKind::Equals).is_none() {
        if let Some(diagnostic) = c.missing("`=` and `[…]`") {
            c.report(diagnostic.help(help));
        }
        return None;
    }
    entries(c, "an address")
}

fn group(c: &mut Cursor<'_>, keyword: Span) -> Option<Item> {
    let name = c.expect_word("the group's name")?;
    let members = members(
        c,
        "write `group NAME = [ann@example.com, bob@example.com]`: groups hold addresses, so no type is written",
    );
    let broken = c.broken_since(keyword);
    Some(Item::Group(Group { name, members, broken, span: c.since(keyword) }))
}

fn alias(c: &mut Cursor<'_>, keyword: Span) -> Option<Item> {
    let address = c.expect_word("the alias's address")?;
    let members = members(
        c,
        "write `= [ann@example.com, bob@example.com]`; an aliases(5) file is read by `aliases from \"aliases.txt\"`",
    );
    let mut alias =
        Alias { address, members, owner: None, may_send: None, note: None, broken: false, span: keyword };
    if c.at_kind(TokenKind::OpenBrace) {
        block(c, "alias", |c, clause| {
            match clause {
                "owner" => alias.owner = Some(c.expect_word("an address")?),
                "may-send" => alias.may_send = Some(entries(c, "an address")?),
                _ => alias.note = Some(c.expect_text("a text")?),
            }
            Some(())
        });
    }
    let part =
        c.peek().filter(|t| t.kind == TokenKind::Word && super::words::clauses("alias").contains(&t.text));
    if let Some(token) = part.filter(|_| !c.flush_left()) {
        let mut shown = token.text.to_owned();
        if let Some(next) = c.nth(1).filter(|t| t.kind == TokenKind::Word) {
            shown = format!("{shown} {}", short(next.text));
        } else {
            shown.push_str(" ...");
        }
        let diagnostic =
            Diagnostic::error("E0017", format!("`{}` of an alias stands in a block", token.text), token.span)
                .label("no `{` before it")
                .help(format!("write `{{ {shown} }}` behind the members"));
        c.report(diagnostic);
    }
    alias.span = c.since(keyword);
    alias.broken = c.broken_since(keyword);
    Some(Item::Alias(alias))
}

fn relay(c: &mut Cursor<'_>, keyword: Span) -> Option<Item> {
    let name = c.expect_word("the relay's name");
    let mut relay = Relay {
        name: name.clone().unwrap_or(Spanned::new(String::new(), keyword)),
        hosts: None,
        tls: None,
        credentials: None,
        note: None,
        broken: false,
        span: keyword,
    };
    let seen = block(c, "relay", |c, clause| {
        match clause {
            "host" => relay.hosts = Some(some_entries(c, "a host")?),
            "tls" => {
                let words = [
                    ("off", RelayTls::Off),
                    ("opportunistic", RelayTls::Opportunistic),
                    ("required", RelayTls::Required),
                    ("verified", RelayTls::Verified),
                    ("implicit", RelayTls::Implicit),
                ];
                relay.tls = Some(c.choice("value of `tls`", &words)?);
            }
            "credentials" => relay.credentials = Some(c.expect_text("a name from edictd.ron in quotes")?),
            _ => relay.note = Some(c.expect_text("a text")?),
        }
        Some(())
    });
    relay.span = c.since(keyword);
    relay.broken = c.broken_since(keyword);
    if !relay.broken && seen.block && !seen.has("host") {
        let diagnostic = Diagnostic::error("E0030", "this `relay` has no `host`", keyword);
        c.report(diagnostic.help("write `host [smtp.provider.example:587]` in its block"));
    }
    name.map(|_| Item::Relay(relay))
}
