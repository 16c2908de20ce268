//! The PROXY header, version 1 and 2, that a proxy sends before its client's first byte.
//!
//! Pure: bytes in, the client's address out. Says how many bytes to read next, and never asks for one
//! beyond the header. Follows proxy-protocol.txt of HAProxy (2020-03-05) and is stricter in two things: a
//! header that hides its client (`UNKNOWN`, `UNSPEC`, unix sockets) is refused, since the client would have
//! the proxy's own trust; and one longer than 4 KiB is. What TLVs say is not used, only their lengths.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its CRLF.
const MAX_V1: usize = 107;
/// The most bytes of version 2 behind its first sixteen.
const MAX_V2: u16 = 4096;

/// Whom the connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// For the client at this address.
    Client(IpAddr),
    /// For the proxy itself, which looks whether anybody is there.
    Own,
}

/// What the bytes so far hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Not a whole header: so many bytes more, at least one, belong to it.
    More(usize),
    /// A whole header, no byte left over.
    Done(Header),
}

/// Why the bytes are no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProxyError {
    /// They begin as neither version does.
    #[error("the connection does not begin with a PROXY header")]
    None,
    /// They are out of shape.
    #[error("the PROXY header cannot be read")]
    Shape,
    /// They hide the client.
    #[error("the PROXY header does not name a TCP client")]
    Hidden,
    /// They are too many.
    #[error("the PROXY header is too long")]
    TooLong,
}

/// Looks at the bytes read so far.
///
/// # Errors
/// Says why they are no header.
pub fn read(bytes: &[u8]) -> Result<Progress, ProxyError> {
    if let Some(rest) = bytes.strip_prefix(SIGNATURE) {
        return version_2(rest);
    }
    if bytes.starts_with(b"PROXY ") {
        return version_1(bytes);
    }
    match SIGNATURE.len().checked_sub(bytes.len()) {
        Some(more) if more > 0 && (SIGNATURE.starts_with(bytes) || b"PROXY ".starts_with(bytes)) => {
            Ok(Progress::More(more))
        }
        _ => Err(ProxyError::None),
    }
}

fn version_1(bytes: &[u8]) -> Result<Progress, ProxyError> {
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        return if bytes.len() >= MAX_V1 {
            Err(ProxyError::TooLong)
        } else {
            Ok(Progress::More(SIGNATURE.len().saturating_sub(bytes.len()).max(1)))
        };
    };
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Shape)?;
    let words: Vec<&str> = line.split(' ').collect();
    let [_, family, source, target, from, to] = words.as_slice() else {
        return Err(if line.starts_with("PROXY UNKNOWN") { ProxyError::Hidden } else { ProxyError::Shape });
    };
    let address = |text: &str| match *family {
        "TCP4" => text.parse().map(IpAddr::V4).ok(),
        "TCP6" => text.parse().map(IpAddr::V6).ok(),
        _ => None,
    };
    let port = |text: &str| {
        let plain = text == "0" || !text.starts_with('0');
        plain && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
    };
    match (address(source), address(target)) {
        (Some(client), Some(_)) if port(from) && port(to) => Ok(Progress::Done(Header::Client(client))),
        _ if *family == "UNKNOWN" => Err(ProxyError::Hidden),
        _ => Err(ProxyError::Shape),
    }
}

/// Reads what follows the signature.
fn version_2(rest: &[u8]) -> Result<Progress, ProxyError> {
    let (&[command, family, high, low], body) = match rest.split_first_chunk::<4>() {
        Some(split) => split,
        None => return Ok(Progress::More(4 - rest.len())),
    };
    let length = u16::from_be_bytes([high, low]);
    if length > MAX_V2 {
        return Err(ProxyError::TooLong);
    }
    if let Some(more) = usize::from(length).checked_sub(body.len())
        && more > 0
    {
        return Ok(Progress::More(more));
    }
    if body.len() > usize::from(length) {
        return Err(ProxyError::Shape);
    }
    match (command, family) {
        (0x20, _) => Ok(Progress::Done(Header::Own)),
        (0x21, 0x11) => {
            let (addresses, tlvs) = body.split_first_chunk::<12>().ok_or(ProxyError::Shape)?;
            let octets = addresses.first_chunk::<4>().ok_or(ProxyError::Shape)?;
            done(IpAddr::V4(Ipv4Addr::from_octets(*octets)), tlvs)
        }
        (0x21, 0x21) => {
            let (addresses, tlvs) = body.split_first_chunk::<36>().ok_or(ProxyError::Shape)?;
            let octets = addresses.first_chunk::<16>().ok_or(ProxyError::Shape)?;
            done(IpAddr::V6(Ipv6Addr::from_octets(*octets)), tlvs)
        }
        (0x21, 0x00 | 0x10 | 0x12 | 0x20 | 0x22 | 0x30..=0x32) => Err(ProxyError::Hidden),
        _ => Err(ProxyError::Shape),
    }
}

/// The TLVs must fill the rest exactly.
fn done(client: IpAddr, mut tlvs: &[u8]) -> Result<Progress, ProxyError> {
    while !tlvs.is_empty() {
        let (&[_, high, low], rest) = tlvs.split_first_chunk::<3>().ok_or(ProxyError::Shape)?;
        tlvs = rest.get(usize::from(u16::from_be_bytes([high, low]))..).ok_or(ProxyError::Shape)?;
    }
    Ok(Progress::Done(Header::Client(client)))
}
