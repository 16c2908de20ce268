//! The list of the queue: nothing ends it before its end, and nothing is left out of it without a word.

use super::admin::{Entered, Page};
use super::*;
use crate::spool::deferred::{State, home};

/// Five messages that are held.
fn five(data: &Path) -> Queue {
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let (spool, _) = Spool::open(data, options, Arc::new(NoLedger)).unwrap();
    for id in 1..=5 {
        let state = State { held: true, ..State::default() };
        spool.deferred().put(&message(id, &["a@far.example"], "x\n\n"), &state).unwrap();
    }
    drop(spool);
    start(data, &[], settings(data))
}

fn file(data: &Path, id: u64) -> PathBuf {
    let id = MessageId(id);
    data.join(format!("spool/deferred/{:02x}/{id}", home(id)))
}

/// The names in a page, with a `!` where one cannot be read, and what follows behind which.
fn short(page: Page) -> (Vec<String>, Option<String>) {
    let short = |id: String| id.trim_start_matches('0').to_owned();
    let entry = |entered| match entered {
        Entered::Message(listed) => short(listed.id),
        Entered::Unreadable { id, error, .. } => format!("{}! {error}", short(id)),
    };
    (page.messages.into_iter().map(entry).collect(), page.after.map(short))
}

#[tokio::test]
async fn what_cannot_be_read_is_in_the_list() {
    let data = tempfile::tempdir().unwrap();
    let queue = five(data.path());
    let mut bytes = std::fs::read(file(data.path(), 3)).unwrap();
    bytes[40] ^= 255;
    std::fs::write(file(data.path(), 3), bytes).unwrap();
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = queue.page(after, 2).await.unwrap();
        after = page.after.as_ref().map(|after| after.parse().unwrap());
        all.append(&mut short(page).0);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(
        all,
        ["1", "2", "3! a spooled message is damaged: its file is not what was written", "4", "5"]
    );
    assert_eq!(queue.list(None, 10).await.len(), 4);
}

/// A page of messages that went while it was read is an empty one, and others follow.
#[tokio::test]
async fn what_goes_meanwhile_does_not_end_the_list() {
    let data = tempfile::tempdir().unwrap();
    let queue = five(data.path());
    for id in [1, 2] {
        std::fs::remove_file(file(data.path(), id)).unwrap();
    }
    let mut page = Box::pin(queue.page(None, 2));
    tokio::select! {
        biased;
        _ = &mut page => panic!("they are not there, and the queue has them"),
        () = std::future::ready(()) => {}
    }
    for id in [1, 2] {
        queue.inner.index().remove(MessageId(id));
    }
    assert_eq!(short(page.await.unwrap()), (Vec::new(), Some("2".to_owned())));
    let rest = queue.page(Some(MessageId(2)), 3).await.unwrap();
    assert_eq!(short(rest), (vec!["3".to_owned(), "4".to_owned(), "5".to_owned()], None));
}

/// A page waits for all of them together whose files are not there, and not for one after the other.
#[tokio::test]
async fn a_page_waits_once_for_many() {
    let data = tempfile::tempdir().unwrap();
    let queue = five(data.path());
    // Once it is known that they are held, nobody else looks for them.
    wait("all are planned", || queue.inner.index().behind(None).all(|(_, due)| due == i64::MAX)).await;
    for id in [1, 2, 4, 5] {
        std::fs::remove_file(file(data.path(), id)).unwrap();
    }
    let ids: Vec<MessageId> = (1..=5).map(MessageId).collect();
    let mut waits = 0;
    let found = queue.inner.look_at(ids.clone(), || waits += 1);
    assert_eq!(waits, admin::MOST_LOOKS);
    let gone = Err(&SpoolError::Gone);
    let found: Vec<_> = found.iter().map(|(id, found)| (*id, found.as_ref().map(|_| ()))).collect();
    assert_eq!(found, ids.iter().map(|id| (*id, if id.0 == 3 { Ok(()) } else { gone })).collect::<Vec<_>>());
    // Those that go meanwhile are left out, and end the wait.
    let mut waits = 0;
    let found = queue.inner.look_at(ids, || {
        waits += 1;
        for id in [1, 2, 4, 5].into_iter().filter(|id| *id <= waits) {
            queue.inner.index().remove(MessageId(id));
        }
    });
    assert_eq!((found.len(), waits), (1, 5));
}
