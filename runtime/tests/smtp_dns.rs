//! Facts from DNS, asked of a name server that the test starts: answers, NXDOMAIN, null MX, SERVFAIL,
//! silence and lies. What it says stands in `dns/zone.txt`.

#[cfg(test)]
#[path = "dns/server.rs"]
mod server;

#[cfg(test)]
mod tests {
    use super::server;
    use edict_runtime::dkim::Key;
    use edict_runtime::dkim::sign::sign;
    use edict_runtime::verdict::authentic::Signed;
    use edict_runtime::verdict::authentic::ask::Identity;
    use edict_runtime::verdict::dns::Dns;
    use edict_runtime::verdict::lookup::{Answer, Question, Resolver};
    use edict_table::fact::RESULTS;
    use edict_table::facts::Slot;
    use edict_table::value::{Address, Domain};
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    const ZONE: &str = include_str!("dns/zone.txt");

    async fn dns() -> (Arc<Dns>, server::Server) {
        let key = |name: &str, kind: &str, key: &str| {
            format!("\n{name}._domainkey.example.com TXT v=DKIM1; k={kind}; p={key}\n")
        };
        let zone = format!(
            "{ZONE}{}{}\nslow._domainkey.example.com SILENT\n",
            key("one", "rsa", include_str!("keys/rsa.pub")),
            key("two", "ed25519", include_str!("keys/ed25519.pub")),
        );
        let server = server::start(&zone).await;
        // Each answer that comes has a second, however busy the machine is.
        (Arc::new(Dns::with_server(server.address, Duration::from_secs(3)).unwrap()), server)
    }

