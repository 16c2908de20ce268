//! What `edict explain` tells of a mail.

use super::Told;
use super::mails::Mail;
use crate::kit::edict;
use edict_runtime::quota::Amount;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// What `explain` says.
pub(super) fn explained(folder: &Path, mail: &Mail) -> (Value, Vec<Told>) {
    std::fs::write(folder.join("mail.eml"), &mail.message).unwrap();
    let mut args = vec!["explain", "table", "--format", "json", "--message", "mail.eml"];
    args.extend(["--client", mail.client, "--helo", mail.helo, "--sender", mail.sender]);
    for recipient in &mail.recipients {
        args.extend(["--recipient", recipient]);
    }
    if let Some(login) = mail.login {
        args.extend(["--auth", login]);
    }
    let Amount { messages, recipients, bytes } = mail.used;
    let used = [format!("{messages} messages"), format!("{recipients} recipients"), format!("{bytes} B")];
    args.extend(used.iter().flat_map(|used| ["--used", used.as_str()]));
    let done = edict(folder, &args);
    assert_eq!(done.code, 0, "{mail:?}\n{}", done.err);
    let value: Value = serde_json::from_str(&done.out).unwrap();
    let told = value["recipients"].as_array().unwrap().iter().map(told_of).collect();
    (value, told)
}

pub(super) fn told_of(value: &Value) -> Told {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Told {
        verdict: text(&value["verdict"]).unwrap(),
        reply: text(&value["reply"]),
        stage: text(&value["stage"]).unwrap(),
        rule: text(&value["rule"]["name"]),
    }
}

/// What `explain` says is done to accepted mail, as [`Office::done`] tells it.
pub(super) fn done(whole: &Value) -> BTreeSet<String> {
    let list = |value: &Value| value.as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut out = BTreeSet::new();
    for end in list(&whole["recipients"]).iter().flat_map(|one| list(&one["final"])) {
        out.insert(format!("reaches {}", text(&end["address"])));
        out.extend(list(&end["disclaimer"]).iter().map(|name| format!("disclaimer {name}")));
    }
    out.extend(list(&whole["copies"]).iter().map(|c| format!("bcc {} to {}", c["rule"], text(&c["to"]))));
    out.extend(list(&whole["notes"]).iter().map(text));
    out
}
