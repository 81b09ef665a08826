//! What a stranger's `set` or `set_cached` of another value does to the copy that is held: each case by its name. That it
//! takes effect only once its source has proved itself is the dispatcher's part (`tests/it/strangers/conflict.rs`).

use super::*;

/// A bench with a copy of "ours" under "key".
fn holding(copy: &str, policy: PublisherConflict) -> Bench {
    let mut bench = Bench::new(Config::builder().publisher_conflict(policy).build().unwrap());
    match copy {
        "published" => drop(bench.publish("key", "ours")),
        "pinned" => {
            bench.publish("key", "ours");
            assert!(bench.pin("key"));
        }
        "released" => {
            bench.publish("key", "ours");
            assert!(bench.release("key"));
        }
        "held" => assert_eq!(bench.set("key", "ours", 5), Ok(WriteOutcome::Stored)),
        "cached" => assert_eq!(bench.cache("key", "ours", None, 5), Ok(WriteOutcome::Stored)),
        other => assert_eq!(other, "none"),
    }
    bench
}

/// What became of the write, in a word.
pub(super) fn word(outcome: &Result<WriteOutcome, Refusal>) -> &'static str {
    match outcome {
        Ok(WriteOutcome::Stored) => "stored",
        Ok(WriteOutcome::Renewed) => "renewed",
        Ok(WriteOutcome::Unchanged) => "unchanged",
        Ok(WriteOutcome::Superseded { .. }) => "superseded",
        Ok(other) => panic!("{other:?} is none of a peer's write"),
        Err(Refusal::Stale) => "stale",
        Err(Refusal::PublicationHeld) => "held",
        Err(_) => "refused",
    }
}

#[test]
fn what_a_foreign_write_does_depends_on_the_copy_and_the_policy_alone() {
    use PublisherConflict::{Hold, Supersede};
    let (theirs, ours) = (Some("theirs"), Some("ours"));
    let (published, held, cached) = (Some(Class::Published), Some(Class::Held), Some(Class::Cached));
    for (copy, policy, write, outcome, value, class) in [
        ("none", Supersede, "set", "stored", theirs, held),
        ("none", Supersede, "restore", "stored", theirs, held),
        ("none", Supersede, "set_cached", "stored", theirs, cached),
        ("published", Supersede, "set", "superseded", theirs, held),
        ("published", Supersede, "restore", "stale", ours, published),
        ("published", Supersede, "set_cached", "stale", ours, published),
        ("published", Hold, "set", "held", ours, published),
        ("published", Hold, "restore", "stale", ours, published),
        ("published", Hold, "set_cached", "stale", ours, published),
        ("pinned", Supersede, "set", "held", ours, published),
        ("pinned", Supersede, "restore", "stale", ours, published),
        ("pinned", Supersede, "set_cached", "stale", ours, published),
        ("pinned", Hold, "set", "held", ours, published),
        ("pinned", Hold, "restore", "stale", ours, published),
        ("pinned", Hold, "set_cached", "stale", ours, published),
        ("released", Supersede, "set", "stored", theirs, held),
        ("released", Hold, "set", "stored", theirs, held),
        ("held", Supersede, "set", "stored", theirs, held),
        ("held", Supersede, "restore", "stale", ours, held),
        ("held", Supersede, "set_cached", "stale", ours, held),
        ("held", Hold, "set", "stored", theirs, held),
        ("held", Hold, "restore", "stale", ours, held),
        ("held", Hold, "set_cached", "stale", ours, held),
        ("cached", Supersede, "set", "stored", theirs, held),
        ("cached", Supersede, "restore", "stored", theirs, held),
        ("cached", Supersede, "set_cached", "stored", theirs, cached),
        ("cached", Hold, "set", "stored", theirs, held),
        ("cached", Hold, "restore", "stored", theirs, held),
        ("cached", Hold, "set_cached", "stored", theirs, cached),
    ] {
        let name = format!("a {write} on a {copy} copy under {policy:?}");
        let mut bench = holding(copy, policy);
        let became = match write {
            "set" => bench.set("key", "theirs", 6),
            "restore" => bench.write("key", "theirs", Some(5_000), 6, false),
            _ => bench.cache("key", "theirs", None, 6),
        };
        assert_eq!(
            (word(&became), bench.text("key").as_deref(), bench.class("key")),
            (outcome, value, class),
            "{name}"
        );
        // What is no publication any more is not published again.
        assert_eq!(bench.records.is_published("key"), class == published, "{name}");
        bench.records.holdings.assert_consistent(&bench.config);
    }
}

#[test]
fn a_pinned_value_stands_against_a_hundred_thousand_foreign_writes() {
    let mut bench = holding("pinned", PublisherConflict::Supersede);
    let theirs: Vec<Arc<Value>> = (0..10).map(|n| value(&format!("theirs {n}"))).collect();
    for n in 0..100_000u32 {
        let from = SocketAddr::from(([45, (n >> 16) as u8, (n >> 8) as u8, n as u8], 7));
        let (key, value): (Arc<str>, _) = ("key".into(), theirs[n as usize % theirs.len()].clone());
        let set =
            |ttl| RemoteWrite { key: key.clone(), value: value.clone(), ttl, age: None, from, legacy: n % 2 == 0 };
        let outcome = bench.ask(match n % 4 {
            0 | 1 => Write::Set(set(None)),
            2 => Write::Set(set(Some(9_999))),
            _ => Write::Cache(RemoteWrite { key, value, ttl: Some(9_999), from, age: None, legacy: false }),
        });
        assert!(outcome.is_err());
    }
    assert_eq!((bench.text("key").as_deref(), bench.class("key")), (Some("ours"), Some(Class::Published)));
    let Refusals { publication_held, stale, .. } = bench.records.snapshot().refused;
    assert_eq!((publication_held, stale), (50_000, 50_000));
    assert_eq!(bench.records.snapshot().remote.values, 0, "and none of them takes up room");
}