    /// All at the same time, since silence takes as long as it may.
    async fn all(dns: &Arc<Dns>, questions: impl IntoIterator<Item = Question>) -> Vec<Answer> {
        let ask = |question| {
            let dns = Arc::clone(dns);
            tokio::spawn(async move { dns.answer(question).await })
        };
        let asked: Vec<_> = questions.into_iter().map(ask).collect();
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap());
        }
        answers
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[tokio::test]
    async fn names_and_domains() {
        let (dns, server) = dns().await;
        let unverified = |nameless| Answer::Name(Slot::Absent, Slot::Known(true), Slot::Known(nameless));
        let good = Slot::Known(domain("mail.good.example"));
        // Of a name that cannot be confirmed for now it is known that it is there.
        let unknown = |nameless| Answer::Name(Slot::Unknown, Slot::Unknown, nameless);
        let clients = [
            ("192.0.2.1", Answer::Name(good, Slot::Known(false), Slot::Known(false))),
            ("192.0.2.2", unverified(false)),
            ("192.0.2.3", unverified(true)),
            ("192.0.2.4", unknown(Slot::Unknown)),
            ("192.0.2.5", unknown(Slot::Unknown)),
            ("192.0.2.6", unknown(Slot::Known(false))),
            // Nobody answers what the client waits for: the time is up.
            ("192.0.2.7", unknown(Slot::Unknown)),
        ];
        let answers = all(&dns, clients.iter().map(|(client, _)| Question::Name(ip(client)))).await;
        for ((client, want), answer) in clients.into_iter().zip(answers) {
            assert_eq!(answer, want, "{client}");
        }
        let senders = [
            ("good.example", Slot::Known(false)),
            ("bare.example", Slot::Known(false)),
            ("six.example", Slot::Known(false)),
            ("alias.example", Slot::Known(false)),
            // RFC 7505.
            ("null.example", Slot::Known(true)),
            ("gone.example", Slot::Known(true)),
            ("broken.example", Slot::Unknown),
            ("silent.example", Slot::Unknown),
        ];
        let answers = all(&dns, senders.map(|(text, _)| Question::Sender(text.to_owned()))).await;
        for ((text, want), answer) in senders.into_iter().zip(answers) {
            assert_eq!(answer, Answer::Sender(text.to_owned(), want), "{text}");
        }
        for (text, want) in [
            ("mail.good.example", Slot::Known(false)),
            ("good.example", Slot::Known(false)),
            ("gone.example", Slot::Known(true)),
            ("broken.example", Slot::Unknown),
        ] {
            assert_eq!(dns.answer(Question::Helo(domain(text))).await, Answer::Helo(want), "{text}");
        }
        // What is known is not asked again.
        let asked = || server.asked.lock().unwrap().len();
        let before = asked();
        dns.answer(Question::Sender("good.example".to_owned())).await;
        dns.answer(Question::Name(ip("192.0.2.1"))).await;
        assert_eq!(asked(), before);
    }

    /// RFC 5782: only 127/8 counts; a list that errs or is silent counts as not listed.
    #[tokio::test]
    async fn lists_fail_open() {
        let (dns, _server) = dns().await;
        let cases = [
            ("list.example", "192.0.2.1", true),
            ("list.example", "192.0.2.2", false),
            ("list.example", "192.0.2.3", false),
            ("dead.example", "192.0.2.1", false),
            ("sick.example", "192.0.2.1", false),
        ];
        let question = |(zone, client, _): (&str, &str, bool)| Question::Listed(zone.to_owned(), ip(client));
        let answers = all(&dns, cases.map(question)).await;
        for ((zone, client, want), answer) in cases.into_iter().zip(answers) {
            assert_eq!(answer, Answer::Listed(zone.to_owned(), Slot::Known(want)), "{zone} {client}");
        }
    }

    /// Answers with another id or to another question, cut ones, circles of CNAMEs, thousands of records: none is
    /// believed, none brings the asker down, and what cannot be told is unknown.
    #[tokio::test]
    async fn lies_are_not_believed() {
        let (dns, _server) = dns().await;
        let cases = [
            ("other-id.example", Slot::Unknown),
            ("late-truth.example", Slot::Known(false)),
            ("other-question.example", Slot::Unknown),
            ("truncated.example", Slot::Known(false)),
            ("cut.example", Slot::Unknown),
        ];
        let answers = all(&dns, cases.map(|(text, _)| Question::Helo(domain(text)))).await;
        for ((text, want), answer) in cases.into_iter().zip(answers) {
            assert_eq!(answer, Answer::Helo(want), "{text}");
        }
        // More records than anybody needs: read or not, they are no sign that the name is not there.
        let answer = dns.answer(Question::Helo(domain("huge.example"))).await;
        assert_ne!(answer, Answer::Helo(Slot::Known(true)));
        // A circle leads nowhere: it never resolves, whether the resolver calls that nothing or a failure.
        for text in ["loop-a.example", "itself.example"] {
            let answer = dns.answer(Question::Helo(domain(text))).await;
            assert_ne!(answer, Answer::Helo(Slot::Known(false)), "{text}");
        }
    }

    fn identity(client: &str, helo: &str, sender: &str) -> Identity {
        let sender = (!sender.is_empty()).then(|| Address::parse(sender).unwrap());
        Identity { ip: ip(client), helo: helo.to_owned(), sender }
    }

    fn word(slot: Slot<u8>) -> &'static str {
        match slot {
            Slot::Known(place) => RESULTS[usize::from(place)],
            Slot::Unknown => "unknown",
            Slot::Pending => "pending",
            Slot::Absent => "absent",
        }
    }

    /// RFC 7208.
    #[tokio::test]
    async fn spf() {
        let (dns, _server) = dns().await;
        let cases = [
            ("192.0.2.1", "client.example", "ann@plain.example", "pass"),
            ("192.0.2.2", "client.example", "ann@plain.example", "pass"),
            ("192.0.2.3", "client.example", "ann@plain.example", "fail"),
            ("192.0.2.3", "client.example", "ann@soft.example", "softfail"),
            ("192.0.2.3", "client.example", "ann@neutral.example", "neutral"),
            ("192.0.2.3", "client.example", "ann@no-spf.example", "none"),
            ("192.0.2.3", "client.example", "ann@gone.example", "none"),
            ("192.0.2.3", "client.example", "ann@faulty.example", "permerror"),
            // 4.6.4: ten lookups, then no more.
            ("192.0.2.3", "client.example", "ann@circle.example", "permerror"),
            ("192.0.2.3", "client.example", "ann@silent.example", "unknown"),
            ("192.0.2.3", "client.example", "ann@broken.example", "unknown"),
            ("192.0.2.3", "client.example", "ann@down.example", "unknown"),
            ("192.0.2.3", "client.example", "ann@[192.0.2.3]", "none"),
            // 2.4: a null sender is postmaster of the HELO name.
            ("192.0.2.1", "helo.example", "", "pass"),
            ("192.0.2.3", "helo.example", "", "fail"),
            ("192.0.2.3", "", "", "none"),
        ];
        let question = |(client, helo, sender, _)| Question::Spf(identity(client, helo, sender));
        let answers = all(&dns, cases.map(question)).await;
        for ((client, helo, sender, want), answer) in cases.into_iter().zip(answers) {
            match answer {
                Answer::Spf(of, result) => {
                    assert_eq!(of, identity(client, helo, sender).sender);
                    assert_eq!(word(result), want, "{client} {helo} {sender}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn message(from: &str) -> Vec<u8> {
        format!("From: {from}\r\nTo: bob@example.org\r\nSubject: hello\r\n\r\ntext\r\n").into_bytes()
    }

    fn signed(selectors: &[&str], from: &str) -> Vec<u8> {
        let message = message(from);
        let key = |selector: &&str| {
            let pem = if *selector == "two" {
                include_str!("keys/ed25519.pem")
            } else {
                include_str!("keys/rsa.pem")
            };
            Key::from_pem("example.com", selector, pem).unwrap()
        };
        let keys: Vec<Key> = selectors.iter().map(key).collect();
        let mut out = sign(&message, &[], &keys.iter().collect::<Vec<_>>()).unwrap();
        out.extend(message);
        out
    }

    /// RFC 6376 and RFC 9989: which domains signed, and whether the author's domain stands behind it.
    /// RFC 5321 7.1: an envelope proves nothing; these do.
    #[tokio::test]
    async fn dkim_and_dmarc() {
        let (dns, _server) = dns().await;
        let ann = "ann@example.com";
        let tampered = |mut message: Vec<u8>| {
            message.extend_from_slice(b"more\r\n");
            message
        };
        let renamed = |message: &[u8]| {
            String::from_utf8(message.to_vec())
                .unwrap()
                .replace("Subject: hello", "Subject: other")
                .into_bytes()
        };
        let own = ("192.0.2.9", "other@elsewhere.example");
        let cases = [
            ("signed", own, signed(&["one", "two"], ann), Some("example.com example.com"), "pass"),
            ("not signed", own, message(ann), Some(""), "fail"),
            ("body changed", own, tampered(signed(&["one"], ann)), Some(""), "fail"),
            ("header changed", own, renamed(&signed(&["one"], ann)), Some(""), "fail"),
            ("no such key", own, signed(&["none"], ann), Some(""), "fail"),
            ("key out of reach", own, signed(&["slow"], ann), None, "unknown"),
            ("one key out of reach", own, signed(&["one", "slow"], ann), None, "pass"),
            ("another's signature", own, signed(&["one"], "ann@plain.example"), Some("example.com"), "fail"),
            ("subdomain", own, signed(&["one"], "ann@news.example.com"), Some("example.com"), "pass"),
            ("by spf", ("192.0.2.1", "x@plain.example"), message("ann@plain.example"), Some(""), "pass"),
            ("no policy", own, message("ann@gone.example"), Some(""), "none"),
            ("policy out of reach", own, message("ann@slow.example"), Some(""), "unknown"),
            ("two authors", own, message("ann@example.com, bob@plain.example"), Some(""), "permerror"),
            ("no header", own, b"\r\ntext\r\n".to_vec(), Some(""), "permerror"),
        ];
        let questions = cases.iter().map(|(_, (client, sender), message, ..)| Question::Authentic {
            identity: identity(client, "client.example", sender),
            spf: Slot::Pending,
            signed: Signed::of(message).map(Arc::new),
            dmarc: true,
        });
        let answers = all(&dns, questions).await;
        for ((what, _, _, domains, dmarc), answer) in cases.into_iter().zip(answers) {
            let Answer::Authentic(_, found) = answer else { panic!() };
            let names = match &found.domains {
                Slot::Known(names) => {
                    Some(names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
                }
                Slot::Unknown => None,
                other => panic!("{other:?}"),
            };
            assert_eq!(names.as_deref(), domains, "{what}");
            assert_eq!(word(found.dmarc), dmarc, "{what}: {found:?}");
        }
    }
}
