//! A name server with a few records, over UDP (RFC 1035).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// What it knows.
pub enum Record {
    /// MX: preference and host.
    Mx(u16, &'static str),
    /// A.
    A(Ipv4Addr),
    /// AAAA.
    Aaaa(Ipv6Addr),
}

/// Starts one; it lives as long as the test program. Other names do not exist.
pub fn start(zone: Vec<(&'static str, Record)>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..length], &zone) {
                socket.send_to(&answer, client).unwrap();
            }
        }
    });
    address
}

fn answer(query: &[u8], zone: &[(&str, Record)]) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), 12);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push_str(&String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        name.push('.');
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    let question = query.get(12..at + 4)?;
    let known: Vec<&Record> = zone.iter().filter(|(n, _)| format!("{n}.") == name).map(|(_, r)| r).collect();
    let mut answers = Vec::new();
    for record in &known {
        let data = match (record, kind) {
            (Record::Mx(preference, host), 15) => {
                let mut data = preference.to_be_bytes().to_vec();
                for label in host.split('.').filter(|label| !label.is_empty()) {
                    data.push(u8::try_from(label.len()).unwrap());
                    data.extend_from_slice(label.as_bytes());
                }
                data.push(0);
                data
            }
            (Record::A(ip), 1) => ip.octets().to_vec(),
            (Record::Aaaa(ip), 28) => ip.octets().to_vec(),
            _ => continue,
        };
        // The name is the question's; class IN, 60 seconds.
        let mut answer = vec![0xc0, 12];
        answer.extend_from_slice(&kind.to_be_bytes());
        answer.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        answer.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        answer.extend_from_slice(&data);
        answers.push(answer);
    }
    let code = if known.is_empty() { 3 } else { 0 };
    let count = u8::try_from(answers.len()).unwrap();
    let mut out = vec![query[0], query[1], 0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    out.extend_from_slice(question);
    answers.iter().for_each(|answer| out.extend_from_slice(answer));
    Some(out)
}
