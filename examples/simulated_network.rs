//! Tests an application's own actor against 50 nodes without opening a socket: a notice board that posts under numbered
//! keys, and reads what others posted. First all is well, then a third of the nodes die, then a day passes in which nodes
//! come and go over lines that lose every fiftieth datagram.
//!
//!     cargo run --example simulated_network
//!
//! All of it happens in virtual time, and the same seed gives the same day: what goes wrong here can be run again.

use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use kademlia_dynamic::sim::{Churn, Latency, Sim, SimError};
use kademlia_dynamic::{Error, GetOptions, GetResult, Node, Value};

/// The application: it owns a node and knows nothing of simulations.
struct Board {
    node: Node,
    posted: usize,
}

impl Actor for Board {
    type Context = Context<Self>;
}

/// Puts a notice up, and says how many nodes hold it beside ours.
#[derive(Message)]
#[rtype(result = "Result<usize, Error>")]
struct Post(String);

/// A notice of this board, as any node can read it.
#[derive(Message)]
#[rtype(result = "Result<Notice, Error>")]
struct Read(usize);

/// What reading comes to. An application that takes "no peer answered" for "not there" tells its user a lie.
#[derive(Debug, PartialEq)]
enum Notice {
    Text(String),
    NotThere,
    AskAgain,
}

fn key(number: usize) -> String {
    format!("board/notice/{number}")
}

impl Handler<Post> for Board {
    type Result = ResponseFuture<Result<usize, Error>>;

    fn handle(&mut self, Post(text): Post, _: &mut Self::Context) -> Self::Result {
        let (node, key) = (self.node.clone(), key(self.posted));
        self.posted += 1;
        Box::pin(async move { Ok(node.set(key, text).await?.stored) })
    }
}

impl Handler<Read> for Board {
    type Result = ResponseFuture<Result<Notice, Error>>;

    fn handle(&mut self, Read(number): Read, _: &mut Self::Context) -> Self::Result {
        let node = self.node.clone();
        Box::pin(async move {
            Ok(match node.get_with(key(number), GetOptions::default()).await?.result {
                GetResult::Found { value: Value::Text(text), .. } => Notice::Text(text),
                GetResult::Found { .. } | GetResult::Unsupported { .. } | GetResult::NotFound { .. } => {
                    Notice::NotThere
                }
                GetResult::NoneAnswered { .. } => Notice::AskAgain,
            })
        })
    }
}

fn main() -> Result<(), SimError> {
    let builder = Sim::builder()
        .nodes(50)
        .seed(7)
        .latency(Latency::LogNormal { median: Duration::from_millis(40), sigma: 0.5 })
        .loss(0.02)
        // The application's two nodes are at the first two places: they stay.
        .churn(Churn::weibull(Duration::from_secs(4 * 3_600)).sparing(2));
    Sim::run(builder, async |sim| {
        let board = |place| sim.node(place).map(|node| Board { node, posted: 0 }.start());
        let (Some(writer), Some(reader)) = (board(0), board(1)) else { panic!("the first two stay") };
        let ask = async |number| reader.send(Read(number)).await.expect("the board runs");
        let post = async |text: &str| writer.send(Post(text.to_owned())).await.expect("the board runs");

        let stored = post("lost: a blue umbrella").await?;
        println!("{stored} nodes hold the first notice");
        assert!(stored >= 15, "k = 20 are asked, and 2 % of the datagrams are lost");
        assert_eq!(ask(0).await?, Notice::Text("lost: a blue umbrella".to_owned()));
        assert_eq!(ask(1).await?, Notice::NotThere);

        assert!((2..18).all(|place| sim.kill(place)));
        assert_eq!(ask(0).await?, Notice::Text("lost: a blue umbrella".to_owned()));
        println!("16 of 50 nodes died at once, and it can still be read");

        post("found: a blue umbrella").await?;
        for hour in 1..=24 {
            sim.run_for(Duration::from_secs(3_600)).await;
            assert_eq!(ask(0).await?, Notice::Text("lost: a blue umbrella".to_owned()), "after {hour} h");
            assert_eq!(ask(1).await?, Notice::Text("found: a blue umbrella".to_owned()), "after {hour} h");
        }
        let (population, copies) = (sim.population(), sim.copies_of(&key(0)).await);
        println!(
            "a day later {} came, {} left, {} died: {copies} copies",
            population.joined, population.left, population.died
        );

        // An application that hears nothing must not say "not there".
        sim.partition([1]);
        assert_eq!(ask(2).await?, Notice::AskAgain);
        Ok(())
    })?
}
