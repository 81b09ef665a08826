//! Requests at an even rate, whether or not answers come, and how long each answer takes.

use std::io;
use std::time::{Duration, Instant};

use super::load::{Load, READ_OF, SILENCE, Traffic, cannot};
use crate::failure::Failure;

/// Sockets that the requests are sent from, each with one request in flight, which shows what an answer belongs to: one whose answer did
/// not come sends no more. So many datagrams fit the receive buffer of any target.
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
    // What came late for others, once the runtime has looked for it.
    tokio::task::yield_now().await;
    let mut late = [0; 1];
    sockets.iter().for_each(|socket| while socket.try_recv(&mut late).is_ok() {});
    let mut asked: Vec<Asked> = Vec::new();
    let (mut took, mut answer) = (Vec::new(), vec![0; 1 << 16]);
    let (mut sent, mut was_kept) = (0, false);
    let begun = Instant::now();
    while !asked.is_empty() || sent < requests && !free.is_empty() {
        let (now, due) = (Instant::now(), begun + Duration::from_secs_f64(sent as f64 / rate));
        if sent < requests && due <= now {
            match free.pop() {
                Some(socket) => {
                    let request = traffic.request(from + sent, sockets[socket].local_addr()?);
                    let since = if was_kept { due } else { Instant::now() };
                    sockets[socket].send(&request).await?;
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
            match sockets[*socket].try_recv(&mut answer) {
                Ok(len) => {
                    took.push(since.elapsed());
                    if took.len() % READ_OF == 1 && !traffic.is_answer(&answer[..len]) {
                        return Err(io::Error::other("an answer is not what it should be"));
                    }
                    free.push(asked.swap_remove(at).socket);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if since.elapsed() > SILENCE {
                        asked.swap_remove(at);
                    } else {
                        at += 1;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        // The runtime looks for what has come to the sockets.
        tokio::task::yield_now().await;
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    struct Numbers;

    impl Traffic for Numbers {
        fn request(&self, n: u64, _: std::net::SocketAddr) -> Vec<u8> {
            n.to_be_bytes().into()
        }

        fn is_answer(&self, datagram: &[u8]) -> bool {
            datagram.len() == 9
        }
    }

    /// Answers each request with a byte more, so many times.
    async fn answer(socket: &UdpSocket, times: impl Fn(u64) -> usize) -> io::Result<()> {
        let mut datagram = [0; 9];
        loop {
            let (_, from) = socket.recv_from(&mut datagram[..8]).await?;
            let number = datagram[..8].try_into().map_or(0, u64::from_be_bytes);
            for _ in 0..times(number) {
                socket.send_to(&datagram, from).await?;
            }
        }
    }

    async fn answered(requests: [u64; 2], times: impl Fn(u64) -> usize) -> Vec<usize> {
        let target = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let load = Load::connect(target.local_addr().unwrap(), 4).await.unwrap();
        let sending = async {
            let (mut from, mut all) = (0, Vec::new());
            for requests in requests {
                all.push(pace(&load, &Numbers, from, requests, 10_000.0).await.unwrap().len());
                from += requests;
            }
            all
        };
        tokio::select! {
            all = sending => all,
            ended = answer(&target, times) => panic!("{ended:?}"),
        }
    }

    #[tokio::test]
    async fn each_request_is_sent_once_and_what_is_lost_or_came_late_counts_for_no_other() {
        let lost = |number| number == 20 || number == 200;
        assert_eq!(answered([300, 5], |number| usize::from(!lost(number))).await, [298, 5]);
        // Each socket has lost one.
        assert_eq!(answered([300, 8], |number| usize::from(number >= 300)).await, [0, 8]);
        // The second answers of the first ten come when nothing is asked, and are none to the last one.
        let times = |number| match number {
            0..10 => 2,
            299 => 0,
            _ => 1,
        };
        assert_eq!(answered([10, 290], times).await, [10, 289]);
    }
}
