//! The admin pages in a real browser, and what other sites cannot do with them.

use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::taker::Taker;
use crate::support::{free_port, start_actions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

const SENT: &str = "Subject: [plain] x\nFrom: ann@example.com\n\nHi";

/// A daemon whose pages are at the address, and their password.
fn start(folder: &std::path::Path, relay: &Taker) -> (Daemon, SocketAddr, String) {
    let pages = free_port();
    let keys = format!("admin_http: (address: \"{pages}\", token_file: \"pages.token\"),");
    let daemon = start_actions(folder, relay.address, &keys);
    // Mail is taken a moment before the pages are up.
    crate::support::wait_for("the admin pages", || TcpStream::connect(pages).is_ok());
    let token = std::fs::read_to_string(folder.join("pages.token")).unwrap().trim().to_owned();
    (daemon, pages, token)
}

fn send(daemon: &Daemon, count: usize) {
    let mut client = Client::login(daemon.address, "ann@example.com").unwrap();
    for _ in 0..count {
        let reply =
            client.message("ann@example.com", &["a@outside.example", "b@outside.example"], SENT).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
}

#[test]
fn an_operator_sees_usage_and_resets_it_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let (daemon, pages, token) = start(folder.path(), &relay);
    let browser = Browser::start(folder.path());
    let home = format!("http://admin:{token}@{pages}/");
    browser.open(&home);
    assert!(browser.place().ends_with("/pages/usage"), "{}", browser.place());
    assert_eq!(browser.text("#empty"), "Nobody sent anything out in the last 24 hours.");

    send(&daemon, 3);
    browser.open(&home);
    let row = browser.text("#usage tbody tr");
    assert!(row.starts_with("ann@example.com 3 6 "), "three messages to two recipients each: {row}");
    assert!(row.ends_with(" 3"), "in the last day: {row}");
    // The style sheet came along, though nothing may be loaded from elsewhere.
    let width = browser.run("return getComputedStyle(document.querySelector('#usage')).borderCollapse");
    assert_eq!(width, "collapse");

    browser.click("#usage tbody a");
    browser.wait_for("h1", "ann@example.com");
    assert!(browser.text("#today").contains(" 3 6 "), "{}", browser.text("#today"));
    browser.click("#reset button");
    browser.wait_for("#done", "Reset");
    assert!(browser.text("#today").contains(" 0 0 0 B"), "{}", browser.text("#today"));
    let line = daemon.wait_for_log(&["quota usage reset", "user:ann@example.com"]);
    assert!(line.contains("messages=3") && line.contains("recipients=6"), "{line}");

    // A reload of the page after a reset repeats nothing.
    send(&daemon, 1);
    browser.run("location.reload()");
    browser.wait_for("#today", "\t1\t2\t");
    assert_eq!(daemon.read_log().matches("quota usage reset").count(), 1);

    // Any user can be looked up, whatever he is called.
    browser.write("header input", "\"><script>document.title='owned'</script>@example.com");
    browser.click("header button");
    browser.wait_for("h1", "<script>");
    assert!(browser.run("return document.title").as_str().unwrap().ends_with("edictd"));
}

#[test]
fn another_site_cannot_reset_through_the_operators_browser() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let (daemon, pages, token) = start(folder.path(), &relay);
    send(&daemon, 2);
    let target = format!("http://{pages}/pages/usage/ann@example.com/reset");
    let site = serve_page(format!(
        "<!doctype html><form method=post action='{target}'><input name=key value=x><button>Win!</button></form>\
         <iframe src='http://{pages}/pages/usage'></iframe>"
    ));
    let browser = Browser::start(folder.path());
    // The browser knows the password from now on, and sends it with every request to the pages.
    browser.open(&format!("http://admin:{token}@{pages}/"));
    assert!(browser.has("#usage"));
    browser.open(&format!("http://{site}/"));
    browser.click("button");
    browser.wait_for("body", "comes from another site");
    browser.open(&format!("http://admin:{token}@{pages}/pages/usage/ann@example.com"));
    assert!(browser.text("#today").contains(" 2 4 "), "{}", browser.text("#today"));
    assert!(!daemon.read_log().contains("quota usage reset"));
}

/// Serves one page to everybody, at another port and so another origin.
fn serve_page(page: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut some = [0; 4096];
            let _ = stream.read(&mut some);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
            let _ = stream
                .write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len()).as_bytes());
        }
    });
    address
}

/// The status line and the rest of an answer to what is sent as it stands.
fn ask(stream: &mut (impl Read + Write), request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (status, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
    (status.to_owned(), rest.to_owned())
}

#[test]
fn requests_that_a_browser_would_not_send_for_us_are_refused() {
    use base64::Engine;
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let (daemon, pages, token) = start(folder.path(), &relay);
    send(&daemon, 1);
    let login = |password: &str| {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("admin:{password}"));
        format!("Authorization: Basic {text}\r\n")
    };
    let good = login(&token);
    let reset = "/pages/usage/ann@example.com/reset";
    for (request, host, more, want) in [
        ("GET /pages/usage", pages.to_string(), good.clone(), "200"),
        ("GET /pages/usage", format!("localhost:{}", pages.port()), good.clone(), "200"),
        ("GET /pages/usage", pages.to_string(), String::new(), "401"),
        ("GET /pages/usage", pages.to_string(), login("wrong"), "401"),
        ("GET /pages/usage", pages.to_string(), login(&token[1..]), "401"),
        ("GET /pages/usage", pages.to_string(), "Authorization: Basic !!!\r\n".to_owned(), "401"),
        // DNS rebinding: the foreign name stands in Host.
        ("GET /pages/usage", format!("evil.example:{}", pages.port()), good.clone(), "421"),
        ("GET /pages/usage", "localhost".to_owned(), good.clone(), "421"),
        (&format!("POST {reset}"), pages.to_string(), format!("{good}Content-Length: 0\r\n"), "403"),
        (
            &format!("POST {reset}"),
            pages.to_string(),
            format!("{good}Origin: null\r\nContent-Length: 0\r\n"),
            "403",
        ),
        // The commands of the socket are not here.
        ("GET /status", pages.to_string(), good.clone(), "404"),
        ("GET /usage", pages.to_string(), good.clone(), "404"),
        ("POST /reload", pages.to_string(), format!("{good}Content-Length: 0\r\n"), "404"),
    ] {
        let mut stream = TcpStream::connect(pages).unwrap();
        let text = format!("{request} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n");
        let (status, rest) = ask(&mut stream, &text);
        assert!(status.contains(want), "{text}: {status}");
        assert!(rest.contains("frame-ancestors 'none'"), "{rest}");
    }
    assert!(!daemon.read_log().contains("quota usage reset"));

    // The socket has the pages as well, for a tunnel; its commands too refuse what another site sends.
    let socket = daemon.data.join("admin.sock");
    for (request, more, want) in [
        ("GET /pages/usage", "Host: localhost:8025\r\n", "200"),
        ("GET /pages/usage", "Host: evil.example\r\n", "421"),
        ("POST /reload", "Host: localhost:8025\r\nOrigin: http://evil.example\r\n", "403"),
        ("POST /usage/ann/reset", "Host: edictd\r\nSec-Fetch-Site: cross-site\r\n", "403"),
        ("POST /usage/ann/reset", "Host: edictd\r\n", "200"),
    ] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let text = format!("{request} HTTP/1.1\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n");
        let (status, _) = ask(&mut stream, &text);
        assert!(status.contains(want), "{text}: {status}");
    }
    daemon.wait_for_log(&["quota usage reset"]);
}
