//! What the system dropped of a UDP socket's datagrams before they could be read: its receive buffer was full, or a checksum
//! was wrong. Linux keeps the count, and shows it in `/proc/net/udp`; no other system does.
//!
//! `SO_RXQ_OVFL` gives the same number, but only along with a later datagram, so that after a flood it is late.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// The system's count for one socket.
#[derive(Debug)]
pub(super) struct Losses {
    /// Where the socket is listed: with those of its family.
    table: &'static str,
    /// By which number.
    inode: u64,
    /// The count as it was last seen. It starts at 0 with the socket, and after 2^32 - 1 again.
    last: u32,
    /// All so far.
    total: u64,
}

impl Losses {
    /// Of `socket`, which has lost nothing yet. `None` where the system does not say.
    pub(super) fn of(socket: &impl AsRawFd, ipv6: bool) -> Option<Self> {
        let inode = fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?.ino();
        let table = if ipv6 { "/proc/thread-self/net/udp6" } else { "/proc/thread-self/net/udp" };
        find(BufReader::new(File::open(table).ok()?), inode).ok()??;
        Some(Self { table, inode, last: 0, total: 0 })
    }

    /// All so far. What cannot be read now is read the next time.
    pub(super) fn total(&mut self) -> u64 {
        let found = File::open(self.table).and_then(|table| find(BufReader::new(table), self.inode));
        if let Ok(Some(count)) = found {
            self.total += u64::from(count.wrapping_sub(self.last));
            self.last = count;
        }
        self.total
    }
}

/// The count of the socket with number `inode` in a table of sockets: its tenth column is the inode, its last the count.
fn find(table: impl BufRead, inode: u64) -> io::Result<Option<u32>> {
    for line in table.lines() {
        let line = line?;
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let of_it = columns.get(9).and_then(|column| column.parse().ok()) == Some(inode);
        if let Some(count) = columns.get(12).filter(|_| of_it) {
            return Ok(count.parse().ok());
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    const TABLE: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            
  117: 0100007F:1F40 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 45012 2 0000000000000000 7         
 2034: 00000000:14E9 00000000:0000 07 00000000:00000300 00:00000000 00000000     0        0 45013 2 0000000000000000 4294967295
";

    #[test]
    fn the_count_of_a_socket_is_found_by_its_inode() {
        let of = |inode| find(TABLE.as_bytes(), inode).unwrap();
        assert_eq!([of(45012), of(45013), of(0)], [Some(7), Some(u32::MAX), None]);
    }

    #[test]
    fn a_socket_that_is_never_read_counts_what_does_not_fit_it() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut losses = Losses::of(&socket, false).expect("Linux keeps the count");
        assert_eq!(losses.total(), 0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..4_000 {
            sender.send_to(&[0; 1_000], socket.local_addr().unwrap()).unwrap();
        }
        let lost = losses.total();
        socket.set_nonblocking(true).unwrap();
        let read = std::iter::from_fn(|| socket.recv(&mut [0; 1_000]).ok()).count() as u64;
        assert!(lost > 0 && read + lost == 4_000, "{read} were read, {lost} lost");
    }
}
