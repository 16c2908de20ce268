//! Any bytes as a client's side of a session: replies are replies, nothing is relayed, and packets change nothing.

#![no_main]

mod front;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = front::play(bytes, usize::MAX);
    front::sound(&whole);
    let packet = bytes.first().map_or(1, |b| usize::from(*b) + 1);
    assert_eq!(front::play(bytes, packet), whole);
    assert_eq!(front::play(bytes, 1), whole);
});
