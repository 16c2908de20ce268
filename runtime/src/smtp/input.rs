//! What was read and is not dealt with yet. A session that waits holds no buffer.
//!
//! Buffers are large and few: one is taken from the thread when bytes come, and goes back before the
//! next wait. Only the front of an unfinished command line is kept in between.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read at once. Longer than any command line.
const SIZE: usize = 64 << 10;
/// Buffers kept by each thread.
const SPARE: usize = 4;

thread_local! {
    static BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

fn take() -> Box<[u8]> {
    BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
}

fn give_back(buffer: Box<[u8]>) {
    BUFFERS.with_borrow_mut(|spare| {
        if spare.len() < SPARE {
            spare.push(buffer);
        }
    });
}

/// Input of one connection.
#[derive(Debug, Default)]
pub(super) struct Input {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
    /// What is left of the last buffer: the front of a command line.
    rest: Vec<u8>,
}

impl Input {
    /// What is not dealt with.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) => buffer.get(self.start..self.end).unwrap_or_default(),
            None => &self.rest,
        }
    }

    /// So many bytes are dealt with.
    pub(super) fn consume(&mut self, count: usize) {
        if self.buffer.is_some() {
            self.start = self.end.min(self.start.saturating_add(count));
        } else {
            self.rest.drain(..count.min(self.rest.len()));
        }
    }

    /// Forgets everything that was read (STARTTLS: RFC 3207 4.2).
    pub(super) fn discard(&mut self) {
        self.rest = Vec::new();
        if let Some(buffer) = self.buffer.take() {
            give_back(buffer);
        }
    }

    /// Lets go of the buffer and keeps what is not dealt with.
    pub(super) fn park(&mut self) {
        let Some(buffer) = self.buffer.take() else {
            return;
        };
        self.rest = match buffer.get(self.start..self.end) {
            Some(left) if !left.is_empty() => left.to_vec(),
            _ => Vec::new(),
        };
        give_back(buffer);
    }

    /// Waits for more. False at the end of the stream, or where no more fits.
    pub(super) async fn fill<S: AsyncRead + Unpin>(&mut self, io: &mut S) -> io::Result<bool> {
        self.park();
        poll_fn(|context| {
            let mut buffer = take();
            let kept = self.rest.len();
            let Some((front, free)) = buffer.split_at_mut_checked(kept) else {
                return Poll::Ready(Ok(false));
            };
            let mut target = ReadBuf::new(free);
            match Pin::new(&mut *io).poll_read(context, &mut target) {
                Poll::Pending => {
                    give_back(buffer);
                    Poll::Pending
                }
                Poll::Ready(result) => {
                    let more = target.filled().len();
                    ready!(Poll::Ready(result))?;
                    if more == 0 {
                        return Poll::Ready(Ok(false));
                    }
                    front.copy_from_slice(&self.rest);
                    self.rest = Vec::new();
                    self.buffer = Some(buffer);
                    self.start = 0;
                    self.end = kept + more;
                    Poll::Ready(Ok(true))
                }
            }
        })
        .await
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.discard();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiting_input_keeps_only_what_is_left() {
        let (mut client, mut server) = tokio::io::duplex(1000);
        let mut input = Input::default();
        tokio::io::AsyncWriteExt::write_all(&mut client, b"NOOP\r\nNO").await.unwrap();
        assert!(input.fill(&mut server).await.unwrap());
        input.consume(6);
        input.park();
        assert!(input.buffer.is_none());
        assert_eq!(input.bytes(), b"NO");
        tokio::io::AsyncWriteExt::write_all(&mut client, b"OP\r\n").await.unwrap();
        assert!(input.fill(&mut server).await.unwrap());
        assert_eq!(input.bytes(), b"NOOP\r\n");
        drop(client);
        input.consume(6);
        assert!(!input.fill(&mut server).await.unwrap());
    }
}
