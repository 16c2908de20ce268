//! Large lists and groups: what of thousands of entries is left by a test is found out, too.

use super::{found, table};

/// A policy with a list of this many addresses elsewhere, and a group of as many people here.
fn head(most: usize) -> String {
    let list: Vec<String> = (0..most).map(|n| format!("user{n}@d{}.example", n % 97)).collect();
    let group: Vec<String> = (0..most).map(|n| format!("staff{n}@in.example")).collect();
    format!(
        "edict 1\nprofile {{ local-domains [in.example] }}\nlist big: address = [{}]\ngroup staff = [{}]\n\
         list names: text = [{}]\n",
        list.join(", "),
        group.join(", "),
        (0..most).map(|n| format!("\"user{n}\"")).collect::<Vec<_>>().join(", ")
    )
}

#[test]
fn what_is_left_of_many_is_known() {
    let head = head(6_000);
    for (condition, never) in [
        ("sender in big and sender.local contains \"zzz\"", true),
        ("sender in big and sender.local contains \"5999\"", false),
        ("sender in big and sender.local is \"user5999\"", false),
        ("sender in big and sender.local is \"user6000\"", true),
        ("sender in big and sender.domain is d96.example", false),
        ("sender in big and sender.domain is d97.example", true),
        ("sender in big and sender matches \"*@d96.*\" and sender.local is \"user1\"", true),
        ("sender in big and sender.domain is in.example", true),
        ("sender in group staff and sender.local starts with \"ann\"", true),
        // With an extension.
        ("sender in group staff and sender.local contains \"zzz\"", false),
        ("sender in group staff and sender.local ends with \"zzz\" and sender.local matches \"?????\"", true),
        ("sender in group staff and sender.domain is d1.example", true),
        ("sender in group staff and sender matches \"staff5999+*\"", false),
        ("sender in group staff and sender in big", true),
        ("sender.local in names and sender in big and sender.domain is d3.example", false),
        ("sender.local in names and sender in group staff", true),
        ("sender.local in names and sender matches \"user9999@*\"", true),
        ("sender matches \"user1*@d1.example\" and not sender.local in names and not sender in big", false),
        ("sender matches \"user?@d2.example\" and not sender.local in names", false),
        ("recipient in group staff and recipient.local is \"nobody\"", true),
        ("recipient in group staff and recipient.local is \"staff77+x\"", false),
    ] {
        let dead = found(&table(&head, &[(condition.to_owned(), 1, 100)])).unwrap().0;
        assert_eq!(dead.len(), usize::from(never), "{condition}");
    }
}
