//! Answers of the admin socket as text for people.

use super::client::Ask;
use serde_json::Value;
use std::fmt::Write;

/// Turns an answer into lines. What is no JSON is shown as it is.
pub fn human(ask: &Ask, good: bool, body: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return format!("{}\n", body.trim_end());
    };
    if !good {
        return format!("{}\n", text(value.get("error").unwrap_or(&value)));
    }
    match ask {
        Ask::Status | Ask::Message(_) => pairs(&value, ""),
        Ask::Reload | Ask::Rollback => {
            format!("table {} in force\n", text(value.get("table").unwrap_or(&Value::Null)))
        }
        Ask::Queue => {
            table(&value, &["id", "state", "size", "received", "attempts", "due", "sender", "recipients"])
        }
        Ask::Usage(_) => usage(&value),
        Ask::Hold(_) | Ask::Release(_) | Ask::Retry(_) | Ask::Remove(_) | Ask::ResetUsage(_) => {
            "done\n".to_owned()
        }
    }
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
        Value::String(s) => s.clone(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Null => "-".to_owned(),
        // A recipient in the queue.
        Value::Object(fields) if fields.contains_key("address") => {
            let reason = fields.get("reason").filter(|r| !r.is_null()).map(|r| format!(" ({})", text(r)));
            format!("{}{}", text(fields.get("address").unwrap_or(&Value::Null)), reason.unwrap_or_default())
        }
        other => other.to_string(),
    }
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
fn table(value: &Value, columns: &[&str]) -> String {
    let empty = Vec::new();
    let rows = value.as_array().unwrap_or(&empty);
    if rows.is_empty() {
        return "nothing\n".to_owned();
    }
    let cell = |row: &Value, name: &str| match (name, row.get(name).unwrap_or(&Value::Null)) {
        ("received" | "due", Value::Number(at)) => moment(at.as_i64().unwrap_or_default()),
        (_, value) => text(value),
    };
    let width = |name: &&str| {
        rows.iter().map(|row| cell(row, name).chars().count()).chain([name.len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let mut out = String::new();
    let mut line = |cells: Vec<String>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(padded.join("  ").trim_end());
        out.push('\n');
    };
    line(columns.iter().map(|name| (*name).to_owned()).collect());
    for row in rows {
        line(columns.iter().map(|name| cell(row, name)).collect());
    }
    out
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
    fn errors_are_told_alone() {
        assert_eq!(human(&Ask::Reload, false, r#"{"error":"checksum differs"}"#), "checksum differs\n");
    }
}
