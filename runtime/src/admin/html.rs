//! The admin pages as text: usage of all, usage of one. Everything that is not ours is escaped.
//!
//! No script, no inline style: the guard's headers forbid both.

use crate::quota::{DayUsage, UserUsage};
use std::fmt::Write;

/// Rows of one page.
pub const MAX_ROWS: usize = 1_000;

/// Text between tags or in a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Bytes for people, beside the exact number.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut whole = bytes;
    let mut tenths = 0;
    let mut unit = 0;
    while whole >= 1024 && unit + 1 < units.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenths} {name}") }
}

/// A whole page around its content.
pub fn page(title: &str, content: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{0} - edictd</title>\
         <link rel=\"stylesheet\" href=\"/pages/style.css\"></head>\n<body><header><h1>{0}</h1>\
         <a href=\"/pages/usage\">All users</a>\
         <form action=\"/pages/usage\" method=\"get\"><label>User <input name=\"user\" required></label> \
         <button>Show</button></form></header>\n<main>{content}</main></body></html>\n",
        escape(title)
    )
}

fn cells(out: &mut String, day: &DayUsage) {
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\" title=\"{} bytes\">{}</td>",
        day.messages,
        day.recipients,
        day.bytes,
        size(day.bytes)
    );
}

const HEAD: &str = "<th class=\"n\">Messages</th><th class=\"n\">Recipients</th><th class=\"n\">Size</th>";

/// Everybody who sent something out in the last day. `link` makes a path segment of a user's name.
pub fn all(users: &[UserUsage], link: impl Fn(&str) -> String) -> String {
    let date = users.first().map(|user| user.today.date.as_str()).unwrap_or_default();
    let mut out = String::new();
    if users.is_empty() {
        out.push_str("<p id=\"empty\">Nobody sent anything out in the last 24 hours.</p>");
        return page("Outbound usage", &out);
    }
    let _ = write!(
        out,
        "<table id=\"usage\"><caption>Today, {}, busiest first</caption><thead><tr><th>User</th>{HEAD}\
         <th class=\"n\">Messages in 24 hours</th></tr></thead><tbody>",
        escape(date)
    );
    for user in users.iter().take(MAX_ROWS) {
        let _ = write!(
            out,
            "<tr><td><a href=\"/pages/usage/{}\">{}</a></td>",
            link(&user.user),
            escape(&user.user)
        );
        cells(&mut out, &user.today);
        let _ = write!(out, "<td class=\"n\">{}</td></tr>", user.last_24_hours.messages);
    }
    out.push_str("</tbody></table>");
    if users.len() > MAX_ROWS {
        let _ = write!(out, "<p>{} more sent less.</p>", users.len() - MAX_ROWS);
    }
    page("Outbound usage", &out)
}

/// One user: today, earlier days, and the form that resets. `action` is its path, `key` proves where it came from.
pub fn one(user: &UserUsage, action: &str, key: &str, done: bool) -> String {
    let mut out = String::new();
    if done {
        out.push_str(
            "<p class=\"done\" id=\"done\">Reset: today starts anew. Earlier days stay as they are.</p>",
        );
    }
    let most = user.earlier.iter().chain([&user.today]).map(|day| day.messages).max().unwrap_or(0).max(1);
    let _ = write!(
        out,
        "<table id=\"days\"><caption>Sent out, by day</caption><thead><tr><th>Day</th>{HEAD}<th></th></tr></thead><tbody>"
    );
    for (place, day) in [&user.today].into_iter().chain(&user.earlier).enumerate() {
        let id = if place == 0 { " id=\"today\"" } else { "" };
        let _ = write!(out, "<tr{id}><td>{}</td>", escape(&day.date));
        cells(&mut out, day);
        let _ =
            write!(out, "<td><meter min=\"0\" max=\"{most}\" value=\"{}\"></meter></td></tr>", day.messages);
    }
    let _ = write!(
        out,
        "</tbody></table><p>In the last 24 hours: {} messages.</p>\
         <form id=\"reset\" method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"key\" value=\"{}\">\
         <button>Reset today's usage</button></form>",
        user.last_24_hours.messages,
        escape(action),
        escape(key)
    );
    page(&user.user, &out)
}

/// What went wrong.
pub fn failed(why: &str) -> String {
    page("Not done", &format!("<p class=\"failed\" id=\"failed\">{}</p>", escape(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(user: &str) -> UserUsage {
        let day = |date: &str| DayUsage { date: date.to_owned(), messages: 3, recipients: 4, bytes: 2_000 };
        UserUsage {
            user: user.to_owned(),
            today: day("2026-11-24"),
            last_24_hours: day("2026-11-24"),
            earlier: vec![day("2026-11-23")],
        }
    }

    #[test]
    fn names_cannot_become_markup() {
        let evil = "\"><script>alert('x')</script>\u{1b}@example.com";
        for text in [
            all(&[usage(evil)], |_| "x".to_owned()),
            one(&usage(evil), "/pages/usage/x/reset", "k", false),
            failed(evil),
        ] {
            assert!(!text.contains("<script") && !text.contains('\u{1b}'), "{text}");
            assert!(text.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{text}");
        }
    }

    #[test]
    fn sizes_are_for_people() {
        for (bytes, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), want);
        }
    }
}
