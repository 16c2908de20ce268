//! SCRAM-SHA-256 as the client (RFC 4954, RFC 5802, RFC 7677): the example of the RFC, honest relays and those that are not.

use super::super::client::Timeouts;
use super::*;
use crate::users::{ClientFirst, Scheme, Users, entry};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

/// The example of RFC 7677 3.
#[test]
fn example_of_the_rfc() {
    let first = First::new("user", "rOprNGfwEbeRWgbNEkqO");
    assert_eq!(first.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let challenge = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    let proof = first.prove(&challenge, "pencil").unwrap();
    let want = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_eq!(proof.message, want);
    assert_eq!(STANDARD.encode(proof.verifier), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/// Another nonce, too few or too many iterations, no salt, no shape.
#[test]
fn hostile_challenges() {
    let first = First::new("a=b,c", "mine");
    assert_eq!(first.message(), "n,,n=a=3Db=2Cc,r=mine");
    let fails = |challenge: &str| first.prove(challenge, "secret").unwrap_err();
    for challenge in ["r=mine,s=AAAA,i=4096", "r=other,s=AAAA,i=4096", "r=,s=AAAA,i=4096"] {
        assert_eq!(fails(challenge), "its challenge is for somebody else", "{challenge}");
    }
    for count in ["1", "4095", "1000001", "4294967295"] {
        let challenge = format!("r=mine2,s=AAAA,i={count}");
        assert_eq!(fails(&challenge), "it asks for a number of iterations that is not safe", "{count}");
    }
    for challenge in ["", "r=mine2", "r=mine2,s=,i=4096", "r=mine2,s=?,i=4096", "r=mine2,s=AAAA,i=0", "m=x"] {
        assert_eq!(fails(challenge), "its challenge is out of shape", "{challenge}");
    }
}

/// What a relay does.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Does {
    /// What it should.
    Honest,
    /// It takes every proof, and makes up its own.
    Lies,
    /// It takes every proof, and has none.
    Skips,
    /// It does not do what it offers, and would like to hear the password in the clear.
    Refuses,
}

/// Serves one login; gives back what it heard.
async fn relay(stream: DuplexStream, does: Does) -> Vec<String> {
    let users = entry("ann@us.example", "secret", Scheme::ScramSha256, &[7; 16]).unwrap();
    let users = Users::parse(&users).unwrap();
    let mut stream = BufReader::new(stream);
    let mut heard = Vec::new();
    let mut challenge = None;
    let mut answer = "220 here\r\n".to_owned();
    loop {
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap() == 0 {
            return heard;
        }
        let line = line.trim_end().to_owned();
        let text = |word: &str| String::from_utf8(STANDARD.decode(word).unwrap()).unwrap();
        answer = match (line.strip_prefix("AUTH SCRAM-SHA-256 "), challenge.take()) {
            _ if line.starts_with("EHLO") => "250-here\r\n250 AUTH PLAIN LOGIN SCRAM-SHA-256\r\n".to_owned(),
            (Some(_), _) if does == Does::Refuses => "504 5.5.4 not that one\r\n".to_owned(),
            (Some(first), _) => {
                let made = users.challenge(ClientFirst::parse(&text(first)).unwrap(), &[9; 18]);
                let shown = STANDARD.encode(made.message());
                challenge = Some(made);
                format!("334 {shown}\r\n")
            }
            (None, Some(challenge)) => match (does, challenge.finish(&text(&line))) {
                (Does::Skips, _) => "235 2.7.0 welcome\r\n".to_owned(),
                (Does::Lies, _) => {
                    format!("334 {}\r\n", STANDARD.encode(format!("v={}", STANDARD.encode([1; KEY]))))
                }
                (_, Some(proof)) => format!("334 {}\r\n", STANDARD.encode(proof)),
                (_, None) => "535 5.7.8 no\r\n".to_owned(),
            },
            (None, None) if line.is_empty() => "235 2.7.0 welcome\r\n".to_owned(),
            (None, None) => "503 5.5.1 what\r\n".to_owned(),
        };
        heard.push(line);
    }
}

/// RFC 4954 4, RFC 5802 3: the password never goes out in the clear, and the relay proves that it knows it.
#[tokio::test]
async fn relays_that_offer_scram() {
    for (does, password, want) in [
        (Does::Honest, "secret", None),
        (Does::Honest, "wrong", Some("login: it says 535 5.7.8 no")),
        (Does::Lies, "secret", Some("login: it did not prove that it knows the password")),
        (Does::Skips, "secret", Some("login: it did not prove that it knows the password")),
        (Does::Refuses, "secret", Some("login: it says 504 5.5.4 not that one")),
    ] {
        let (ours, theirs) = tokio::io::duplex(4096);
        let served = tokio::spawn(relay(theirs, does));
        let long = Duration::from_secs(60);
        let timeouts = Timeouts { connect: long, command: long, data: long, end: long };
        let mut session = Session::new(Box::new(ours), "hop".to_owned(), false, timeouts);
        session.greeting().await.unwrap();
        session.hello("us.example").await.unwrap();
        let login = Login { login: "ann@us.example".to_owned(), password: password.to_owned() };
        let got = authenticate(&mut session, &login).await;
        assert_eq!(got.err().map(|e| e.to_string()).as_deref(), want, "{does:?} {password}");
        drop(session);
        let heard = served.await.unwrap();
        assert!(heard.iter().any(|line| line.starts_with("AUTH SCRAM-SHA-256 ")));
        let told = |line: &String| line.contains("PLAIN") || line.contains(&STANDARD.encode(password));
        assert!(!heard.iter().any(told), "{does:?}: the password was told: {heard:?}");
    }
}
