//! Two nodes, one value: the smallest network there is. It queries no other node, and ends by itself.
//!
//! Run it with `cargo run --example two_nodes`.

use kademlia_dynamic::{Error, GetOptions, GetResult, Node, NodeId, Value};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // Without `bind` a node listens on 127.0.0.1 at any free port, so that this program can run beside any other.
    let first = Node::builder().start().await?;
    let second = Node::builder().bootstrap([first.local_addr()]).start().await?;
    println!("first   {} at {}", first.id().short(), first.local_addr());
    println!("second  {} at {}, joined through the first", second.id().short(), second.local_addr());

    // A `set` is no mere "ok": it says how many of the nodes asked hold the value now. What is enough is for you to say.
    let outcome = first.set("greeting", "hello").await?;
    println!("\nset greeting = hello, at the first:");
    println!("  place   {}", NodeId::of_key("greeting"));
    println!("  stored  at {} of {} asked, for {:?} at least", outcome.stored, outcome.asked, outcome.expires_in);
    assert_eq!((outcome.asked, outcome.stored), (1, 1));

    // A `get` tells "none of the nearest holds it" from "some were not heard" and from "none answered": the first is a fact, the
    // others are a network to look after.
    println!("\nget, at the second:");
    for key in ["greeting", "farewell"] {
        match second.get_with(key, GetOptions::default()).await?.result {
            GetResult::Found { value, .. } => println!("  {key}: {value:?}"),
            GetResult::Unsupported { holder } => println!("  {key}: neither text nor bytes, at {holder}"),
            GetResult::NotFound { answered, unheard: 0 } => println!("  {key}: absent, say {answered} of those asked"),
            GetResult::NotFound { unheard, .. } => println!("  {key}: not found, but {unheard} did not answer"),
            GetResult::NoneAnswered { asked } => println!("  {key}: none of {asked} peers answered"),
        }
    }
    assert_eq!(second.get("greeting").await?, Some(Value::from("hello")));
    assert_eq!(second.get("farewell").await?, None);

    // The copy at the second outlives the node that set it, until it expires.
    first.stop().await;
    assert_eq!(second.get("greeting").await?, Some(Value::from("hello")));
    println!("\nThe first has stopped; the second still holds the value.");
    second.stop().await;
    Ok(())
}
