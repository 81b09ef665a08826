//! A node over HTTP within an application's own actix-web server: the gateway answers below `/dht`, the application elsewhere.
//!
//! Run it with `cargo run --example mount_gateway`: it sets a value and reads it over HTTP, reads it from another node, and
//! ends. With `-- --serve` it stays until Ctrl-C.

use std::io;
use std::net::SocketAddr;

use actix_web::{App, HttpResponse, HttpServer, web};
use kademlia_dynamic::Node;
use kademlia_dynamic::gateway::Gateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = Node::builder().start().await?;
    let node = Node::builder().bootstrap([seed.local_addr()]).start().await?;

    // A server that others reach names itself, so that no page can reach it under another name (DNS rebinding); with TLS in
    // front it protects reads as well: `.host("dht.example.org").protect_reads(true).secure_cookie(true)`. Without a token of
    // its own the gateway makes a random one.
    let gateway = Gateway::builder(node.clone()).build();
    let token = gateway.token().reveal().to_owned();

    // Each worker mounts the same gateway: its limits and sessions are shared. It answers every path below its scope.
    let mounted = gateway.clone();
    let server = HttpServer::new(move || {
        App::new()
            .service(web::scope("/dht").configure(mounted.configure()))
            .route("/", web::get().to(|| async { HttpResponse::Ok().body("the application's own page\n") }))
    })
    .workers(2)
    .bind(("127.0.0.1", 0))?;
    let addr = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);

    let put =
        request(addr, "PUT /dht/v1/values/greeting", &format!("Authorization: Bearer {token}\r\n"), "hello").await?;
    println!("PUT with the token:\n{put}\n");
    assert!(put.contains(r#""stored":1"#));

    let refused = request(addr, "PUT /dht/v1/values/greeting", "", "bye").await?;
    println!("PUT without it:\n{refused}\n");
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("application/problem+json"));

    let read = request(addr, "GET /dht/v1/values/greeting", "", "").await?;
    println!("GET:\n{read}\n");
    assert!(read.ends_with("hello"));
    println!("and another node, which no HTTP request ever reached, has {:?}", seed.get("greeting").await?);

    if std::env::args().any(|arg| arg == "--serve") {
        println!("\nServing until Ctrl-C: curl http://{addr}/dht/v1/node\nA browser is let in by");
        println!("http://{addr}/dht/?code={}", gateway.one_time_code().reveal());
    } else {
        handle.stop(true).await;
    }
    running.await??;
    node.stop().await;
    Ok(())
}

/// One request over plain TCP: the whole answer, head and body.
async fn request(addr: SocketAddr, what: &str, headers: &str, body: &str) -> io::Result<String> {
    let length = body.len();
    let head =
        format!("{what} HTTP/1.1\r\nHost: {addr}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all((head + body).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
