//! What a long work shows on a terminal: one line that comes after a moment, counts seconds, and is gone when the
//! work is done. Nothing where standard error is no terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Work that takes less shows nothing.
const QUIET: Duration = Duration::from_millis(400);

/// Does the work, and says on standard error what goes on meanwhile.
pub fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let err = io::stderr();
    if err.is_terminal() { show(err, what, QUIET, work) } else { work() }
}

fn show<T>(mut out: impl Write + Send, what: &str, step: Duration, work: impl FnOnce() -> T) -> T {
    let (done, wait) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let begin = Instant::now();
            let mut shown = false;
            // The other end is dropped when the work is done, or has panicked.
            while wait.recv_timeout(step) == Err(RecvTimeoutError::Timeout) {
                shown = true;
                let _ = write!(out, "\r{what} ({} s)\u{1b}[K", begin.elapsed().as_secs());
                let _ = out.flush();
            }
            if shown {
                let _ = write!(out, "\r\u{1b}[K");
                let _ = out.flush();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Sender;

    struct Told(Sender<String>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_comes_and_goes() {
        let (told, heard) = channel();
        let mut text = String::new();
        // The work lasts until something was shown, however slow the machine is.
        let result = show(Told(told), "checking rules", Duration::from_millis(1), || {
            while !text.contains("checking rules (") {
                text.push_str(&heard.recv().unwrap());
            }
            7
        });
        text.extend(heard.try_iter());
        assert_eq!(result, 7);
        assert!(text.starts_with('\r') && text.ends_with("\r\u{1b}[K"), "{text:?}");
    }

    #[test]
    fn short_work_is_silent() {
        let (told, heard) = channel();
        assert_eq!(show(Told(told), "checking rules", Duration::from_secs(3600), || 1), 1);
        assert_eq!(heard.try_iter().count(), 0);
    }
}
