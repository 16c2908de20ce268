//! A name server for tests, over UDP and TCP, that says what a zone file has it say, lies among it. The format
//! stands at the top of `zone.txt`.

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

type Zone = HashMap<String, Vec<(String, String)>>;

/// A server that runs.
pub struct Server {
    pub address: SocketAddr,
    /// Questions so far: name and kind.
    pub asked: Asked,
}

type Asked = Arc<Mutex<Vec<String>>>;

/// Reads a zone.
fn zone(text: &str) -> Zone {
    let mut zone = Zone::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.splitn(2, char::is_whitespace);
        let name = words.next().unwrap().to_owned();
        let rest = words.next().unwrap().trim();
        let (kind, data) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        zone.entry(name).or_default().push((kind.to_owned(), data.trim().to_owned()));
    }
    zone
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).unwrap()
}

fn a(ip: &str) -> RData {
    RData::A(A(ip.parse().unwrap()))
}

/// The records of a name that are of a kind.
fn records(entries: &[(String, String)], kind: RecordType) -> Vec<RData> {
    let data = |(of, data): &(String, String)| match (of.as_str(), kind) {
        ("A", RecordType::A) => Some(a(data)),
        ("AAAA", RecordType::AAAA) => Some(RData::AAAA(AAAA(data.parse().unwrap()))),
        ("MX", RecordType::MX) => Some(RData::MX(MX::new(10, name(data)))),
        ("PTR", RecordType::PTR) => Some(RData::PTR(PTR(name(data)))),
        ("TXT", RecordType::TXT) => Some(RData::TXT(TXT::from_bytes(data.as_bytes().chunks(200).collect()))),
        _ => None,
    };
    entries.iter().filter_map(data).collect()
}

/// What is said to a question: messages, in order. None: silence.
fn say(zone: &Zone, question: &Message, tcp: bool) -> Vec<Message> {
    let query = question.queries[0].clone();
    let asked = query.name().to_ascii().to_ascii_lowercase();
    let asked = asked.trim_end_matches('.');
    let kind = query.query_type();
    let blank = || question.clone().into_response();
    let with = |found: Vec<RData>| {
        let mut message = blank();
        for data in found {
            message.add_answer(Record::from_rdata(query.name().clone(), 60, data));
        }
        message
    };
    let of_kind = |ip: &str| if kind == RecordType::A { vec![a(ip)] } else { Vec::new() };
    let Some(entries) = zone.get(asked) else {
        let mut message = blank();
        message.metadata.response_code = ResponseCode::NXDomain;
        return vec![message];
    };
    let (what, data) = &entries[0];
    let cut = || {
        let mut message = blank();
        message.metadata.truncation = true;
        message
    };
    match what.as_str() {
        "SERVFAIL-A" if kind != RecordType::A => vec![blank()],
        "SERVFAIL" | "SERVFAIL-A" => {
            let mut message = blank();
            message.metadata.response_code = ResponseCode::ServFail;
            vec![message]
        }
        "SILENT" => Vec::new(),
        // Whoever forges an answer does not sit on the way that a connection takes.
        "WRONG-ID" | "WRONG-QUESTION" if tcp => Vec::new(),
        "WRONG-ID" | "WRONG-ID-FIRST" => {
            let mut wrong = with(of_kind("203.0.113.66"));
            wrong.metadata.id = wrong.metadata.id.wrapping_add(1);
            if what == "WRONG-ID" { vec![wrong] } else { vec![wrong, with(of_kind(data))] }
        }
        "WRONG-QUESTION" => {
            let mut message = with(of_kind(data));
            message.queries = vec![Query::query(name("victim.example"), kind)];
            vec![message]
        }
        "TRUNCATED" if tcp => vec![with(of_kind(data))],
        "CUT" if tcp => Vec::new(),
        "HUGE" if tcp => {
            let many: usize = data.parse().unwrap();
            let ip = |n: usize| format!("198.51.{}.{}", n / 256 % 256, n % 256);
            vec![with((0..many).flat_map(|n| of_kind(&ip(n))).collect())]
        }
        "TRUNCATED" | "CUT" | "HUGE" => vec![cut()],
        "LOOP" => {
            let mut message = with(vec![RData::CNAME(CNAME(name(data)))]);
            // As resolvers do, with the records of the name that it leads to.
            if let Some(entries) = zone.get(data) {
                for found in records(entries, kind) {
                    message.add_answer(Record::from_rdata(name(data), 60, found));
                }
            }
            vec![message]
        }
        _ => vec![with(records(entries, kind))],
    }
}

/// Reads a question and counts it.
fn read(bytes: &[u8], asked: &Asked) -> Message {
    let question = Message::from_vec(bytes).unwrap();
    let query = &question.queries[0];
    let name = query.name().to_ascii().to_ascii_lowercase();
    asked.lock().unwrap().push(format!("{} {}", name.trim_end_matches('.'), query.query_type()));
    question
}

async fn over_tcp(mut stream: TcpStream, zone: Arc<Zone>, asked: Asked) -> std::io::Result<()> {
    loop {
        let length = usize::from(stream.read_u16().await?);
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await?;
        let question = read(&bytes, &asked);
        for message in say(&zone, &question, true) {
            let bytes = message.to_vec().unwrap();
            let length = u16::try_from(bytes.len()).unwrap();
            stream.write_all(&length.to_be_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
    }
}

/// Starts one.
pub async fn start(text: &str) -> Server {
    let zone = Arc::new(zone(text));
    let asked = Asked::default();
    // The same port twice: another test may hold it for TCP.
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let (zone_tcp, asked_tcp) = (Arc::clone(&zone), Arc::clone(&asked));
    tokio::spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            tokio::spawn(over_tcp(stream, Arc::clone(&zone_tcp), Arc::clone(&asked_tcp)));
        }
    });
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
            let question = read(&buffer[..length], &counted);
            for message in say(&zone, &question, false) {
                udp.send_to(&message.to_vec().unwrap(), client).await.unwrap();
            }
        }
    });
    Server { address, asked }
}
