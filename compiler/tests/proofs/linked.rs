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
        // Who wrote it is read from From alone, where the header can be read; a From behind thousands of fields, or
        // one that rules cannot read, may be one for DMARC.
        ("dmarc is pass and header(\"From\") is absent and message is not malformed", true),
        ("dmarc in [pass, fail] and header(\"From\") is absent and message is not malformed", true),
        ("dmarc in [none, fail] and header(\"From\") is absent and message is not malformed", false),
        ("dmarc is permerror and header(\"From\") is absent and message is not malformed", false),
        ("dmarc is pass and header(\"From\") is absent", false),
        ("dmarc is pass and from is absent", false),
        ("dmarc is fail and from is absent", false),
        ("dmarc is fail and from is absent and message is not malformed", false),
        // Without a reverse name there is none to confirm; with one there may be none all the same.
        ("client is nameless and client is not unverified", true),
        ("client is nameless and client.name is present", true),
        ("client is nameless and client.name is mx.out.example", true),
        ("client is nameless and client is unverified and client.name is absent", false),
        ("client is not nameless and client is unverified", false),
        ("client is not nameless and client.name is absent", false),
        ("client is not nameless and client.name is mx.out.example", false),
        // Whom SPF is asked of.
        ("spf is fail and sender is absent and helo is absent", true),
        ("spf is not none and sender is absent and helo is malformed", true),
        ("spf in [none, fail] and sender is absent and helo is absent", false),
        ("spf is fail and sender is absent", false),
        ("spf is fail and helo is absent", false),
        ("spf is fail and sender is x@[192.0.2.1]", true),
        ("spf is none and sender is x@[192.0.2.1]", false),
        ("spf is fail and sender.domain matches \"[*\"", true),
        ("sender.domain is unresolvable and sender.domain matches \"[*\"", true),
        ("sender.domain is unresolvable and sender matches \"*@a*\"", false),
        ("helo matches \"[*\"", true),
        ("helo matches \"a*\"", false),
        // A message is no shorter than what is in it.
        ("attachment.size > 5 MiB and size < 1 MiB", true),
        ("attachment.size > 5 MiB and size is 5 MiB", true),
        ("attachment.size >= 5 MiB and size is 5 MiB", false),
        ("attachment.size > 1 MiB and size < 5 MiB", false),
        ("size < 1 MiB and not attachment.size < 1 MiB", false),
    ] {
        let rules = [(condition.to_owned(), 1, 100)];
        let dead = found(&table(head, &rules)).unwrap().0;
        assert_eq!(dead.len(), usize::from(never), "{condition}");
    }
}
