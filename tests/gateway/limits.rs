//! What clients may cost: requests a second, slow clients, many of them.

use std::time::Duration;

use kademlia_dynamic::gateway::Limits;
use kademlia_dynamic::gateway::server::WORKERS;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{PATIENCE, Served, problem};

async fn limited(change: impl FnOnce(&mut Limits)) -> Served {
    let mut limits = Limits::default();
    change(&mut limits);
    Served::with(|builder| builder.limits(limits)).await
}

#[actix_web::test]
async fn reads_from_the_network_are_limited_apart_from_reads_of_what_is_held() {
    let served = limited(|limits| limits.network_requests = 1).await;
    served.node.set("held", "v").await.unwrap();
    let mut refused = None;
    for _ in 0..4 {
        let answer = served.get("/v1/values/absent").await;
        if answer.status == 429 {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("two at once, and one a second");
    assert_eq!((refused.problem(), refused.header("retry-after")), (problem(429, "too_many_requests"), Some("1")));
    for _ in 0..20 {
        assert_eq!(served.get("/v1/values/held").await.status, 200);
    }
}

#[actix_web::test]
async fn all_requests_are_limited() {
    let served = limited(|limits| limits.requests = 1).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(served.get("/healthz").await.status);
    }
    assert!(statuses.starts_with(&[200, 200]) && statuses.contains(&429), "{statuses:?}");
}

/// 200 clients that send half of a head, half of a body, or read nothing of a stream.
async fn slow_clients(served: &Served) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for n in 0..200 {
        let mut client = TcpStream::connect(served.addr).await.unwrap();
        let put = served.request("PUT", "/v1/values/k").body(&[b'x'; 100]).head();
        let sent = match n % 3 {
            0 => "GET /v1/node HTTP/1.1\r\nHost: loc".to_owned(),
            1 => put + "half",
            _ => served.request("GET", "/v1/events").head(),
        };
        client.write_all(sent.as_bytes()).await.unwrap();
        clients.push(client);
    }
    clients
}

#[actix_web::test]
async fn slow_clients_hold_up_no_other_and_are_ended() {
    let served = Served::start().await;
    let clients = slow_clients(&served).await;
    for n in 0..20 {
        let key = format!("/v1/values/{n}");
        assert_eq!(served.put(&key, "text/plain", b"v").await.status, 200);
        assert_eq!(served.get(&key).await.text(), "v");
    }
    // One that is slow with its head, and one that is slow with its body: both get 408.
    for mut client in clients.into_iter().take(2) {
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("it is ended").unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    }
}

/// The niceness of the threads of this process, by their names.
#[cfg(target_os = "linux")]
fn niceness() -> Vec<(String, i32)> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread of another test may have ended since.
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).ok());
    let read = stats.map(|stat| {
        let (name, fields) = stat.split_once('(').unwrap().1.rsplit_once(") ").unwrap();
        // The 19th field, of which the third follows the name (proc_pid_stat(5)).
        (name.to_owned(), fields.split(' ').nth(16).unwrap().parse().unwrap())
    });
    read.collect()
}

/// Elsewhere threads have no niceness of their own.
#[cfg(target_os = "linux")]
#[actix_web::test]
async fn the_threads_of_the_server_give_way_to_the_node() {
    let served = Served::start().await;
    // So the threads that answer have begun.
    assert_eq!(served.get("/healthz").await.status, 200);
    let own = rustix::process::getpriority_process(None).unwrap();
    let niceness = niceness();
    for name in ["kad-http", "actix-rt|system"] {
        // Threads of other tests may just begin.
        let nicer = |(thread, nice): &(String, i32)| thread == name && *nice == (own + 10).min(19);
        assert!(niceness.iter().any(nicer), "{niceness:?}");
    }
}

#[actix_web::test]
async fn a_body_that_is_longer_than_it_says_or_comes_in_chunks_is_bounded() {
    let served = Served::start().await;
    let request =
        served.request("PUT", "/v1/values/k").head().replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let mut client = TcpStream::connect(served.addr).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let chunk = [b"1000\r\n", &[b'x'; 0x1000][..], b"\r\n"].concat();
    for _ in 0..17 {
        if client.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let mut answer = [0; 12];
    tokio::time::timeout(PATIENCE, client.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

/// Elsewhere the system has no such bound.
#[cfg(target_os = "linux")]
#[actix_web::test]
async fn a_client_that_does_not_read_its_answer_is_ended_and_gives_its_place_to_another() {
    let served = limited(|limits| {
        limits.connections = WORKERS;
        limits.read_time = Duration::from_secs(1);
    })
    .await;
    for n in 0..1_000 {
        served.node.set(format!("{n:0>1000}"), "v").await.unwrap();
    }
    // Of a megabyte most stays with the server. All places are taken for as long as nothing is ended.
    let mut clients = Vec::new();
    for _ in 0..WORKERS {
        let mut client = served.request("GET", "/v1/values?limit=1000").open().await;
        let mut begun = [0; 12];
        tokio::time::timeout(PATIENCE, client.read_exact(&mut begun)).await.unwrap().unwrap();
        assert_eq!(&begun, b"HTTP/1.1 200");
        clients.push(client);
    }
    assert_eq!(served.get("/healthz").await.status, 200);
    // One of them made the room: what was on its way to it came, and the rest never does. The other may have been in time.
    let mut ended = Vec::new();
    for mut client in clients {
        let mut read = Vec::new();
        let end = tokio::time::timeout(PATIENCE, client.read_to_end(&mut read)).await.expect("it is ended");
        ended.push((end.is_err(), read.len()));
    }
    assert!(ended.iter().any(|(broken, read)| *broken && *read < 1_000_000), "{ended:?}");
}

#[actix_web::test]
async fn a_connection_ends_after_its_first_request_so_that_half_of_a_second_one_does_not_hold_it() {
    let served = Served::start().await;
    let mut client = TcpStream::connect(served.addr).await.unwrap();
    let both = served.anonymous("GET", "/healthz").head() + "GET /v1/node HTTP/1.1\r\nHost: loc";
    client.write_all(both.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // It may be ended hard, since part of what it sent was not read.
    let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("it is ended");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}
