//! The targets without libFuzzer, on a stable toolchain: mutations of the corpus, by chance that a seed gives.
//!
//! usage: mutate json|bencode|msgpack|records|node EXECUTIONS [SEED]
//!
//! An input with an outcome that none before it had is added to the corpus. It ends with 101 where something does not hold, and
//! has written the input to `found-TARGET` then.

#[allow(dead_code, reason = "the tests ask it more")]
#[path = "../../tests/fuzzing/besieged.rs"]
mod besieged;
#[path = "../../tests/fuzzing/decoders.rs"]
mod decoders;
#[path = "../../tests/fuzzing/files.rs"]
mod files;
#[allow(dead_code, reason = "the tests give, this keeps")]
#[path = "../../tests/fuzzing/keeping.rs"]
mod keeping;
#[path = "../../tests/fuzzing/mutator.rs"]
mod mutator;
#[path = "../../tests/fuzzing/records.rs"]
mod records;
#[path = "../../tests/fuzzing/world.rs"]
mod world;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use besieged::Besieged;
use kademlia_dynamic::Codec;
use kademlia_dynamic::protocol::message::{Body, Message, Response};
use kademlia_dynamic::sim::VirtualTime;
use mutator::Mutator;

/// Inputs beyond it cost time and show nothing new.
const MAX_INPUT: usize = 4_096;

/// A record as the store keeps it, behind the length of its key and the key: what `records` begins with.
const RECORD: &[u8] = b"\x03key\x99\xc4\x05value\xc3\xc2\xc2\x07\xa7Unknown\xc0\x94\x00\xcf\x00\x00\x01\xa2\x04\x01\xc9}\x00\xce\x05&\x83\x10\x90";

/// Runs one input; what came of it, where that is of interest.
type Target = Box<dyn FnMut(&[u8]) -> Option<String>>;

fn target(name: &str) -> Option<Target> {
    if let Ok(codec) = name.parse::<Codec>() {
        return Some(Box::new(move |datagram| {
            Some(match decoders::check_decoder(codec, datagram) {
                Ok(message) => shape(&message),
                Err(error) => error.to_string(),
            })
        }));
    }
    match name {
        "records" => Some(Box::new(|input| {
            Some(match records::check_record(input) {
                Some(len) => format!("a record of {len} bytes"),
                None => "no record".to_owned(),
            })
        })),
        "node" => {
            let time = VirtualTime::new();
            let mut nodes = Codec::ALL.map(|codec| time.run(Besieged::new(codec, 1)));
            Some(Box::new(move |input| {
                let (which, datagram) = input.split_first()?;
                time.run(nodes[usize::from(*which) % 3].feed(datagram));
                None
            }))
        }
        _ => None,
    }
}

/// What is read, in broad strokes.
fn shape(message: &Message) -> String {
    let more = match &message.body {
        Body::Response(Response::FindNode { peers } | Response::NoValue { peers }) => peers.len().min(3),
        Body::Response(Response::CheckStore { has_key, ttl, .. }) => usize::from(*has_key) + 2 * usize::from(ttl.is_some()),
        Body::Response(Response::Set { stored, .. }) => usize::from(*stored),
        _ => 0,
    };
    let Message { sender, version, .. } = message;
    format!("{} {more} {} {} {}", message.body.name(), sender.id.is_some(), sender.ip.is_some(), version.is_some())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let name = args.first().map_or("", String::as_str);
    let (Some(mut run), Some(Ok(executions))) = (target(name), args.get(1).map(|number| number.parse::<u64>())) else {
        eprintln!("usage: mutate json|bencode|msgpack|records|node EXECUTIONS [SEED]");
        return ExitCode::from(64);
    };
    let seed = args.get(2).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut corpus: Vec<Vec<u8>> = files::files(&folder.join(name)).iter().map(|file| read(file)).collect();
    corpus.retain(|input| input.len() <= MAX_INPUT);
    if corpus.is_empty() && name == "records" {
        keeping::keep(&folder, name, RECORD);
        corpus.push(RECORD.to_vec());
    }
    if corpus.is_empty() {
        eprintln!("there is nothing to mutate in {}", folder.join(name).display());
        return ExitCode::from(64);
    }
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));

    let mut seen: HashSet<String> = corpus.iter().filter_map(|input| run(input)).collect();
    let mut mutator = Mutator::new(seed);
    let mut input = Vec::new();
    let (first, mut added) = (corpus.len(), 0);
    let start = Instant::now();
    for n in 0..executions {
        let (one, other) = (mutator.below(corpus.len()), mutator.below(corpus.len()));
        mutator.mutate(&corpus[one], &corpus[other], &mut input);
        input.truncate(MAX_INPUT);
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&input)));
        let Ok(outcome) = ran else {
            let found = format!("found-{name}");
            std::fs::write(&found, &input).expect("the working directory can be written to");
            eprintln!("after {n} executions with seed {seed}: see {found}");
            return ExitCode::from(101);
        };
        if let Some(outcome) = outcome
            && !seen.contains(&outcome)
        {
            println!("{outcome}");
            seen.insert(outcome);
            keeping::keep(&folder, name, &input);
            corpus.push(input.clone());
            added += 1;
        }
    }
    let took = start.elapsed();
    let rate = executions as f64 / took.as_secs_f64();
    println!(
        "{name}: {executions} executions from {first} inputs with seed {seed} in {took:.1?}, {rate:.0} a second; \
         {} outcomes, {added} inputs added",
        seen.len()
    );
    ExitCode::SUCCESS
}

fn read(file: &PathBuf) -> Vec<u8> {
    std::fs::read(file).expect("a file of the corpus can be read")
}
