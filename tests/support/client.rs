//! A plain blocking SMTP client that notes each reply.

use super::PATIENCE;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

/// One connection.
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects and reads the greeting; fails if it is no 220.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { reader: BufReader::new(stream) };
        let greeting = client.reply()?;
        if greeting.starts_with("220") { Ok(client) } else { Err(io::Error::other(greeting)) }
    }

    /// Connects as a proxy does, for a client of this address; with the greeting, whatever it is.
    pub fn proxied(address: SocketAddr, client: &str) -> io::Result<(Self, String)> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut it = Self { reader: BufReader::new(stream) };
        it.send(format!("PROXY TCP4 {client} 192.0.2.25 4000 25\r\n").as_bytes())?;
        let greeting = it.reply()?;
        Ok((it, greeting))
    }

    /// Connects and says EHLO.
    pub fn hello(address: SocketAddr) -> io::Result<Self> {
        let mut client = Self::connect(address)?;
        let reply = client.command("EHLO client.example")?;
        if reply.starts_with("250") { Ok(client) } else { Err(io::Error::other(reply)) }
    }

    /// Connects, says EHLO and logs in; the password of everybody is `secret`.
    pub fn login(address: SocketAddr, user: &str) -> io::Result<Self> {
        use base64::Engine;
        let mut client = Self::hello(address)?;
        let answer = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0secret"));
        let reply = client.command(&format!("AUTH PLAIN {answer}"))?;
        if reply.starts_with("235") { Ok(client) } else { Err(io::Error::other(reply)) }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads one reply; several lines are joined by `\n`.
    pub fn reply(&mut self) -> io::Result<String> {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let last = line.as_bytes().get(3) != Some(&b'-');
            all.push_str(line.trim_end());
            if last {
                return Ok(all);
            }
            all.push('\n');
        }
    }

    /// Sends a line and reads the reply.
    pub fn command(&mut self, line: &str) -> io::Result<String> {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// One whole transaction; the reply that ended it, be it to MAIL, RCPT, DATA or the message.
    /// `message` has LF line ends and no dots in front.
    pub fn message(&mut self, sender: &str, recipients: &[&str], message: &str) -> io::Result<String> {
        let mut reply = self.command(&format!("MAIL FROM:<{sender}>"))?;
        for recipient in recipients {
            if reply.starts_with('2') {
                reply = self.command(&format!("RCPT TO:<{recipient}>"))?;
            }
        }
        if reply.starts_with('2') {
            reply = self.command("DATA")?;
        }
        if !reply.starts_with("354") {
            self.command("RSET")?;
            return Ok(reply);
        }
        let body = message.replace('\n', "\r\n");
        self.send(format!("{body}\r\n.\r\n").as_bytes())?;
        self.reply()
    }
}
