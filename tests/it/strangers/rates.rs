//! A network of strangers, each of whom sends slowly, while all together send too fast.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::message::{Body, Request, Response};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, NodeId};
use tokio::time::sleep;

use crate::support::{drain, legacy};

/// A sender of pings, which counts the answers.
struct Pinger {
    end: MemoryTransport,
    sent: u64,
    answered: u64,
}

impl Pinger {
    fn at(network: &MemoryNetwork, ip: IpAddr) -> Self {
        let end = network.endpoint_at(SocketAddr::new(ip, 7_000)).unwrap();
        Self { end, sent: 0, answered: 0 }
    }

    fn say(&self, to: SocketAddr, id: u64, claimed: NodeId, body: Body) {
        self.end.send(to, legacy(self.end.addr(), Some(claimed), id, body));
    }

    /// Sends a ping under the node's own id, so that the node sends no ping of its own to learn who that is.
    fn ping(&mut self, node: &Node) {
        self.sent += 1;
        self.say(node.local_addr(), self.sent, node.id(), Body::Request(Request::Ping));
    }

    /// Counts the pongs that have come.
    fn look(&mut self) {
        let pongs = drain(&self.end).into_iter().filter(|message| message.body == Body::Response(Response::Pong));
        self.answered += pongs.count() as u64;
    }

    /// Proves its address to `node`.
    async fn prove(&self, node: &Node) {
        let answer = async {
            let query = Codec::Json.decode(&self.end.receive().await.payload).unwrap();
            self.say(
                node.local_addr(),
                query.id.as_u64().unwrap(),
                NodeId::of_key("verified"),
                Body::Response(Response::Pong),
            );
        };
        let (pong, ()) = futures_util::future::join(node.ping(self.end.addr()), answer).await;
        assert_eq!(pong.unwrap().peer.addr, self.end.addr());
    }
}

#[test]
fn strangers_of_one_network_share_its_rate_however_slowly_each_sends_and_no_other_network_suffers() {
    let networks: [fn(u8, u8) -> IpAddr; 2] = [
        |network, host| [45, 9, network, host].into(),
        // A /48 each, of which every host has a /64.
        |network, host| [0x2600, 0x9, network.into(), host.into(), 0, 0, 0, 1].into(),
    ];
    for ip in networks {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
            let config = Config::builder().source_rate(50).source_burst(50).prefix_rate(100).prefix_burst(100);
            let own = network.endpoint_at(SocketAddr::new(ip(1, 1), 7_000)).unwrap();
            let builder = Node::builder().config(config.build().unwrap()).seed(1);
            let node = builder.start_local_over(own).await.unwrap();
            let mut strangers: Vec<Pinger> = (1..=10).map(|host| Pinger::at(&network, ip(2, host))).collect();
            let (mut neighbour, mut elsewhere) = (Pinger::at(&network, ip(2, 200)), Pinger::at(&network, ip(3, 1)));
            neighbour.prove(&node).await;

            // 25 a second from each: half of what one may send, and two and a half times what they may together.
            for _ in 0..25 * 4 {
                let all = strangers.iter_mut().chain([&mut neighbour, &mut elsewhere]);
                all.for_each(|pinger| pinger.ping(&node));
                sleep(Duration::from_millis(40)).await;
                strangers.iter_mut().chain([&mut neighbour, &mut elsewhere]).for_each(Pinger::look);
            }
            let sum = |of: fn(&Pinger) -> u64| strangers.iter().map(of).sum::<u64>();
            let (sent, answered) = (sum(|it| it.sent), sum(|it| it.answered));
            // The burst, and four seconds of the rate.
            assert!((490..=500).contains(&answered), "{answered} of {sent} answered");
            assert_eq!(node.counters().get(Counter::TooFast), sent - answered, "{:?}", node.counters());
            for unharmed in [&neighbour, &elsewhere] {
                assert_eq!(unharmed.answered, unharmed.sent, "at {}", unharmed.end.addr());
            }
            let dropped = node.counters().snapshot();
            let reasons: Vec<_> = dropped.keys().filter(|name| name.starts_with("kad_dropped_total")).collect();
            assert_eq!(reasons, ["kad_dropped_total{too_fast}"]);

            // When they pause, the network has room again.
            sleep(Duration::from_secs(1)).await;
            let before = strangers[0].answered;
            strangers[0].ping(&node);
            sleep(Duration::from_millis(40)).await;
            strangers[0].look();
            assert_eq!(strangers[0].answered, before + 1);
        });
    }
}
