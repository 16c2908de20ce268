//! Any bytes as the beginning of a connection from a proxy, read as the server reads: never more than was asked for, no
//! byte behind the header, and an end within the bound. A header that was read is read the same again.

#![no_main]

use edict_runtime::smtp::proxy::{Header, Progress, read};
use libfuzzer_sys::fuzz_target;

/// The longest header: the sixteen bytes of version 2 and what may follow them.
const MOST: usize = 16 + 4096;

fn header(bytes: &[u8]) -> Option<(Header, usize)> {
    let mut have = 0;
    loop {
        assert!(have <= MOST);
        match read(bytes.get(..have)?) {
            Ok(Progress::More(more)) => {
                assert!(more > 0 && have + more <= MOST);
                have += more;
            }
            Ok(Progress::Done(header)) => return Some((header, have)),
            Err(_) => return None,
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    // Half of the inputs begin as a header does, or few would get past the signature.
    let start: &[u8] = match bytes.first().map_or(0, |b| b % 4) {
        1 => b"\r\n\r\n\0\r\nQUIT\n",
        2 => b"PROXY TCP4 ",
        3 => b"PROXY TCP6 ",
        _ => b"",
    };
    let bytes = [start, bytes.get(1..).unwrap_or_default()].concat();
    let Some((header, used)) = header(&bytes) else { return };
    let behind = [&bytes[..used], b"EHLO x\r\n"].concat();
    assert_eq!(self::header(&behind), Some((header, used)));
    if let Header::Client(ip) = header {
        assert!(!ip.to_string().is_empty());
    }
});
