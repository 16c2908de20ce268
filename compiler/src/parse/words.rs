//! The closed sets of words of the grammar, and the nearest of them to a mistyped one.

/// The names of settings.
pub const SETTINGS: &[&str] = &[
    "hostname",
    "banner",
    "local-domains",
    "domain-aliases",
    "relay-domains",
    "recipients",
    "trusted-networks",
    "postmaster",
    "time-zone",
    "max-message-size",
    "max-attachment-size",
    "max-recipients",
    "max-hops",
    "auth",
    "auth-without-tls",
    "auth-for-trusted",
    "sender-must",
    "auto-forwarding",
    "forward-sender",
    "helo",
    "vrfy",
    "envelope-syntax",
    "pipelining",
    "errors",
    "junk-commands",
];

/// The candidate nearest to a word, where one is near enough to be meant: at most a third of its
/// letters differ. Distance is optimal string alignment, case aside; long words are not compared.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 40;
    let word: Vec<char> = word.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    if word.len() > LONGEST || word.is_empty() {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other: Vec<char> = candidate.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
        let allowed = (word.len().max(other.len()) / 3).max(1);
        if word.len().abs_diff(other.len()) > allowed {
            continue;
        }
        let distance = distance(&word, &other);
        if distance <= allowed && distance < word.len() && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Edits between two words: insert, delete, replace, swap neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let at = |row: &[usize], i: usize| row.get(i).copied().unwrap_or(usize::MAX / 2);
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut cost =
                (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                cost = cost.min(at(&before_last, j - 1) + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far() {
        for (word, want) in [
            ("hostnme", Some("hostname")),
            ("Banner", Some("banner")),
            ("atuh", Some("auth")),
            ("max_hops", Some("max-hops")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, SETTINGS.iter().copied()), want, "{word}");
        }
    }
}
