//! The closed sets of words of the grammar, and the nearest of them to a mistyped one.

use super::opposite::answers;

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
    "notice-copies",
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

/// The keywords of items.
pub const ITEMS: &[&str] = &[
    "import",
    "profile",
    "list",
    "group",
    "alias",
    "aliases",
    "allow",
    "reject",
    "defer",
    "hold",
    "discard",
    "limit",
    "bcc",
    "quota",
    "disclaimer",
    "relay",
    "route",
    "test",
];

/// The clauses of an item by its keyword, each by its first word; none for an item without a block.
#[must_use]
pub fn clauses(item: &str) -> &'static [&'static str] {
    match item {
        "profile" => SETTINGS,
        "allow" | "hold" | "discard" => &["priority", "when", "unless", "mode", "active", "note"],
        "reject" | "defer" => &["priority", "when", "unless", "reply", "mode", "active", "note"],
        "limit" => &["priority", "per", "at", "when", "unless", "reply", "mode", "active", "note"],
        "bcc" => &["priority", "when", "unless", "to", "copy", "record", "mode", "active", "note"],
        "quota" => &["priority", "per", "at", "warn", "when", "unless", "reply", "mode", "active", "note"],
        "disclaimer" => &[
            "priority", "when", "unless", "text", "html", "place", "replies", "signed", "continue", "mode",
            "active", "note",
        ],
        "route" => &["priority", "when", "unless", "via", "local", "mode", "active", "note"],
        "relay" => &["host", "tls", "credentials", "note"],
        "alias" => &["owner", "may-send", "note"],
        "test" => &[
            "client",
            "client-name",
            "helo",
            "tls",
            "spf",
            "dmarc",
            "dkim",
            "login",
            "sender",
            "recipient",
            "header",
            "body",
            "message",
            "size",
            "time",
            "dns",
            "usage",
            "expect",
            "note",
        ],
        _ => &[],
    }
}

/// Whether a clause may stand several times in its item.
#[must_use]
pub fn repeats(clause: &str) -> bool {
    matches!(clause, "when" | "unless" | "at" | "recipient" | "header" | "dkim" | "dns" | "usage" | "expect")
}

/// The items that have a clause of this name.
pub fn items_with(clause: &str) -> impl Iterator<Item = &'static str> {
    ITEMS.iter().copied().filter(move |item| clauses(item).contains(&clause))
}

/// Words kept for later editions, each with what is there today.
pub const RESERVED: &[(&str, &str)] = &[
    ("redirect", "an `alias` sends mail to another address, a `route` to another host"),
    ("add", "this edition adds no header; a `disclaimer` adds a text"),
    ("prepend", "this edition adds no header; a `disclaimer` adds a text"),
    ("tag", "this edition leaves the subject as it is"),
    ("quarantine", "`hold` keeps a message in the queue until someone releases it"),
    ("greylist", "`defer` answers with 4xx; `limit` slows a client down"),
    ("filter", "a rule tests headers and body itself: `when body contains \"…\"`"),
    ("milter", "a rule tests headers and body itself: `when body contains \"…\"`"),
    ("rewrite", "`domain-aliases` in the profile stands for one domain by another"),
    ("masquerade", "`domain-aliases` in the profile stands for one domain by another"),
    ("vacation", "answers belong to the mailbox"),
    ("arc", "`dkim.domain`, `spf` and `dmarc` can be tested"),
];

/// What a habit of other languages is in this one.
pub const HABITS: &[(&str, &str)] = &[
    ("include", "import"),
    ("accept", "allow"),
    ("permit", "allow"),
    ("whitelist", "allow"),
    ("pass", "allow"),
    ("deny", "reject"),
    ("block", "reject"),
    ("refuse", "reject"),
    ("blacklist", "reject"),
    ("drop", "discard"),
    ("tempfail", "defer"),
    ("if", "when"),
    ("where", "when"),
    ("except", "unless"),
    ("if-not", "unless"),
    ("message", "reply"),
    ("prio", "priority"),
    ("comment", "note"),
    ("description", "note"),
    ("set", "list"),
    ("from", "sender"),
    ("to", "recipient"),
    ("rcpt", "recipient"),
    ("user", "login"),
    ("ok", "accept"),
    ("deliver", "accept"),
    ("assert", "expect"),
    ("server", "host"),
    ("hosts", "host"),
];

/// The word of a set that a mistyped or foreign word probably means.
#[must_use]
pub fn meant<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let habit = HABITS.iter().find(|(other, _)| *other == lower).map(|(_, ours)| *ours);
    let habit = habit.and_then(|ours| candidates.iter().copied().find(|c| *c == ours));
    habit.or_else(|| nearest(word.trim_end_matches(':'), candidates.iter().copied()))
}

/// Whether a word is one of a habit for another: deliberate, and no slip.
#[must_use]
pub fn habit(word: &str, ours: &str) -> bool {
    let lower = word.to_lowercase();
    HABITS.iter().any(|(other, known)| *other == lower && *known == ours)
}

/// The candidate nearest to a word, where one is near enough to be meant: at most a third of its
/// letters differ. Distance is optimal string alignment, case aside; long words are not compared.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // `no` is a letter from `on`, and no slip of it.
    if answers(word) {
        return None;
    }
    let word = folded(word);
    if word.len() > LONGEST || word.is_empty() {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = folded(candidate);
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

/// All candidates that are as near to a word as the one that is taken for it, that one among them.
#[must_use]
pub fn tied<'a>(word: &str, meant: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word = folded(word);
    let apart = |other: &str| distance(&word, &folded(other));
    let least = apart(meant);
    candidates.into_iter().filter(|other| word.len() <= LONGEST && apart(other) <= least).collect()
}

/// Longer words are not compared.
const LONGEST: usize = 40;

/// The letters of a word, case aside.
pub(super) fn folded(word: &str) -> Vec<char> {
    word.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect()
}

/// Edits between two words: insert, delete, replace, swap neighbours.
pub(super) fn distance(a: &[char], b: &[char]) -> usize {
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
