//! Items: rules with their clauses, lists, groups, aliases, the profile, tests.

use super::Choices;
use super::conditions::conditions;
use super::values::{address, brackets, domain, mailbox, network, number_word, set, size, text};
use edict_compiler::parse::words::{ITEMS, RESERVED, SETTINGS, clauses};

pub(super) fn item(c: &mut Choices<'_>, number: usize) -> String {
    let name = if c.rarely(60) { "same".to_owned() } else { format!("rule {number}") };
    match c.below(16) {
        0 | 1 => verdict(c, "reject", &name, true),
        2 => {
            let verb = c.pick(&["allow", "hold", "discard"]);
            verdict(c, verb, &name, false)
        }
        3 => verdict(c, "defer", &name, true),
        4 => {
            let (per, count, of) =
                (c.pick(&["client.ip", "rule"]), number_word(c), c.pick(&["connections", "messages"]));
            let window = c.pick(&[
                "per minute",
                "at once",
                "per 10 min",
                "per second",
                "per day",
                "per 2 d",
                "per hour",
            ]);
            let (conditions, reply) = (conditions(c), reply(c));
            format!("limit \"{name}\" {{ per {per} at most {count} {of} {window}\n{conditions}{reply}}}")
        }
        5 => {
            let (to, copy) =
                (set(c, mailbox), c.pick(&["", "copy modified ", "record envelope ", "copy original "]));
            format!("bcc \"{name}\" {{ {}to {to} {copy}}}", conditions(c))
        }
        6 => {
            let per = c.pick(&["user", "sender", "sender.domain", "rule"]);
            let bound = c.mostly(
                &["500 messages per day", "10 recipients per rolling day", "200 MiB per day"],
                &["0 B per day"],
            );
            let warn = c.mostly(&["", "warn at 80 % "], &["warn at 100 % ", "warn at 0 % "]);
            let (conditions, reply) = (conditions(c), reply(c));
            format!("quota \"{name}\" {{ per {per} at most {bound}\n{warn}{conditions}{reply}}}")
        }
        7 => {
            let direction =
                c.mostly(&["when direction is outbound ", "when direction in [outbound, internal] "], &[""]);
            let rest = c.pick(&[
                "",
                "continue ",
                "place above-quote ",
                "replies never ",
                "signed wrap ",
                "html \"\"\"\n<p>x</p>\n\"\"\" ",
            ]);
            format!(
                "disclaimer \"{name}\" {{ {direction}{}text \"\"\"\n  Legal.\n   \"\"\" {rest}}}",
                conditions(c)
            )
        }
        8 => {
            let (via, local) =
                (c.mostly(&["mx", "hub", "local"], &["nowhere"]), c.pick(&["", "local yes ", "local no "]));
            format!("route \"{name}\" {{ {}via {via} {local}}}", conditions(c))
        }
        9 => {
            let key = c.mostly(
                &["sales@example.com", "@example.org", "ann@example.com", "a@example.net"],
                &["info", "a@", "x y"],
            );
            let members = set(c, mailbox);
            let block = c.pick(&[
                "",
                " { owner boss@example.com }",
                " { may-send [group people, ann@example.com] note \"x\" }",
            ]);
            format!("alias {key} = {members}{block}")
        }
        10 => {
            let ty = c.pick(&["address", "domain", "network", "text"]);
            let entries = set(c, |c| match ty {
                "address" => address(c),
                "domain" => domain(c),
                "network" => network(c),
                _ => text(c),
            });
            format!("list own-{number}: {ty} = {entries}")
        }
        11 => profile(c),
        12 => test(c, &name),
        13 => format!("group own-{number} = {}", set(c, mailbox)),
        14 => c.mostly(
            &["import \"more.edict\"", "aliases from \"aliases.txt\"", "relay r { host [a.example] }"],
            &["import \"../x\"", "import \"none/*.edict\""],
        ),
        _ if !c.rarely(4) => String::new(),
        _ => {
            // Any clause of any item, in any item.
            let item = c.pick(ITEMS);
            let clause = c.pick(clauses(item).get(..).filter(|all| !all.is_empty()).unwrap_or(SETTINGS));
            let word = c.pick(RESERVED).0;
            c.pick(&[
                format!("{item} \"{name}\" {{ {clause} 10 }}").as_str(),
                format!("{item} {clause}").as_str(),
                format!("{word} \"{name}\" {{ }}").as_str(),
                format!("reject \"{name}\" {{ {word} \"x\" {clause} }}").as_str(),
            ])
            .to_owned()
        }
    }
}

fn verdict(c: &mut Choices<'_>, verb: &str, name: &str, replies: bool) -> String {
    let conditions = conditions(c);
    let reply = if replies { reply(c) } else { String::new() };
    format!("{verb} \"{name}\" {{\n    {conditions}{reply}}}")
}

