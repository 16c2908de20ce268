//! Putting a message that must not be edited into a message of its own.
//!
//! The outer message keeps the header fields and gets `multipart/mixed` as its type; its first part is the
//! disclaimer, its second the original as `message/rfc822`: a copy of its header and the body where it lies, not
//! a byte of it changed, so that signatures still hold for whoever opens it.

use super::check::{has_boundary, in_order};
use super::encode;
use super::{Edit, Order, Untouched, marker, render};
use crate::header::{self, Fields};
use crate::limits::MAX_LINE;
use crate::mime::Tree;
use crate::param::Structured;

/// Fields of the outer message that are not part of the inner one: its way here, and what only the first reader may see.
const TRACE: &[&str] =
    &["received", "return-path", "delivered-to", "bcc", "dkim-signature", "authentication-results"];

/// Edits that wrap the message. `orders` are the disclaimers, in order.
pub(super) fn wrap(
    message: &[u8],
    head: &Fields<'_>,
    tree: &Tree,
    orders: &[&Order<'_>],
) -> Result<Vec<Edit>, Untouched> {
    let root = tree.parts.first().ok_or(Untouched::Malformed)?;
    if root.body.start <= root.header.end {
        return Err(Untouched::Malformed);
    }
    let eol = header::line_end(message);
    let body = message.get(head.body..).unwrap_or_default();
    let boundary = boundary(message).ok_or(Untouched::Check)?;
    let eight = !message.is_ascii();
    let transfer = if eight { "8bit" } else { "7bit" };

    let mut edits = Vec::new();
    for field in &head.fields {
        let content = field.name.get(..8).is_some_and(|n| n.eq_ignore_ascii_case(b"content-"));
        if content || field.is("mime-version") {
            edits.push(Edit { range: field.range.clone(), bytes: Vec::new() });
        }
    }
    let outer = format!(
        "MIME-Version: 1.0{eol}Content-Type: multipart/mixed;{eol} boundary=\"{boundary}\"{eol}\
         Content-Transfer-Encoding: {transfer}{eol}"
    );
    edits.push(Edit { range: root.header.end..root.header.end, bytes: outer.into_bytes() });

    let mut inner = Vec::new();
    inner.extend_from_slice(format!("--{boundary}{eol}").as_bytes());
    inner.extend(first_part(orders, eol)?);
    let description = format!(
        "{eol}--{boundary}{eol}Content-Type: message/rfc822{eol}Content-Transfer-Encoding: {transfer}{eol}\
         Content-Disposition: inline{eol}{eol}"
    );
    inner.extend_from_slice(description.as_bytes());
    for field in head.fields.iter().filter(|f| !TRACE.iter().any(|t| f.is(t))) {
        inner.extend_from_slice(message.get(field.range.clone()).unwrap_or_default());
    }
    inner.extend_from_slice(eol.as_bytes());
    if inner.split(|b| *b == b'\n').any(|l| l.len() > MAX_LINE + 1) && lines_fit(message, head) {
        return Err(Untouched::Check);
    }
    edits.push(Edit { range: head.body..head.body, bytes: inner });
    let close = if body.ends_with(b"\n") { "" } else { eol };
    let end = format!("{close}{eol}--{boundary}--{eol}");
    edits.push(Edit { range: message.len()..message.len(), bytes: end.into_bytes() });
    if in_order(&edits, message.len()) { Ok(edits) } else { Err(Untouched::Check) }
}

/// Whether the header that is copied had no overlong line of its own.
fn lines_fit(message: &[u8], head: &Fields<'_>) -> bool {
    let header = message.get(..head.body).unwrap_or_default();
    header.split(|b| *b == b'\n').all(|l| l.len() <= MAX_LINE + 1)
}

/// The disclaimer as a part of its own: plain text, UTF-8, quoted-printable.
fn first_part(orders: &[&Order<'_>], eol: &str) -> Result<Vec<u8>, Untouched> {
    let texts: Vec<String> = orders.iter().map(|o| render::plain(o, &Structured::default(), eol)).collect();
    let text = texts.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(&format!("{eol}{eol}"));
    if text.is_empty() {
        return Err(Untouched::Empty);
    }
    let mut out = format!(
        "Content-Type: text/plain; charset=utf-8{eol}Content-Transfer-Encoding: quoted-printable{eol}\
         Content-Disposition: inline{eol}{eol}"
    )
    .into_bytes();
    out.extend(encode::quoted(text.as_bytes(), 0, eol));
    out.extend_from_slice(eol.as_bytes());
    Ok(out)
}

/// A boundary that no line of the message begins with. The same message always gets the same one.
fn boundary(message: &[u8]) -> Option<String> {
    let seed = marker::fnv(message);
    (0..16_u64).map(|n| format!("=_edict_{:016x}", seed.wrapping_add(n))).find(|b| !has_boundary(message, b))
}
