//! A client whose address a PROXY header gives, with TLS.

use crate::support::PATIENCE;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

/// What bytes travel on.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between the two.
    None,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::None => Ok(0),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::None => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::None => Ok(()),
        }
    }
}

/// One connection.
pub struct Client(BufReader<Stream>);

/// What a client trusts: this certificate, in PEM.
pub fn trusting(certificate: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

impl Client {
    /// Connects as somebody at `from`; reads nothing.
    pub fn connect(to: SocketAddr, from: IpAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (family, here) = if from.is_ipv4() { ("TCP4", "192.0.2.254") } else { ("TCP6", "2001:db8::fe") };
        stream.write_all(format!("PROXY {family} {from} {here} 4000 25\r\n").as_bytes())?;
        Ok(Self(BufReader::new(Stream::Plain(stream))))
    }

    /// Begins TLS. The server is `mx.example.com`.
    pub fn encrypt(&mut self, config: &Arc<ClientConfig>) -> io::Result<()> {
        let name = ServerName::try_from("mx.example.com").unwrap();
        let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let Stream::Plain(mut stream) = std::mem::replace(self.0.get_mut(), Stream::None) else {
            return Err(io::Error::other("TLS within TLS"));
        };
        connection.complete_io(&mut stream)?;
        *self.0.get_mut() = Stream::Tls(Box::new(StreamOwned::new(connection, stream)));
        Ok(())
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.0.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Reads one reply, its lines joined by `\n`. Nothing where the server has closed.
    pub fn reply(&mut self) -> io::Result<Option<String>> {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let last = line.as_bytes().get(3) != Some(&b'-');
            all.push_str(line.trim_end());
            if last {
                return Ok(Some(all));
            }
            all.push('\n');
        }
    }

    /// Sends a line and reads the reply.
    pub fn command(&mut self, line: &str) -> io::Result<Option<String>> {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// AUTH PLAIN with the password of everybody in tests.
    pub fn login(&mut self, user: &str) -> io::Result<Option<String>> {
        use base64::Engine;
        let answer = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0secret"));
        self.command(&format!("AUTH PLAIN {answer}"))
    }

    /// One whole transaction; the reply that ended it. `message` is sent as it is, dots in front are doubled.
    pub fn message(&mut self, sender: &str, recipients: &[String], message: &[u8]) -> io::Result<String> {
        let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let mut reply = self.command(&format!("MAIL FROM:<{sender}>"))?.ok_or_else(closed)?;
        for recipient in recipients {
            if reply.starts_with('2') {
                reply = self.command(&format!("RCPT TO:<{recipient}>"))?.ok_or_else(closed)?;
            }
        }
        if reply.starts_with('2') {
            reply = self.command("DATA")?.ok_or_else(closed)?;
        }
        if !reply.starts_with("354") {
            self.command("RSET")?;
            return Ok(reply);
        }
        let mut stuffed = Vec::with_capacity(message.len() + 5);
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        self.send(&stuffed)?;
        self.reply()?.ok_or_else(closed)
    }
}
