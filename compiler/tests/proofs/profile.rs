//! What settings of the profile leave no message for, and what they only seem to.

use super::{found, table};

fn is_dead(profile: &str, condition: &str) -> bool {
    let head = format!("edict 1\nprofile {{ {profile} }}\n");
    !found(&table(&head, &[(condition.to_owned(), 1, 100)])).unwrap().0.is_empty()
}

/// `auth off` only offers no login: a proxy that is trusted with XCLIENT says who logged in there, and the session
/// takes its word whatever the profile says (the dialogue `xclient-auth-off` shows it). Which proxies are trusted is a
/// matter of the daemon's configuration, of which a policy knows nothing.
#[test]
fn a_login_can_come_by_a_proxy() {
    assert!(!is_dead("local-domains [in.example] auth off", "auth.user is present"));
    assert!(!is_dead("local-domains [in.example] auth off", "auth.user is \"ann@in.example\""));
}

/// Without an inside domain every recipient is outside, and strangers reach none of these.
#[test]
fn nobody_is_inside() {
    for (condition, never) in [
        ("direction is inbound", true),
        ("direction is internal", true),
        ("direction is outbound", false),
        ("not direction is outbound", true),
        ("not submitted", true),
        ("submitted", false),
        ("recipient is x@[192.0.2.1]", false),
        ("recipient is postmaster@", false),
        ("recipient is postmaster@ and not submitted", true),
        ("recipient is x@out.example and spf is fail", true),
        ("client.ip is 203.0.113.9 and recipient is x@out.example and auth.user is absent", true),
        ("client.ip is 203.0.113.9 and recipient is x@out.example", false),
        ("client.ip is 127.0.0.1 and recipient is x@out.example and auth.user is absent", false),
        // Asked before there are recipients.
        ("spf is fail", false),
        // Nobody's mail is judged by these where all mail is ours; that is not told, as it would say little to whoever has
        // not written his domains yet.
        ("dmarc is fail", false),
        ("client.ip is 203.0.113.9 and auth.user is absent", false),
        ("sender is unknown", true),
    ] {
        assert_eq!(is_dead("", condition), never, "{condition}");
    }
    for condition in ["direction is inbound", "direction is internal", "not submitted", "sender is unknown"] {
        assert!(!is_dead("local-domains [in.example]", condition), "{condition}");
        assert!(!is_dead("relay-domains [in.example]", condition), "{condition}");
    }
}

/// Who is unknown is known of domains only whose recipients are listed; a domain alias stands for its domain.
#[test]
fn senders_are_unknown_where_recipients_are_known() {
    let aliased = "local-domains [in.example] domain-aliases [also.example is in.example]";
    for (profile, condition, never) in [
        ("local-domains [in.example]", "sender is unknown", false),
        ("local-domains [in.example]", "sender is unknown and sender is x@in.example", false),
        ("local-domains [in.example]", "sender is unknown and sender is x@out.example", true),
        (aliased, "sender is unknown and sender.domain is also.example", false),
        (aliased, "sender is unknown and sender.domain is out.example", true),
        ("local-domains [in.example] recipients any", "sender is unknown", true),
        ("local-domains [in.example] recipients any", "sender is not unknown", false),
    ] {
        assert_eq!(is_dead(profile, condition), never, "{profile}, {condition}");
    }
}

/// No attachment is longer than the longest message.
#[test]
fn attachments_fit_in_messages() {
    let small = "local-domains [in.example] max-message-size 2 MiB";
    assert!(is_dead(small, "attachment.size > 3 MiB"));
    assert!(!is_dead(small, "attachment.size > 1 MiB"));
}
