//! The fuzzers' corpus (fuzz/corpus) through whatever it was made for, on any toolchain; and the traffic of our own nodes,
//! which is a part of it. How the corpus is made and extended: fuzz/README.md.
#![allow(clippy::unwrap_used, reason = "clippy sees no test in the helpers of one")]

#[path = "fuzzing/besieged.rs"]
mod besieged;
#[path = "fuzzing/decoders.rs"]
mod decoders;
#[path = "fuzzing/files.rs"]
mod files;
#[path = "fuzzing/keeping.rs"]
mod keeping;
#[path = "fuzzing/recording.rs"]
mod recording;
#[path = "fuzzing/records.rs"]
mod records;
#[path = "fuzzing/siege.rs"]
mod siege;
#[path = "fuzzing/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use decoders::check_decoder;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{MemoryNetwork, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, NodeId, Value};
use recording::{Recording, Tape};
use siege::besiege;

const TARGETS: [&str; 5] = ["json", "bencode", "msgpack", "node", "records"];

/// The inputs of `target`, by file name.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = files::files(&folder);
    assert!(
        !files.is_empty(),
        "there is no corpus in {}: it comes with the repository, not with the package; fuzz/README.md says how it is made",
        folder.display()
    );
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

#[test]
fn the_corpus_has_two_thousand_small_files_called_by_their_content() {
    let inputs: Vec<(String, Vec<u8>)> = TARGETS.iter().flat_map(|target| inputs(target)).collect();
    assert!(inputs.len() >= 2_000, "{} files", inputs.len());
    let bytes: usize = inputs.iter().map(|(_, input)| input.len()).sum();
    assert!(bytes < 4 << 20, "{bytes} bytes");
    for (name, input) in inputs {
        assert_eq!(name, keeping::content_name(&input));
    }
}

/// What was made for one decoder goes through the others as well.
#[test]
fn every_decoder_reads_every_input_or_refuses_it() {
    for target in TARGETS {
        let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
        for (_, input) in inputs(target) {
            for codec in Codec::ALL {
                let outcome = check_decoder(codec, &input);
                if target == codec.name() {
                    let kind = outcome.map_or_else(|error| format!("{error:?}"), |_| "read".to_owned());
                    *outcomes.entry(kind.split('(').next().unwrap_or_default().to_owned()).or_default() += 1;
                }
            }
        }
        // Of what a codec has, there is some of each kind: else the corpus has lost what it was for.
        let missing = |kind: &&str| !outcomes.contains_key(*kind);
        let kinds = ["read", "Malformed", "Duplicate", "UnknownType", "QueryId", "BadSender", "Missing", "BadField"];
        if target.parse::<Codec>().is_ok() {
            assert_eq!(kinds.iter().copied().filter(missing).collect::<Vec<_>>(), Vec::<&str>::new(), "{target}");
        }
    }
}

/// One node hears everything.
fn a_node_withstands_it_all(codec: Codec) {
    let of_codec = inputs(codec.name()).into_iter().map(|(_, input)| input);
    let of_all = inputs("node").into_iter().filter_map(|(_, input)| {
        let (which, datagram) = input.split_first()?;
        (Codec::ALL[usize::from(*which) % 3] == codec).then(|| datagram.to_vec())
    });
    let wishes = (0..50).flat_map(|n| {
        let key = n.to_string();
        [Request::FindNode { target: NodeId::of_key(&key) }, Request::FindValue { key: key.into() }]
    });
    besiege(codec, 3, of_codec.chain(of_all).map(|datagram| (datagram, None)), wishes, 500);
}

#[test]
fn a_node_withstands_all_of_json() {
    a_node_withstands_it_all(Codec::Json);
}

#[test]
fn a_node_withstands_all_of_bencode() {
    a_node_withstands_it_all(Codec::Bencode);
}

#[test]
fn a_node_withstands_all_of_messagepack() {
    a_node_withstands_it_all(Codec::MessagePack);
}

#[test]
fn stored_records_are_read_and_kept_as_the_same_or_refused() {
    let read = inputs("records").iter().filter(|(_, input)| records::check_record(input).is_some()).count();
    assert!(read > 0, "none of them is a record any more");
}

#[test]
fn what_our_nodes_say_to_each_other_is_read_and_said_again_as_the_same() {
    for codec in Codec::ALL {
        for scope in [AddressScope::Loopback, AddressScope::Global] {
            let tape = in_virtual_time(traffic(codec, scope));
            let mut by_type: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
            let tape = tape.borrow();
            for datagram in tape.iter() {
                let message =
                    check_decoder(codec, datagram).unwrap_or_else(|e| panic!("{e}: {}", datagram.escape_ascii()));
                by_type.entry(message.body.name()).or_default().push(datagram);
            }
            assert!(by_type.len() >= 10, "{codec}: {:?}", by_type.keys());
            for datagrams in by_type.values() {
                keeping::give(codec, datagrams.iter().step_by(datagrams.len().div_ceil(15)).copied());
            }
        }
    }
}

/// What eight nodes say to each other in an hour and a half.
async fn traffic(codec: Codec, scope: AddressScope) -> Tape {
    let network = MemoryNetwork::new(5).with_scope(scope);
    let tape = Tape::default();
    // So few that not each node holds each value.
    let config = Config::builder().k(3).build().unwrap();
    let mut nodes: Vec<Node> = Vec::new();
    for n in 0..8 {
        let line = Recording { inner: network.endpoint(), tape: tape.clone() };
        let contacts = nodes.first().map(Node::local_addr);
        let builder =
            Node::builder().codec(codec).config(config.clone()).node_id(NodeId::of_key(&n.to_string())).seed(n);
        nodes.push(builder.bootstrap(contacts).start_local_over(line).await.unwrap());
    }
    let values = [Value::from("text"), Value::from(b"\0\xff"), Value::from(""), Value::from("\u{1f511}".repeat(99))];
    for (n, value) in values.iter().cycle().take(16).enumerate() {
        let key = format!("key {n}");
        nodes[n % 8].set(&*key, value.clone()).await.unwrap();
        assert_eq!(nodes[(n + 3) % 8].get(&*key).await.unwrap().as_ref(), Some(value));
        assert_eq!(nodes[(n + 5) % 8].get(format!("no {key}")).await.unwrap(), None);
    }
    nodes[0].pin("key 0", 3).await.unwrap();
    actix_rt::time::sleep(Duration::from_secs(5_400)).await;
    // One that comes late reads over the wire, and leaves copies on the way.
    let line = Recording { inner: network.endpoint(), tape: tape.clone() };
    let late = Node::builder().codec(codec).config(config).seed(99).bootstrap([nodes[0].local_addr()]);
    let late = late.start_local_over(line).await.unwrap();
    for n in 0..16 {
        late.get(format!("key {n}")).await.unwrap();
    }
    for node in nodes {
        node.stop().await;
    }
    tape
}
