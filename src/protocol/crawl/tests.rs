use super::*;
use crate::protocol::entropy::SeededEntropy;

/// A network of which each node knows its 20 nearest and some in each part of the id space, and the crawl of it.
struct World {
    peers: Vec<Peer>,
    /// What each node knows, by its number.
    known: HashMap<usize, Vec<Peer>>,
    entropy: SeededEntropy,
    now: Instant,
    /// When each query was sent, and where to.
    sent: Vec<(Instant, SocketAddr)>,
    /// Nodes that do not answer.
    dead: usize,
    /// Nodes of the Python package.
    legacy: usize,
}

const RTT: Duration = Duration::from_millis(30);

impl World {
    fn new(seed: u64, count: usize) -> Self {
        let mut entropy = SeededEntropy::new(seed);
        let mut peer = |number: usize| {
            let mut id = [0; 20];
            entropy.fill(&mut id);
            Peer::new(NodeId::from_bytes(id), ([198, 18, (number >> 8) as u8, number as u8], 8_000).into())
        };
        let peers = (0..count).map(&mut peer).collect();
        Self { peers, known: HashMap::new(), entropy, now: Instant::now(), sent: Vec::new(), dead: 0, legacy: 0 }
    }

    /// The nearest to `target` that the node `number` knows: all of its neighbours, and of the others every eighth.
    fn nearest(&mut self, number: usize, target: NodeId) -> Vec<Peer> {
        let (all, own) = (&self.peers, self.peers[number].id);
        let known = self.known.entry(number).or_insert_with(|| {
            let mut known: Vec<Peer> = all.iter().filter(|peer| peer.id != own).copied().collect();
            known.sort_by_key(|peer| peer.id.distance(&own));
            let far = known.split_off(known.len().min(20));
            known.extend(
                far.into_iter().enumerate().filter(|(n, _)| (n + number).is_multiple_of(8)).map(|(_, peer)| peer),
            );
            known
        });
        known.sort_by_key(|peer| peer.id.distance(&target));
        known.iter().take(20).copied().collect()
    }

    /// Crawls until it is done, or has sent `most` queries; `lie` adds to what the node of a number names.
    fn run(&mut self, crawl: &mut Crawl, most: usize, lie: impl Fn(usize) -> Vec<Peer>) -> bool {
        let mut answers: VecDeque<(Instant, CrawlQuery)> = VecDeque::new();
        loop {
            while let Some((at, query)) = answers.front().copied().filter(|(at, _)| *at <= self.now) {
                answers.pop_front();
                let Some(number) = self.peers.iter().position(|peer| peer.addr == query.to) else { continue };
                let mut peers = lie(number);
                peers.extend(self.nearest(number, query.target));
                let version = (number >= self.dead + self.legacy).then_some(2);
                let (sender, token) = (Some(self.peers[number].id), Some(Token::from_u64(number as u64)));
                let answer = CrawlAnswer { from: query.to, id: query.id, sender, version, token, peers: &peers };
                assert!(crawl.answer(answer, at, |_| true));
            }
            if self.sent.len() >= most {
                return false;
            }
            match crawl.poll(self.now, &mut self.entropy) {
                CrawlStep::Send(query) => {
                    self.sent.push((self.now, query.to));
                    let lives = self.peers.iter().skip(self.dead).any(|peer| peer.addr == query.to);
                    if lives {
                        answers.push_back((self.now + RTT, query));
                    }
                }
                CrawlStep::Wait(until) => {
                    assert!(until > self.now);
                    self.now = answers.front().map_or(until, |(at, _)| until.min(*at)).max(self.now);
                }
                CrawlStep::Done if answers.is_empty() => return true,
                CrawlStep::Done => self.now = answers[0].0,
            }
        }
    }
}

fn crawl(max_nodes: usize) -> Crawl {
    Crawl::new(CrawlLimits { rate: 100, max_nodes })
}

