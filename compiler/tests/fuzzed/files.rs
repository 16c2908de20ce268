//! Rule sets of several files in one text.

/// A rule set in the form of the golden cases: `=== path` begins a further file.
pub fn split(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let (mut path, mut body) = ("main.edict".to_owned(), Vec::new());
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        match line.strip_prefix(b"=== ") {
            Some(next) => {
                files.push((path, std::mem::take(&mut body)));
                path = String::from_utf8_lossy(next).trim().to_owned();
            }
            None => body.extend_from_slice(line),
        }
    }
    files.push((path, body));
    files
}
