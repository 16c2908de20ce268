//! Where in a leaf a disclaimer stands, and the blank lines around it.

use super::leaf::{Insertion, Leaf};
use super::{Order, Untouched, render};
use crate::html::{self, Token};

/// The place at the end of what a leaf shows.
pub(super) fn end(leaf: &Leaf<'_>) -> Result<usize, Untouched> {
    if leaf.html { html_end(leaf.view()).ok_or(Untouched::Malformed) } else { Ok(leaf.view().len()) }
}

/// The insertion of one disclaimer into a leaf, above what is quoted from `above` on or at the end. `message_eol`
/// is the message's line end.
pub(super) fn insertion(
    leaf: &Leaf<'_>,
    order: &Order<'_>,
    above: Option<usize>,
    message_eol: &'static str,
) -> Result<Insertion, Untouched> {
    let eol = leaf.eol(message_eol);
    let view = leaf.view();
    if leaf.html {
        let at = above.map_or_else(|| end(leaf), Ok)?;
        return Ok(Insertion { at, text: render::element(order, eol) });
    }
    let text = render::plain(order, &leaf.part.content, eol);
    Ok(match above {
        Some(at) => {
            let before = view.get(..at).unwrap_or_default();
            let blank = if ends_blank(before) { "" } else { eol };
            Insertion { at, text: format!("{blank}{text}{eol}{eol}") }
        }
        None => {
            let ended = view.ends_with(b"\n");
            let gap = match (view.trim_ascii().is_empty(), ended) {
                (true, _) if view.is_empty() || ended => String::new(),
                (false, true) if ends_blank(view) => String::new(),
                (_, true) => eol.to_owned(),
                (_, false) => format!("{eol}{eol}"),
            };
            // A message of one part ends with a line end; a part inside a multipart has its delimiter's.
            let close = if ended || (view.is_empty() && leaf.part.parent.is_none()) { eol } else { "" };
            Insertion { at: view.len(), text: format!("{gap}{text}{close}") }
        }
    })
}

/// Whether text ends with a blank line, or is empty.
fn ends_blank(text: &[u8]) -> bool {
    let Some(text) = text.strip_suffix(b"\n") else { return text.is_empty() };
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    text.is_empty() || text.ends_with(b"\n")
}

/// The end of what an HTML body shows: before the last `</body>`, else before the last `</html>`, else the
/// end. `None` where the end lies inside a comment, a tag or a script, so that nothing put there would be seen.
fn html_end(html: &[u8]) -> Option<usize> {
    let (mut body, mut document, mut cut) = (None, None, false);
    for token in html::tokens(html) {
        match token {
            Token::Tag { range, name, close: true } => {
                let name = html.get(name).unwrap_or_default();
                if name.eq_ignore_ascii_case(b"body") {
                    body = Some(range.start);
                } else if name.eq_ignore_ascii_case(b"html") {
                    document = Some(range.start);
                }
            }
            Token::Hidden { cut: true, .. } => cut = true,
            _ => {}
        }
    }
    match body.or(document) {
        Some(at) => Some(at),
        None if cut => None,
        None => Some(html.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_ends() {
        for (html, before) in [
            ("<p>a</p></body></html>tail", Some("</body></html>tail")),
            ("<p>a</p></html>tail", Some("</html>tail")),
            ("<p>a", Some("")),
            ("", Some("")),
            ("a</BODY ><!-- </body> -->", Some("</BODY ><!-- </body> -->")),
            ("<script>'</body>'</script>a</body>", Some("</body>")),
            ("<body>a</body><body>b</body>", Some("</body>")),
            ("a<!-- open", None),
            ("a<style>", Some("")),
            ("a<style>p{}", None),
        ] {
            let want = before.map(|b| html.len() - b.len());
            assert_eq!(html_end(html.as_bytes()), want, "{html}");
        }
    }
}
