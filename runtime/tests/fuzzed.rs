//! The short form of fuzzing the front, without a nightly compiler: sessions, BDAT, AUTH and PROXY headers out of bytes
//! of a fixed seed, and what clients send in the dialogues of `smtp/`, cut and changed in places. The same properties
//! as in `tests/fuzz`. `EDICT_LONG=N` runs N rounds, of a seed that the clock gives.

#[cfg(test)]
#[path = "fuzzed/front.rs"]
#[expect(dead_code, reason = "shared with the test of packets")]
mod front;

#[cfg(test)]
mod tests {
    use super::front;
    use std::path::Path;

    /// Rounds over each property.
    const ROUNDS: usize = 150;

    /// Splitmix64: the same bytes on every machine.
    struct Bytes(u64);

    impl Bytes {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, n: usize) -> usize {
            usize::try_from(self.next() % n.max(1) as u64).unwrap()
        }

        fn some(&mut self, most: usize) -> Vec<u8> {
            (0..self.below(most)).map(|_| u8::try_from(self.next() & 0xff).unwrap()).collect()
        }
    }

    /// What clients send in the dialogues, one text a file.
    fn dialogues() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp");
        let mut out = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "txt") {
                let text = std::fs::read_to_string(path).unwrap();
                let lines = text.lines().filter_map(|line| line.strip_prefix("C: "));
                out.push(lines.flat_map(|line| format!("{line}\r\n").into_bytes()).collect());
            }
        }
        out.sort();
        out
    }

    /// A few bytes lost, doubled or replaced.
    fn changed(bytes: &[u8], random: &mut Bytes) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(out.len());
            let end = (at + random.below(30)).min(out.len());
            match random.below(3) {
                0 => drop(out.drain(at..end)),
                1 => out = [&out[..end], &out[at..]].concat(),
                _ if at < out.len() => out[at] = u8::try_from(random.next() & 0xff).unwrap(),
                _ => {}
            }
        }
        out
    }

    /// Runs a property on some bytes; where it fails, the bytes are shown so that they can become a case.
    fn show(what: &str, bytes: &[u8], property: fn(&[u8])) {
        if let Err(panic) = std::panic::catch_unwind(|| property(bytes)) {
            eprintln!("{what} fails for:\n{}\n{bytes:?}", String::from_utf8_lossy(bytes));
            std::panic::resume_unwind(panic);
        }
    }

    #[test]
    fn nothing_breaks() {
        let long: Option<usize> = std::env::var("EDICT_LONG").ok().and_then(|n| n.parse().ok());
        let now = std::time::UNIX_EPOCH.elapsed().map_or(1, |t| t.as_secs());
        let seed = if long.is_some() { now } else { 1 };
        eprintln!("seed {seed}");
        let mut random = Bytes(seed);
        let dialogues = dialogues();
        assert!(dialogues.len() > 15, "the dialogues were read");
        for round in 0..long.unwrap_or(ROUNDS) {
            show("bdat", &random.some(700), front::bdat);
            show("auth", &random.some(200), front::auth);
            show("proxy", &random.some(120), front::proxy);
            let dialogue = &dialogues[round % dialogues.len()];
            let begin = random.below(dialogue.len());
            let end = (begin + random.below(1500)).min(dialogue.len());
            let part = changed(&dialogue[begin..end], &mut random);
            let choice = u16::try_from(random.next() & 0xffff).unwrap().to_le_bytes();
            show("session", &[&choice[..], &part].concat(), front::session);
        }
    }
}
