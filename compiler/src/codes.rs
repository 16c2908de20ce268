//! The page behind each code: what it means, an example that is wrong, and the same put right.

/// The page of a code, in Markdown; none where there is no such code.
#[must_use]
pub fn page(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, page)| *page)
}

/// Every code with its page, sorted.
pub const PAGES: &[(&str, &str)] = &[];
