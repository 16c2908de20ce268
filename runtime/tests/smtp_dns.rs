//! Facts from DNS, asked of a name server that the test starts: answers, NXDOMAIN, null MX, SERVFAIL,
//! silence and lies.

#[cfg(test)]
mod tests {
    use edict_runtime::verdict::dns::Dns;
    use edict_runtime::verdict::lookup::{Answer, Question, Resolver};
    use edict_table::facts::Slot;
    use edict_table::value::Domain;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, MX, PTR};
    use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
    use std::net::{IpAddr, SocketAddr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::net::UdpSocket;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    /// What the server says: records, or an error; nothing at all for silence.
    fn zone(asked: &str, kind: RecordType) -> Option<Result<Vec<RData>, ResponseCode>> {
        let a = |ip: &str| RData::A(A(ip.parse().unwrap()));
        let mx = |host: &str| RData::MX(MX::new(10, name(host)));
        let ptr = |host: &str| RData::PTR(PTR(name(host)));
        Some(Ok(match (asked, kind) {
            ("1.2.0.192.in-addr.arpa.", RecordType::PTR) => {
                vec![ptr("liar.example."), ptr("mail.good.example.")]
            }
            ("2.2.0.192.in-addr.arpa.", RecordType::PTR) => vec![ptr("liar.example.")],
            ("4.2.0.192.in-addr.arpa.", RecordType::PTR) => return Some(Err(ResponseCode::ServFail)),
            ("5.2.0.192.in-addr.arpa.", RecordType::PTR) => return None,
            ("6.2.0.192.in-addr.arpa.", RecordType::PTR) => vec![ptr("broken.example.")],
            ("liar.example.", RecordType::A) => vec![a("203.0.113.1")],
            ("mail.good.example.", RecordType::A) => vec![a("192.0.2.1"), a("192.0.2.9")],
            ("good.example.", RecordType::MX) => vec![mx("mail.good.example.")],
            ("null.example.", RecordType::MX) => vec![mx(".")],
            ("bare.example.", RecordType::A) => vec![a("192.0.2.7")],
            ("broken.example.", _) => return Some(Err(ResponseCode::ServFail)),
            ("silent.example.", _) => return None,
            ("1.2.0.192.list.example.", RecordType::A) => vec![a("127.0.0.4")],
            ("2.2.0.192.list.example.", RecordType::A) => vec![a("203.0.113.80")],
            ("1.2.0.192.dead.example.", RecordType::A) => return None,
            ("mail.good.example." | "liar.example." | "bare.example.", _) => Vec::new(),
            _ => return Some(Err(ResponseCode::NXDomain)),
        }))
    }

    async fn server() -> (SocketAddr, Arc<AtomicUsize>) {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let mut message = Message::from_vec(&buffer[..length]).unwrap().into_response();
                let query = message.queries[0].clone();
                let asked = query.name().to_ascii().to_ascii_lowercase();
                match zone(&asked, query.query_type()) {
                    None => continue,
                    Some(Err(code)) => message.metadata.response_code = code,
                    Some(Ok(found)) => {
                        for data in found {
                            message.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                        }
                    }
                }
                socket.send_to(&message.to_vec().unwrap(), client).await.unwrap();
            }
        });
        (address, count)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn answers_errors_silence_and_lies() {
        let (address, count) = server().await;
        let dns = Dns::with_server(address, Duration::from_millis(900)).unwrap();
        let domain = |text: &str| Domain::parse(text).unwrap();
        let unverified = Answer::Name(Slot::Absent, Slot::Known(true));
        let unknown = Answer::Name(Slot::Unknown, Slot::Unknown);
        for (client, want) in [
            ("192.0.2.1", Answer::Name(Slot::Known(domain("mail.good.example")), Slot::Known(false))),
            ("192.0.2.2", unverified.clone()),
            ("192.0.2.3", unverified),
            ("192.0.2.4", unknown.clone()),
            ("192.0.2.5", unknown.clone()),
            ("192.0.2.6", unknown),
        ] {
            assert_eq!(dns.answer(Question::Name(ip(client))).await, want, "{client}");
        }
        for (text, want) in [
            ("good.example", Slot::Known(false)),
            ("bare.example", Slot::Known(false)),
            ("null.example", Slot::Known(true)),
            ("gone.example", Slot::Known(true)),
            ("broken.example", Slot::Unknown),
            ("silent.example", Slot::Unknown),
        ] {
            let answer = dns.answer(Question::Sender(text.to_owned())).await;
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
        // Only 127/8 counts; a list that is silent counts as not listed.
        for (zone, client, want) in [
            ("list.example", "192.0.2.1", true),
            ("list.example", "192.0.2.2", false),
            ("list.example", "192.0.2.3", false),
            ("dead.example", "192.0.2.1", false),
        ] {
            let answer = dns.answer(Question::Listed(zone.to_owned(), ip(client))).await;
            assert_eq!(answer, Answer::Listed(zone.to_owned(), Slot::Known(want)), "{zone} {client}");
        }
        // What is known is not asked again.
        let before = count.load(Ordering::Relaxed);
        dns.answer(Question::Sender("good.example".to_owned())).await;
        dns.answer(Question::Name(ip("192.0.2.1"))).await;
        assert_eq!(count.load(Ordering::Relaxed), before);
    }
}
