//! Requests at an even rate, whether or not answers come, and how long each answer takes.

use std::io;
use std::time::{Duration, Instant};

use super::load::{Load, SILENCE, Traffic, cannot};
use crate::failure::Failure;

/// Sockets that the requests are sent from in turn, each with one request in flight, which shows what an answer belongs to. So many
/// datagrams fit the receive buffer of any target.
pub(super) const SOCKETS: usize = 128;

/// A request in flight.
struct Asked {
    socket: usize,
    /// When it was sent; or was to be sent, where the answers that were due kept it waiting.
    since: Instant,
}

/// Sends the requests numbered `from` on, so many, evenly at `rate` a second. Returns how long each answer took that came, in no
/// particular order.
pub(super) async fn pace(
    load: &Load,
    traffic: &impl Traffic,
    from: u64,
    requests: u64,
    rate: f64,
) -> Result<Vec<Duration>, Failure> {
    send_evenly(load, traffic, from, requests, rate).await.map_err(|error| cannot(load.to, &error))
}

async fn send_evenly(
    load: &Load,
    traffic: &impl Traffic,
    from: u64,
    requests: u64,
    rate: f64,
) -> io::Result<Vec<Duration>> {
    let sockets = load.sockets();
    let mut free: Vec<usize> = (0..sockets.len()).collect();
    let mut asked: Vec<Asked> = Vec::new();
    let (mut took, mut answer) = (Vec::new(), vec![0; 1 << 16]);
    let (mut sent, mut was_kept) = (0, false);
    let begun = Instant::now();
    while sent < requests || !asked.is_empty() {
        let (now, due) = (Instant::now(), begun + Duration::from_secs_f64(sent as f64 / rate));
        if sent < requests && due <= now {
            match free.pop() {
                Some(socket) => {
                    let since = if was_kept { due } else { now };
                    sockets[socket].send(&traffic.request(from + sent, sockets[socket].local_addr()?)).await?;
                    asked.push(Asked { socket, since });
                    sent += 1;
                }
                None => was_kept = true,
            }
        } else {
            was_kept = false;
        }
        let mut at = 0;
        while let Some(Asked { socket, since }) = asked.get(at) {
            let ended = match sockets[*socket].try_recv(&mut answer) {
                Ok(_) => {
                    took.push(since.elapsed());
                    true
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => since.elapsed() > SILENCE,
                Err(error) => return Err(error),
            };
            if ended {
                free.push(asked.swap_remove(at).socket);
            } else {
                at += 1;
            }
        }
        // The runtime looks for what has come to the sockets.
        tokio::task::yield_now().await;
    }
    Ok(took)
}
