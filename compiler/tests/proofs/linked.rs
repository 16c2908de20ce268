//! Facts that stand in header fields: without the field there is no such fact, as the daemon reads a header.

use super::{found, table};

#[test]
fn no_fact_without_its_field() {
    let head = "edict 1\nprofile { local-domains [in.example] }\n";
    for (condition, never) in [
        ("cc is x@out.example and header(\"Cc\") is absent", true),
        ("cc is x@out.example and header(\"To\") is absent", false),
        ("cc is absent and header(\"Cc\") is present", false),
        ("from is present and header(\"From\") is absent", true),
        ("hops > 2 and header(\"Received\") is absent", true),
        ("hops < 2 and header(\"Received\") is absent", false),
        ("not (hops is 0) and header(\"Received\") is absent", true),
        ("hops > 2 and header(\"Received\") is present", false),
        ("message is reply and header(\"In-Reply-To\") is absent", false),
        ("message is reply and header(\"References\") is absent and header(\"In-Reply-To\") is absent", true),
        ("message is not reply and header(\"References\") is absent", false),
        ("message is auto-submitted and header(\"Auto-Submitted\") is absent", true),
        ("message is auto-forwarded and header(\"Auto-Submitted\") is absent", false),
    ] {
        let rules = [(condition.to_owned(), 1, 100)];
        let dead = found(&table(head, &rules)).unwrap().0;
        assert_eq!(dead.len(), usize::from(never), "{condition}");
    }
}