fn reply(c: &mut Choices<'_>) -> String {
    c.mostly(
        &["", "reply \"Your network\"\n"],
        &[
            "reply 554 5.7.1 \"No\"\n",
            "reply 450 4.7.1 \"Later\"\n",
            "reply 5.1.1\n",
            "reply 250 \"Yes\"\n",
            "reply 554 4.7.1 \"ü\\n\"\n",
        ],
    )
}

fn profile(c: &mut Choices<'_>) -> String {
    let mut out = "profile {\n".to_owned();
    let mut left: Vec<&str> = SETTINGS.to_vec();
    for _ in 0..1 + c.below(8) {
        let setting = left.remove(c.below(left.len()));
        let value = match setting {
            "hostname" => c.mostly(&["mx.example.com"], &["localhost", "[::1]"]),
            "banner" => c.mostly(&["\"mx.example.com ESMTP\"\n    hostname mx.example.com"], &["\"hi\\n\""]),
            "local-domains" => brackets(c, domain),
            "domain-aliases" => c.mostly(
                &["[]"],
                &["[example.net is example.com]", "[a.example is a.example, b.example is a.example]"],
            ),
            "relay-domains" => c.mostly(
                &["[partner.example via hub recipients ask]", "[partner.example]"],
                &["[example.com]", "[x.example via nowhere]"],
            ),
            "recipients" => {
                c.mostly(&["known", "ask", "any", "known in a-list"], &["known in [a-list, d-list]"])
            }
            "trusted-networks" => brackets(c, network),
            "postmaster" | "notice-copies" => set(c, mailbox),
            "time-zone" => c.mostly(&["\"Europe/Berlin\"", "\"UTC\""], &["\"Mars/North\""]),
            "max-message-size" | "max-attachment-size" => size(c),
            "errors" => {
                c.mostly(&["slow after 10, close after 20"], &["close after 5 slow after 9", "slow after x"])
            }
            "auto-forwarding" => {
                c.pick(&["on", "off", "off except [group people, @partner.example]"]).to_owned()
            }
            "max-recipients" | "max-hops" | "junk-commands" => number_word(c),
            "auth" => c.mostly(&["optional", "required"], &["off"]),
            "auth-without-tls" => c.mostly(&["forbidden", "allowed"], &["off"]),
            "auth-for-trusted" => c.mostly(&["skipped", "required"], &["off"]),
            "sender-must" => c.mostly(&["be-anything", "equal-login", "own-address"], &["login"]),
            "forward-sender" => c.mostly(&["srs", "keep"], &["on"]),
            "helo" => c.mostly(&["required", "optional"], &["off"]),
            "vrfy" => c.mostly(&["on", "off"], &["yes"]),
            _ => c.mostly(&["strict", "lenient"], &["off"]),
        };
        out.push_str(&format!("    {setting} {value}\n"));
    }
    out + "}"
}

fn test(c: &mut Choices<'_>, name: &str) -> String {
    let mut out = format!("test \"{name}\" {{\n");
    out.push_str(&c.mostly(
        &["sender <>\n", "sender bob@partner.example\n"],
        &["", "sender bob\n", "sender [bob@x.example]\n"],
    ));
    out.push_str(&c.mostly(
        &["recipient ann@example.com\n", "recipient [ann@example.com, bob@example.net]\n"],
        &["", "recipient ann\n", "recipient []\n"],
    ));
    for _ in 0..c.below(6) {
        out.push_str(&c.mostly(
            &[
                "client 203.0.113.9\n",
                "client-name mx.example.com\n",
                "helo [192.0.2.1]\n",
                "tls yes\n",
                "spf fail\n",
                "dkim [a.example, b.example]\n",
                "login ann\n",
                "recipient carl@example.org\n",
                "header \"Subject: hello\"\n",
                "body \"\"\"\nHello\n\"\"\"\n",
                "message \"mail.eml\"\n",
                "size 10 KiB\n",
                "time 2026-12-24T18:00\n",
                "dns \"a.example\" answers [mx b.example, 192.0.2.1, txt \"x\"]\n",
                "dns \"a.example\" answers failure\n",
                "usage 499 messages\n",
                "usage 20 MiB\n",
            ],
            &[
                "header \"no colon\"\n",
                "client\n",
                "client mx.example\n",
                "dns \"a.example\" answers servfail\n",
                "dns \"a b\" answers [mx 1.2.3.4, txt x]\n",
            ],
        ));
    }
    out.push_str(&c.mostly(
        &["expect accept", "expect no bcc no disclaimer"],
        &[
            "expect reject 554 by \"rule 0\" at rcpt reply \"No\" for ann@example.com",
            "expect recipients [ann@example.com] bcc [] route \"hub\"",
            "expect allow by \"nobody\"",
            "expect reject 250 route nomx bcc [x, \"rule 0\"] for nobody@example.com",
            "expect accept reject by \"rule 1\"",
            "",
        ],
    ));
    out + "\n}"
}
