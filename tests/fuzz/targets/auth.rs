//! AUTH: any lines as the client's side of an exchange. Nobody gets in, the session stays a session.

#![no_main]

mod front;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, rest)) = bytes.split_first() else { return };
    let start: &[u8] = match which % 6 {
        0 => b"AUTH PLAIN\r\n",
        1 => b"AUTH LOGIN\r\n",
        2 => b"AUTH SCRAM-SHA-256\r\n",
        3 => b"AUTH PLAIN ",
        4 => b"AUTH SCRAM-SHA-256 ",
        _ => b"AUTH ",
    };
    let wire = [b"EHLO c.example\r\n", start, rest, b"\r\nMAIL FROM:<a@b.example>\r\n"].concat();
    let whole = front::play(&wire, usize::MAX);
    front::sound(&whole);
    assert_eq!(front::play(&wire, usize::from(which) + 1), whole);
});
