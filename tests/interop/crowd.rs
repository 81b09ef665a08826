//! The acceptance of the whole: 30 legacy nodes and 10 of ours, values set from both kinds, 200 `get`s from both kinds,
//! every one of them answered.

use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream;
use kademlia_dynamic::{Codec, Value};
use tokio::sync::Mutex;

use crate::legacy::{Legacy, LegacyNode};
use crate::ours::Ours;
use crate::python::{Version, say};

on_each_version_and_wire! {
    every_get_in_a_crowd_of_both_kinds_is_answered,
}

const LEGACY: usize = 30;
const OURS: usize = 10;
const VALUES: usize = 40;
const GETS: usize = 200;
/// Requests under way at once. One asyncio process runs all legacy nodes: more would measure its patience.
const AT_ONCE: usize = 8;

/// Crowds come one after the other: two at once on a small machine would measure the legacy nodes' timeouts.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

struct Crowd {
    legacy: Legacy,
    nodes: Vec<LegacyNode>,
    ours: Vec<Ours>,
}

/// A member of the crowd.
#[derive(Clone, Copy)]
enum Member<'a> {
    Legacy(&'a LegacyNode),
    Ours(&'a Ours),
}

impl Crowd {
    /// Half of the legacy nodes, then ours by different ones of those, then the other half by ours.
    async fn gather(version: Version, codec: Codec) -> Option<Self> {
        let legacy = Legacy::start(version, codec).await?;
        let mut nodes = legacy.nodes(LEGACY / 2, &[]).await;
        let mut ours = Vec::new();
        for contact in nodes.iter().take(OURS) {
            ours.push(Ours::start(codec, &[contact.addr()]).await);
        }
        for at in nodes.len()..LEGACY {
            nodes.extend(legacy.nodes(1, &[ours[at % OURS].addr()]).await);
        }
        Some(Self { legacy, nodes, ours })
    }

    /// The member that does the `at`th thing: the kinds take turns.
    fn member(&self, at: usize) -> Member<'_> {
        let turn = at / 2;
        if at.is_multiple_of(2) {
            Member::Legacy(&self.nodes[turn % LEGACY])
        } else {
            Member::Ours(&self.ours[turn % OURS])
        }
    }

    async fn set(&self, member: Member<'_>, key: &str, value: &Value) {
        match member {
            Member::Legacy(node) => self.legacy.set(node, key, value).await,
            Member::Ours(ours) => {
                let outcome = ours.set(key, value).await;
                assert!(outcome.stored > 0, "{outcome:?}");
            }
        }
    }

    async fn get(&self, member: Member<'_>, key: &str) -> Option<Value> {
        match member {
            Member::Legacy(node) => self.legacy.get(node, key).await,
            Member::Ours(ours) => ours.get(key).await,
        }
    }
}

fn key_and_value(at: usize) -> (String, Value) {
    let value =
        if at % 4 < 2 { Value::from(format!("значение {at}")) } else { Value::from(vec![0xff, at as u8]) };
    (format!("key {at}"), value)
}

async fn every_get_in_a_crowd_of_both_kinds_is_answered(version: Version, codec: Codec) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let begin = Instant::now();
    let Some(crowd) = Crowd::gather(version, codec).await else { return };
    let gathered = begin.elapsed();

    let crowd_of = &crowd;
    stream::iter(0..VALUES)
        .map(|at| async move {
            let (key, value) = key_and_value(at);
            crowd_of.set(crowd_of.member(at), &key, &value).await;
        })
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
    let set = begin.elapsed();

    // Each value is read five times, by members of both kinds: 7 is odd, and so takes a value's turns from one kind to the other.
    let failures: Vec<String> = stream::iter(0..GETS)
        .map(|at| async move {
            let (key, value) = key_and_value(at % VALUES);
            let reader = crowd_of.member(at + 7 * (1 + at / VALUES));
            let got = crowd_of.get(reader, &key).await;
            let kind = if matches!(reader, Member::Ours(_)) { "ours" } else { "legacy" };
            (got.as_ref() != Some(&value)).then(|| format!("get {at} by {kind} of {key}: {got:?}"))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(|failure| async { failure })
        .collect()
        .await;

    say(&format!(
        "{LEGACY} nodes of {version} and {OURS} of ours, {codec:?}: {} of {GETS} gets answered; gathered in {gathered:.1?}, \
         {VALUES} values set in {:.1?}, gets in {:.1?}",
        GETS - failures.len(),
        set - gathered,
        begin.elapsed() - set
    ));
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(crowd.legacy.complaints().await, Vec::<String>::new());
    for ours in crowd.ours {
        ours.stop().await;
    }
}
