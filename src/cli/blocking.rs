//! Work that may block, on threads of its own.

use super::failure::{Exit, Failure};

/// Does `work`, which may block, on a thread of its own. Where the caller no longer waits for it, it goes on alone.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let (done, outcome) = tokio::sync::oneshot::channel();
    // Not tokio's own threads: it panics where one cannot be started.
    std::thread::Builder::new()
        .name("kad-file".to_owned())
        .spawn(move || done.send(work()))
        .map_err(Failure::of(Exit::SYSTEM, "cannot start a thread (ulimit -u, or ulimit -v for its stack)"))?;
    outcome.await.map_err(|_| Failure::new(Exit::INTERNAL, "a thread that waits for a file or a connection panicked"))
}
