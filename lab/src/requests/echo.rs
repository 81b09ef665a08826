//! `kad-lab echo`: the least that a process can do with a request. It answers each datagram with one whose length the
//! datagram names.

use std::io;
use std::net::Ipv4Addr;

use tokio::net::UdpSocket;

use crate::failure::{Exit, Failure};
use crate::output;

/// The longest datagram.
const MAX_DATAGRAM: usize = 65_507;
/// The bytes that name the length of the answer, at the start of a request.
const LENGTH: usize = 4;

/// A request of `len` bytes that asks for an answer of `answer` bytes.
pub(super) fn request(len: usize, answer: usize) -> Vec<u8> {
    let mut datagram = vec![b' '; len.max(LENGTH)];
    datagram[..LENGTH].copy_from_slice(&(answer as u32).to_be_bytes());
    datagram
}

/// Serves until the process ends. The first line on standard output names the address.
pub(crate) fn run() -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(Exit::System, format!("the echo failed: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    runtime.block_on(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        output::print(&format!("{}\n", serde_json::json!({ "address": address })))?;
        serve(&socket).await.map_err(failed)
    })
}

async fn serve(socket: &UdpSocket) -> io::Result<()> {
    let mut datagram = vec![0; MAX_DATAGRAM];
    loop {
        let (_, from) = socket.recv_from(&mut datagram).await?;
        let wanted = datagram.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        socket.send_to(&datagram[..wanted.min(MAX_DATAGRAM)], from).await?;
    }
}