#[test]
fn every_node_that_answers_is_found_from_one_contact_with_its_version_and_round_trip() {
    let mut world = World::new(1, 600);
    (world.dead, world.legacy) = (60, 100);
    let mut crawl = crawl(10_000);
    crawl.contact(world.peers[300].addr);
    assert!(world.run(&mut crawl, usize::MAX, |_| Vec::new()));
    let counts = crawl.counts();
    assert_eq!((counts.answered, counts.silent, counts.beyond), (540, 60, 0));
    let answers = crawl.answers();
    assert!(answers.is_sorted_by_key(|answered| answered.peer.id));
    assert_eq!(answers.iter().filter(|answered| answered.version.is_none()).count(), 100);
    assert!(answers.iter().all(|answered| answered.rtt == Some(RTT)));
    let estimate = crawl.estimate().unwrap();
    assert!((estimate.nodes - 540.0).abs() <= estimate.error && estimate.error < 100.0, "{estimate:?}");
}

#[test]
fn no_second_has_more_queries_than_the_rate_and_no_node_more_than_three_or_two_in_vain() {
    let mut world = World::new(2, 300);
    world.dead = 30;
    let mut crawl = crawl(10_000);
    crawl.contact(world.peers[100].addr);
    assert!(world.run(&mut crawl, usize::MAX, |_| Vec::new()));
    for (first, (at, _)) in world.sent.iter().enumerate() {
        let within = world.sent[first..].iter().take_while(|(later, _)| *later < *at + Duration::from_secs(1));
        assert!(within.count() <= 100);
    }
    for (number, peer) in world.peers.iter().enumerate() {
        let count = world.sent.iter().filter(|(_, to)| *to == peer.addr).count();
        assert!(count <= if number < 30 { 2 } else { 3 }, "{count} to {number}");
    }
    assert_eq!(world.sent.len() as u64, crawl.counts().queries);
}

#[test]
fn a_crawl_that_is_cut_short_estimates_the_size_within_its_error_nineteen_times_of_twenty() {
    let mut within = 0;
    for seed in 0..20 {
        let mut world = World::new(seed, 300);
        let mut crawl = crawl(10_000);
        crawl.contact(world.peers[0].addr);
        assert!(!world.run(&mut crawl, 120, |_| Vec::new()));
        assert!(crawl.counts().answered < 200);
        let estimate = crawl.estimate().unwrap();
        within += u32::from((estimate.nodes - 300.0).abs() <= estimate.error);
    }
    assert!(within >= 18, "{within} of 20");
}

#[test]
fn what_is_remembered_is_bounded_and_a_host_that_liars_name_gets_few_queries() {
    let victim = |port: u16| Peer::new(NodeId::of_key(&port.to_string()), ([203, 0, 113, 7], port).into());
    let mut world = World::new(3, 100);
    let mut bounded = crawl(150);
    bounded.contact(world.peers[0].addr);
    let lie = |number: usize| (0..30).map(|n| victim((1_000 + 30 * number + n) as u16)).collect::<Vec<_>>();
    assert!(world.run(&mut bounded, usize::MAX, lie));
    assert!(bounded.known() <= 150 && bounded.counts().beyond > 0);
    let at_victim = world.sent.iter().filter(|(_, to)| to.ip() == victim(1).addr.ip()).count();
    assert_eq!(at_victim, 2 * MAX_PER_HOST as usize);

    let mut tiny = crawl(10);
    tiny.contact(world.peers[0].addr);
    world.sent.clear();
    assert!(world.run(&mut tiny, usize::MAX, |_| Vec::new()));
    assert!((tiny.known(), tiny.counts().answered) == (10, 10) && tiny.estimate().is_some());
}

#[test]
fn an_answer_that_was_not_asked_for_or_comes_from_elsewhere_changes_nothing() {
    let mut world = World::new(4, 3);
    let mut crawl = crawl(10);
    crawl.contact(world.peers[0].addr);
    let CrawlStep::Send(query) = crawl.poll(world.now, &mut world.entropy) else { panic!() };
    let peers = [world.peers[2]];
    let answer = |from, id| CrawlAnswer { from, id, sender: None, version: None, token: None, peers: &peers };
    assert!(!crawl.answer(answer(world.peers[1].addr, query.id), world.now, |_| true));
    assert!(!crawl.answer(answer(query.to, QueryId::from_u64(7)), world.now, |_| true));
    assert_eq!(crawl.known(), 1);
    // One without an id is no node, but is believed that it knows some.
    assert!(crawl.answer(answer(query.to, query.id), world.now, |_| true));
    assert_eq!((crawl.known(), crawl.counts().answered), (2, 0));
    assert!(!crawl.answer(answer(query.to, query.id), world.now, |_| true), "it came already");
}
