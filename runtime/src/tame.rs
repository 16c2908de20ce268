//! For tests of time-outs: a clock of the runtime that stands still while the machine does.
//!
//! It goes on by ten milliseconds after as many in truth, and between two such steps all that is ready is done. So whoever times
//! out heard nothing for many turns: a machine that pauses costs one step, however long it does. For runtimes of one thread, and
//! only for what goes by tokio's clock.

use std::time::Duration;

/// The clock is in hand, for the rest of the test.
pub(crate) struct Tame;

pub(crate) fn tame_clock() -> Tame {
    let (held, over) = std::sync::mpsc::channel::<()>();
    tokio::time::pause();
    // While there is such work the clock does not jump to the next time-out where nothing is ready.
    tokio::task::spawn_blocking(move || over.recv());
    tokio::spawn(async move {
        let _held = held;
        let step = Duration::from_millis(10);
        while tokio::task::spawn_blocking(move || std::thread::sleep(step)).await.is_ok() {
            tokio::time::advance(step).await;
        }
    });
    Tame
}
