//! Answers of the admin socket as text for people.

use super::client::Ask;
use serde_json::Value;
use std::fmt::Write;

/// Turns an answer into lines. What is no JSON is shown as it is.
pub fn human(ask: &Ask, good: bool, body: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return format!("{}\n", harmless(body.trim_end()));
    };
    if !good {
        return format!("{}\n", text(value.get("error").unwrap_or(&value)));
    }
    match ask {
        Ask::Status => pairs(&value, ""),
        Ask::Message(_) => message(&value),
        Ask::Reload | Ask::Rollback => {
            format!("table {} in force\n", text(value.get("table").unwrap_or(&Value::Null)))
        }
        Ask::Queue => {
            let rows = value.get("messages").and_then(Value::as_array);
            Table::of_queue().page(rows.map_or(&[][..], Vec::as_slice), false)
        }
        Ask::Usage(_) => usage(&value),
        // A server that is just taking it cannot be stopped.
        Ask::Hold(_) if is_under_way(&value) => {
            "done: it is on its way now; what is left of it after this attempt is held\n".to_owned()
        }
        Ask::Remove(_) if is_under_way(&value) => {
            "done: it is on its way now; what is left of it after this attempt is thrown away\n".to_owned()
        }
        Ask::Release(_) if is_under_way(&value) => {
            "done: it is on its way now; what is held of it follows after this attempt\n".to_owned()
        }
        Ask::Retry(_) if is_under_way(&value) => "it is on its way already\n".to_owned(),
        Ask::RetryMany(_) => match value.get("messages").and_then(Value::as_u64).unwrap_or_default() {
            0 if matches!(ask, Ask::RetryMany(None)) => "no message waits for another attempt\n".to_owned(),
            0 => "no message there waits for another attempt\n".to_owned(),
            1 => "1 message is tried now\n".to_owned(),
            many => format!("{many} messages are tried now\n"),
        },
        Ask::Hold(_) | Ask::Release(_) | Ask::Retry(_) | Ask::Remove(_) | Ask::ResetUsage(_) => {
            "done\n".to_owned()
        }
    }
}

fn is_under_way(value: &Value) -> bool {
    value.get("under_way").and_then(Value::as_bool).unwrap_or_default()
}

/// A line a user and day; of one user the earlier days too.
fn usage(value: &Value) -> String {
    let one = std::slice::from_ref(value);
    let users = value.as_array().map_or(one, Vec::as_slice);
    let mut rows = Vec::new();
    for user in users {
        let earlier = user.get("earlier").and_then(Value::as_array).into_iter().flatten();
        for day in user.get("today").into_iter().chain(earlier) {
            let mut row = day.clone();
            if let (Some(row), Some(name)) = (row.as_object_mut(), user.get("user")) {
                row.insert("user".to_owned(), name.clone());
            }
            rows.push(row);
        }
    }
    table(&Value::Array(rows), &["user", "date", "messages", "recipients", "bytes"])
}

fn text(value: &Value) -> String {
    match value {
        Value::String(s) => harmless(s),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Null => "-".to_owned(),
        Value::Object(fields) if fields.contains_key("address") => recipient(value),
        other => other.to_string(),
    }
}

/// A recipient in the queue: what kind of mail he gets where it is not the message itself, and why he waits.
fn recipient(value: &Value) -> String {
    let field = |name| value.get(name).unwrap_or(&Value::Null);
    let mut more = Vec::new();
    if let Some(kind) = field("kind").as_str().filter(|kind| *kind != "message") {
        more.push(harmless(kind));
    }
    if field("held") == &Value::Bool(true) {
        more.push("held".to_owned());
    }
    if !field("reason").is_null() {
        more.push(text(field("reason")));
    }
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join("; ")) };
    format!("{}{more}", text(field("address")))
}

