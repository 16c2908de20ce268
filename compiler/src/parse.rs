//! Tokens to a lossless [`Tree`] and its typed reading, the [`Ast`].
//!
//! The only parser: the compiler, `fmt`, fixes and editors share it. One pass over the tokens makes both, so that
//! they cannot disagree. Never fails and never gives up: a mistake has one diagnostic, and reading goes on at
//! the next clause or the next item. Words mean nothing yet; `resolve` says what they are.
//!
//! Limits: conditions nest at most [`MAX_NESTING`](crate::ast::MAX_NESTING) deep, which bounds all recursion
//! there is; files and diagnostics are bounded by the lexer. Time is linear in the file.
//!
//! # Grammar
//! White space and comments may stand between any two tokens; a line end is white space. Between a number and the unit or `%`
//! behind it there may be none.
//! ```text
//! file        = "edict" NUMBER { item } ;
//! item        = "import" TEXT
//!             | "profile" "{" { setting } "}"
//!             | "list" WORD ":" list-type ( "=" set | "from" TEXT )
//!             | "group" WORD "=" set
//!             | "alias" WORD "=" set [ "{" { alias-part } "}" ]
//!             | "aliases" "from" TEXT
//!             | "relay" WORD "{" { relay-part } "}"
//!             | rule-kind TEXT "{" { clause } "}"
//!             | "test" TEXT "{" { test-part } "}" ;
//! list-type   = "address" | "domain" | "network" | "text" ;
//! rule-kind   = "allow" | "reject" | "defer" | "hold" | "discard"
//!             | "limit" | "bcc" | "quota" | "disclaimer" | "route" ;
//! set         = "[" [ entry { "," entry } [ "," ] ] "]" | entry ;
//! entry       = value | "group" WORD ;
//! value       = WORD | TEXT | NUMBER [ unit ] ;
//! unit        = "B" | "KB" | "MB" | "GB" | "TB" | "KiB" | "MiB" | "GiB" | "TiB" | "s" | "min" | "h" | "d" ;
//!
//! setting     = "hostname" WORD | "banner" TEXT | "time-zone" TEXT
//!             | ( "local-domains" | "trusted-networks" | "postmaster" | "notice-copies" ) set
//!             | "domain-aliases" "[" [ WORD "is" WORD { "," WORD "is" WORD } [ "," ] ] "]"
//!             | "relay-domains" "[" [ relay-domain { "," relay-domain } [ "," ] ] "]"
//!             | "recipients" recipients
//!             | ( "max-message-size" | "max-attachment-size" ) value
//!             | ( "max-recipients" | "max-hops" | "junk-commands" ) value
//!             | "auth" ( "off" | "optional" | "required" )
//!             | "auth-without-tls" ( "forbidden" | "allowed" )
//!             | "auth-for-trusted" ( "skipped" | "required" )
//!             | "sender-must" ( "be-anything" | "equal-login" | "own-address" )
//!             | "auto-forwarding" ( "on" | "off" ) [ "except" set ]
//!             | "forward-sender" ( "srs" | "keep" )
//!             | "helo" ( "required" | "optional" ) | "vrfy" ( "on" | "off" )
//!             | ( "envelope-syntax" | "pipelining" ) ( "strict" | "lenient" )
//!             | "errors" after { [ "," ] after } ;
//! relay-domain = WORD [ "via" WORD ] [ "recipients" recipients ] ;
//! recipients  = "known" [ "in" words ] | "ask" | "any" ;
//! words       = "[" [ WORD { "," WORD } [ "," ] ] "]" | WORD ;
//! after       = ( "slow" | "close" ) "after" NUMBER ;
//!
//! clause      = "priority" NUMBER | "when" condition | "unless" condition
//!             | "mode" ( "enforce" | "audit" | "off" ) | "note" TEXT
//!             | "active" [ "from" DATE ] [ "until" DATE ]            (one of the two at least)
//!             | "reply" [ CODE ] [ CLASS ] [ TEXT ]                   reject, defer, limit, quota
//!             | "per" ( "client.ip" | "rule" )                        limit
//!             | "at" "most" NUMBER ( "connections" | "messages" )
//!               ( "at" "once" | "per" ( "second" | "minute" | "hour" | "day" | NUMBER unit ) )     limit
//!             | "per" ( "user" | "sender" | "sender.domain" | "rule" )                             quota
//!             | "at" "most" quantity "per" [ "rolling" ] "day" | "warn" "at" NUMBER "%"            quota
//!             | "to" set | "copy" ( "original" | "modified" ) | "record" "envelope"                bcc
//!             | "text" TEXT | "html" TEXT | "place" ( "end" | "above-quote" )                      disclaimer
//!             | "replies" ( "once" | "always" | "never" )                                          disclaimer
//!             | "signed" ( "skip" | "wrap" | "reject" ) | "continue"                               disclaimer
//!             | "via" WORD | "local" ( "yes" | "no" ) ;                                            route
//! quantity    = NUMBER ( "messages" | "recipients" ) | NUMBER size-unit ;
//! alias-part  = "owner" WORD | "may-send" set | "note" TEXT ;
//! relay-part  = "host" set | "credentials" TEXT | "note" TEXT
//!             | "tls" ( "off" | "opportunistic" | "required" | "verified" | "implicit" ) ;
//!
//! condition   = all { "or" all } ;
//! all         = one { "and" one } ;
//! one         = "not" one | "(" condition ")" | test ;
//! test        = WORD [ "(" TEXT ")" ] [ operator ] ;
//! operator    = "is" [ "not" ] ( value | "present" | "absent" | "listed" "in" TEXT )
//!             | [ "not" ] "in" ( WORD | "group" WORD | "[" … "]" )
//!             | ( "contains" | "starts" "with" | "ends" "with" ) ( value | "any" "of" ( WORD | "[" … "]" ) )
//!             | "matches" ( TEXT | REGEX )
//!             | ( "<" | "<=" | ">" | ">=" ) value ;
//!
//! test-part   = ( "client" | "client-name" | "helo" ) WORD | "helo" "[" WORD "]" | "tls" ( "yes" | "no" | "on" | "off" )
//!             | "spf" ( result | "softfail" | "neutral" ) | "dmarc" result | "dkim" words
//!             | "login" value | "sender" ( WORD | "<>" ) | "recipient" words
//!             | ( "header" | "body" | "message" | "note" ) TEXT | "size" value | "time" DATE
//!             | "dns" TEXT "answers" ( "nothing" | "failure" | record | "[" record { "," record } "]" )
//!             | "usage" quantity
//!             | "expect" expectation { expectation } ;
//! result      = "none" | "pass" | "fail" | "temperror" | "permerror" ;
//! record      = value | ( "mx" | "ptr" ) value | "txt" value ;
//! expectation = "accept" | "allow" | "hold" | "discard" | ( "reject" | "defer" ) [ CODE ]
//!             | "by" TEXT | "at" ( "connect" | "mail" | "rcpt" | "data" | "end-of-data" ) | "reply" TEXT
//!             | ( "recipients" | "bcc" | "disclaimer" | "quota" | "route" ) set
//!             | "no" ( "recipients" | "bcc" | "disclaimer" | "quota" | "route" )
//!             | "for" WORD ;
//! ```

mod block;
mod condition;
mod cursor;
mod foreign;
mod item;
mod list;
mod operator;
pub mod opposite;
mod reply;
mod rule;
mod search;
mod setting;
mod statement;
mod testing;
mod value;
pub mod words;

#[cfg(test)]
mod tests;

pub use item::EDITION;

use crate::ast::Ast;
use crate::diag::Diagnostic;
use crate::lex::lex;
use crate::span::FileId;
use crate::tree::Tree;

/// What parsing came to.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// Every byte of the file.
    pub tree: Tree,
    /// What could be read.
    pub ast: Ast,
    /// Syntax errors in the order of the text, a bounded number of them.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses one rule file. Never fails: what cannot be read has a diagnostic and is left out.
#[must_use]
pub fn parse(file: FileId, bytes: &[u8]) -> Parsed {
    let lexed = lex(file, bytes);
    let mut ast = Ast { file, ..Ast::default() };
    let mut cursor = cursor::Cursor::new(file, &lexed);
    item::file(&mut cursor, &mut ast);
    let (tree, settled) = cursor.finish();
    ast.partial |= settled.heads;
    ast.damaged = settled.damaged;
    Parsed { tree, ast, diagnostics: settled.diagnostics }
}
