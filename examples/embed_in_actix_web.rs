//! A web service that keeps its data in a DHT: `PUT /{key}` sets, `GET /{key}` gets.
//!
//! Run it with `cargo run --example embed_in_actix_web`: it starts a small network and the service, makes one request of
//! each kind to itself, and ends. With `-- --serve` it stays until Ctrl-C.

use std::io;
use std::net::SocketAddr;

use actix_web::http::StatusCode;
use actix_web::web::{self, ThinData};
use actix_web::{App, HttpResponse, HttpServer, Responder, ResponseError, get, put};
use kademlia_dynamic::{Error, Node, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[put("/{key}")]
async fn put_value(node: ThinData<Node>, key: web::Path<String>, body: web::Bytes) -> Result<HttpResponse, Failure> {
    // Text stays text and bytes stay bytes, on every wire. Here UTF-8 is text; a service may as well go by the content type.
    let value = match String::from_utf8(body.to_vec()) {
        Ok(text) => Value::Text(text),
        Err(other) => Value::Bytes(other.into_bytes()),
    };
    let outcome = node.set(key.as_str(), value).await?;
    Ok(HttpResponse::Ok().json(outcome))
}

#[get("/{key}")]
async fn get_value(node: ThinData<Node>, key: web::Path<String>) -> Result<impl Responder, Failure> {
    Ok(match node.get(key.as_str()).await? {
        Some(Value::Text(text)) => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text),
        Some(Value::Bytes(bytes)) => HttpResponse::Ok().content_type("application/octet-stream").body(bytes),
        None => HttpResponse::NotFound().finish(),
    })
}

/// A request to the node that failed, as HTTP says it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failure(#[from] Error);

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        match self.0 {
            Error::KeyTooLong { .. } => StatusCode::URI_TOO_LONG,
            Error::ValueTooLarge { .. } | Error::AnswerTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Error::NoneAnswered { .. } => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The rest of the network: nodes that share this thread, which is what `start_local` is for.
    let seed = Node::builder().start_local().await?;
    let mut neighbours = vec![seed.clone()];
    for _ in 0..4 {
        neighbours.push(Node::builder().bootstrap([seed.local_addr()]).start_local().await?);
    }

    // The service's own node: `start`, which gives it a thread of its own. actix-web runs each of its workers on an Arbiter
    // of its own; one handle serves them all, and no handler that keeps its worker busy delays a datagram. With
    // `start_local` inside the factory below there would be a node for each worker, and each would share its worker's time.
    let node = Node::builder().bootstrap([seed.local_addr()]).start().await?;
    let shared = node.clone();
    let server =
        HttpServer::new(move || App::new().app_data(ThinData(shared.clone())).service(get_value).service(put_value))
            .workers(2)
            .bind(("127.0.0.1", 0))?;
    let addr = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);
    println!("http://{addr}/ keeps its data in a network of {} nodes", neighbours.len() + 1);

    let answer = request(addr, "PUT /greeting", "hello").await?;
    println!("\nPUT /greeting, with the body hello:\n{answer}");
    assert!(answer.contains(r#""stored":5"#), "all five neighbours hold it");

    let answer = request(addr, "GET /greeting", "").await?;
    println!("\nGET /greeting:\n{answer}");
    assert!(answer.ends_with("hello"));

    let value = neighbours[3].get("greeting").await?;
    println!("\nand a neighbour, which no HTTP request ever reached, has {value:?}");

    if std::env::args().any(|arg| arg == "--serve") {
        println!("\nServing until Ctrl-C: curl -X PUT -d hello http://{addr}/greeting");
    } else {
        handle.stop(true).await;
    }
    running.await??;
    node.stop().await;
    Ok(())
}

/// One request over plain TCP: the whole answer, head and body.
async fn request(addr: SocketAddr, what: &str, body: &str) -> io::Result<String> {
    let length = body.len();
    let head = format!("{what} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all((head + body).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