/// A field of a message in the queue.
fn of_message(message: &Value, name: &str) -> String {
    let value = message.get(name).unwrap_or(&Value::Null);
    match (name, value) {
        ("received" | "due", Value::Number(at)) => moment(at.as_i64().unwrap_or_default()),
        ("sender", Value::String(sender)) if sender.is_empty() => "<>".to_owned(),
        ("state", _) => {
            let then = message.get("then").filter(|then| !then.is_null());
            format!(
                "{}{}",
                text(value),
                then.map(|then| format!(", then {}", text(then))).unwrap_or_default()
            )
        }
        // Of one that cannot be read it is said why.
        ("recipients", Value::Null) => text(message.get("error").unwrap_or(value)),
        _ => text(value),
    }
}

/// A message in the queue in full: its fields, a line for each recipient, its header.
fn message(value: &Value) -> String {
    let mut out = String::new();
    for name in ["id", "state", "sender", "received", "size", "attempts", "due", "table"] {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<10} {}", of_message(value, name));
    }
    for each in value.get("recipients").and_then(Value::as_array).into_iter().flatten() {
        let _ = writeln!(out, "{:<10} {}", "recipient", recipient(each));
    }
    let _ = write!(out, "\n{}", text(value.get("header").unwrap_or(&Value::Null)));
    out
}

/// Text that strangers wrote, for a terminal: what steers it or turns the direction of writing is shown as `\u{…}`; lines stay.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        match c {
            '\r' => {}
            '\n' | '\t' => out.push(c),
            _ if c.is_control() || invisible => out.extend(c.escape_unicode()),
            _ => out.push(c),
        }
    }
    out
}

/// Unix milliseconds as `2026-11-24 05:32:54Z`.
fn moment(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// `name  value` lines; objects within are indented by their name.
fn pairs(value: &Value, prefix: &str) -> String {
    let mut out = String::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        if value.is_object() {
            out.push_str(&pairs(value, &format!("{name}.")));
        } else {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name:<16} {}", text(value));
        }
    }
    out
}

