//! A real headless Chromium, driven over WebDriver.

use super::{PATIENCE, free_port, wait_for};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A browser with one window; closed when it goes out of scope.
pub struct Browser {
    address: SocketAddr,
    session: String,
    driver: Child,
}

impl Browser {
    /// Starts one with a profile of its own below `folder`.
    pub fn start(folder: &Path) -> Self {
        let address = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={}", address.port()))
            .env("HOME", folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver (Debian: chromium-driver) is installed by tests/run");
        let mut browser = Self { address, session: String::new(), driver };
        wait_for("chromedriver to listen", || TcpStream::connect(address).is_ok());
        let profile = format!("--user-data-dir={}", folder.join("chromium").display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            &profile,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": { "args": arguments }
        } } });
        let answer = browser.ask("POST", "/session", &wanted).unwrap();
        browser.session = answer["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    /// One command; an error is what WebDriver says.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let answer = read_answer(&mut stream);
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e} in {answer:?}"));
        match answer["value"].get("error") {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }

    fn say(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        self.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    /// Opens an address.
    pub fn open(&self, address: &str) {
        self.say("POST", "/url", &json!({ "url": address })).unwrap();
    }

    /// Where the window is.
    pub fn place(&self) -> String {
        self.say("GET", "/url", &Value::Null).unwrap().as_str().unwrap().to_owned()
    }

    fn element(&self, selector: &str) -> Option<String> {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.say("POST", "/element", &wanted).ok()?;
        found.as_object()?.values().next()?.as_str().map(str::to_owned)
    }

    /// Whether there is something of this kind.
    pub fn has(&self, selector: &str) -> bool {
        self.element(selector).is_some()
    }

    /// The first element of this kind, once it is there.
    fn found(&self, selector: &str) -> String {
        let mut found = None;
        wait_for(&format!("{selector} at {}", self.place()), || {
            found = self.element(selector);
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until the page shows this text in the first element of a kind: a click returns before its page is there.
    pub fn wait_for(&self, selector: &str, text: &str) {
        wait_for(&format!("{text:?} in {selector}"), || {
            let script = "const e = document.querySelector(arguments[0]); return e ? e.innerText : ''";
            let body = json!({ "script": script, "args": [selector] });
            let shown = self.say("POST", "/execute/sync", &body);
            shown.is_ok_and(|shown| shown.as_str().is_some_and(|shown| shown.contains(text)))
        });
    }

    /// The text that a reader sees of the first element of this kind.
    pub fn text(&self, selector: &str) -> String {
        let element = self.found(selector);
        self.say("GET", &format!("/element/{element}/text"), &Value::Null)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Clicks on it.
    pub fn click(&self, selector: &str) {
        let element = self.found(selector);
        self.say("POST", &format!("/element/{element}/click"), &json!({})).unwrap();
    }

    /// Types into it.
    pub fn write(&self, selector: &str, text: &str) {
        let element = self.found(selector);
        self.say("POST", &format!("/element/{element}/value"), &json!({ "text": text })).unwrap();
    }

    /// The value of a script's `return`.
    pub fn run(&self, script: &str) -> Value {
        self.say("POST", "/execute/sync", &json!({ "script": script, "args": [] })).unwrap()
    }
}

/// The body of one answer. The driver may keep the connection open, so its length counts.
fn read_answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if length.is_some_and(|length| body.len() >= length) {
                return body.to_owned();
            }
        }
        match stream.read(&mut some).unwrap() {
            0 => return text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default(),
            count => bytes.extend_from_slice(&some[..count]),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; the driver after it.
        let _ = self.say("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
