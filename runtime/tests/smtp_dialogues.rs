//! Plays every dialogue of `tests/smtp` with the session: whole, byte by byte, and in random pieces.

#[cfg(test)]
#[path = "smtp/support.rs"]
mod support;

#[cfg(test)]
use support::Dialogue;

#[cfg(test)]
fn dialogues() -> Vec<Dialogue> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    paths.sort();
    assert!(paths.len() > 5);
    paths
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            Dialogue::parse(&name, &std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[cfg(test)]
fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn whole() {
    report(dialogues().iter().filter_map(|d| d.play(|left| left).err()).collect());
}

/// Any split of the same bytes into packets gives the same replies and the same message.
#[test]
fn in_pieces() {
    let mut failures = Vec::new();
    for dialogue in dialogues().iter().filter(|d| !d.whole) {
        failures.extend(dialogue.play(|_| 1).err());
        let mut seed: usize = 0x2545_f491;
        for _ in 0..8 {
            let result = dialogue.play(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                1 + (seed >> 33) % 37
            });
            failures.extend(result.err());
        }
    }
    report(failures);
}