/// Columns of equal width, with a heading; the last one as long as it is.
fn table(value: &Value, columns: &[&'static str]) -> String {
    let rows = value.as_array().map_or(&[][..], Vec::as_slice);
    Table::new(columns).page(rows, false)
}

/// A table that comes in pages: columns are as wide as what came so far, and the heading comes once.
pub struct Table {
    columns: Vec<(&'static str, usize)>,
    begun: bool,
}

impl Table {
    fn new(columns: &[&'static str]) -> Self {
        let columns = columns.iter().map(|name| (*name, name.len())).collect();
        Self { columns, begun: false }
    }

    /// For the messages of the queue.
    pub fn of_queue() -> Self {
        Self::new(&["id", "state", "size", "received", "attempts", "due", "sender", "recipients"])
    }

    /// The next rows; `more` follow. Where there are none at all, that is said.
    pub fn page(&mut self, rows: &[Value], more: bool) -> String {
        if rows.is_empty() && !self.begun {
            return if more { String::new() } else { "nothing\n".to_owned() };
        }
        let of = |row| self.columns.iter().map(|(name, _)| of_message(row, name)).collect();
        let mut lines: Vec<Vec<String>> = rows.iter().map(of).collect();
        if !std::mem::replace(&mut self.begun, true) {
            lines.insert(0, self.columns.iter().map(|(name, _)| (*name).to_owned()).collect());
        }
        for (at, (_, width)) in self.columns.iter_mut().enumerate() {
            let cells = lines.iter().filter_map(|line| line.get(at));
            *width = cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(*width);
        }
        let mut out = String::new();
        for line in lines {
            let padded = line.iter().zip(&self.columns).map(|(cell, (_, width))| format!("{cell:<width$}"));
            out.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let body = r#"[{"user":"a@b","today":{"date":"2026-11-24","messages":3,"recipients":10,"bytes":1}}]"#;
        assert_eq!(
            human(&Ask::Usage(None), true, body),
            "user  date        messages  recipients  bytes\na@b   2026-11-24  3         10          1\n"
        );
    }

    #[test]
    fn pages_follow_each_other() {
        let row = |id: &str| serde_json::json!({"id": id, "state": "held", "size": 1, "sender": "a@b"});
        let mut table = Table::of_queue();
        let first = table.page(&[row("6H2"), row("6H3LONG")], true);
        let heading = first.lines().next().unwrap();
        assert!(heading.starts_with("id       state  size"), "{first}");
        assert_eq!(first.lines().count(), 3);
        assert_eq!(
            table.page(&[row("6H4")], true),
            "6H4      held   1     -         -         -    a@b     -\n"
        );
        assert_eq!(table.page(&[], false), "");
        assert_eq!(Table::of_queue().page(&[], false), "nothing\n");
        assert_eq!(Table::of_queue().page(&[], true), "", "all of the first page went meanwhile");
        let damaged =
            serde_json::json!({"id": "6H5", "state": "unreadable", "error": "a spooled message is damaged"});
        let line =
            "6H5      unreadable  -     -         -         -    -       a spooled message is damaged\n";
        assert_eq!(table.page(&[damaged], false), line);
    }

    /// Injection into the terminal of whoever looks at the queue: a stranger wrote the header.
    #[test]
    fn nothing_steers_the_terminal() {
        let hostile = "Subject: \u{1b}[31mred\u{7}\r\n\tmore \u{9b}2J \u{202e}gpj.exe \u{feff}jörg\r\n";
        let body = serde_json::json!({ "header": hostile }).to_string();
        let shown = human(&Ask::Message("6H2".to_owned()), true, &body);
        let want = "\n\nSubject: \\u{1b}[31mred\\u{7}\n\tmore \\u{9b}2J \\u{202e}gpj.exe \\u{feff}jörg\n";
        assert!(shown.ends_with(want), "{shown}");
        assert_eq!(human(&Ask::Status, true, "no JSON \u{1b}c"), "no JSON \\u{1b}c\n");
    }

    /// What stands in the list of a message reads the same where it is shown.
    #[test]
    fn a_message_reads_alike_in_the_list_and_by_itself() {
        let recipients = serde_json::json!([
            {"address": "a@b", "kind": "message", "held": false, "reason": null},
            {"address": "c@d", "kind": "copy", "held": true, "reason": null},
            {"address": "e@f", "kind": "message", "held": false, "reason": "451 later"},
        ]);
        let row = serde_json::json!({
            "id": "6H2", "state": "active", "then": "held", "size": 7, "received": 0, "sender": "", "recipients": recipients,
            "attempts": 1, "due": null, "table": "38984d", "header": "Subject: x\n"
        });
        let want = "id         6H2\nstate      active, then held\nsender     <>\nreceived   1970-01-01 00:00:00Z\n\
                    size       7\nattempts   1\ndue        -\ntable      38984d\nrecipient  a@b\n\
                    recipient  c@d (copy; held)\nrecipient  e@f (451 later)\n\nSubject: x\n";
        assert_eq!(human(&Ask::Message("6H2".to_owned()), true, &row.to_string()), want);
        let list = Table::of_queue().page(&[row], false);
        let line = "6H2  active, then held  7     1970-01-01 00:00:00Z  1         -    <>      a@b c@d (copy; held) e@f (451 later)";
        assert_eq!(list.lines().nth(1), Some(line));
    }

    /// What is done to mail that a server may just be taking is not over with that.
    #[test]
    fn what_an_attempt_goes_on_with_is_told() {
        let id = || "6H2".to_owned();
        for ask in [Ask::Hold(id()), Ask::Release(id()), Ask::Remove(id()), Ask::Retry(id())] {
            let told = |under_way| human(&ask, true, &format!(r#"{{"done":true,"under_way":{under_way}}}"#));
            assert_eq!(told(false), "done\n");
            assert!(told(true).contains("on its way"), "{}", told(true));
        }
        assert_eq!(human(&Ask::ResetUsage(id()), true, r#"{"done":true}"#), "done\n");
    }

    #[test]
    fn errors_are_told_alone() {
        assert_eq!(human(&Ask::Reload, false, r#"{"error":"checksum differs"}"#), "checksum differs\n");
    }
}
