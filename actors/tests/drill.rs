//! Panics on demand, for this thread: at a message that an actor is about to handle, once, or at any by chance. It sees every
//! message of every long-lived actor, so it also knows which there were.
#![cfg_attr(not(feature = "sim"), allow(dead_code, reason = "the drills themselves need a network in memory"))]

use std::cell::RefCell;
use std::collections::BTreeMap;

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};

use super::super::handling::short;

/// An actor and a message that it handles, by the names of their types.
pub(in super::super) type Case = (&'static str, &'static str);

/// The timer of an actor, as a message.
pub(in super::super) const TIMER: &str = "its timer";

#[derive(Default)]
struct Drill {
    aim: Aim,
    reached: BTreeMap<Case, u64>,
    struck: BTreeMap<Case, u64>,
}

#[derive(Default)]
enum Aim {
    #[default]
    Nothing,
    At(String, String),
    Random {
        one_in: u64,
        entropy: SeededEntropy,
    },
}

thread_local! {
    static DRILL: RefCell<Drill> = RefCell::default();
}

/// The next time that this actor is about to handle this message, it panics. Once.
pub(super) fn aim_at(actor: &str, message: &str) {
    DRILL.with_borrow_mut(|drill| drill.aim = Aim::At(actor.to_owned(), message.to_owned()));
}

/// From now on one in so many messages makes its actor panic.
pub(super) fn aim_at_random(one_in: u64, seed: u64) {
    DRILL.with_borrow_mut(|drill| drill.aim = Aim::Random { one_in, entropy: SeededEntropy::new(seed) });
}

/// Nothing panics any more.
pub(super) fn cease() {
    DRILL.with_borrow_mut(|drill| drill.aim = Aim::Nothing);
}

/// Whether the one panic that was aimed at has happened.
pub(super) fn is_over() -> bool {
    DRILL.with_borrow(|drill| matches!(drill.aim, Aim::Nothing))
}

/// Begins anew, as if nothing had been seen.
pub(super) fn forget() {
    DRILL.set(Drill::default());
}

/// Which messages made which actors panic, and how often.
pub(super) fn struck() -> BTreeMap<Case, u64> {
    DRILL.with_borrow(|drill| drill.struck.clone())
}

/// What each long-lived actor was about to handle, and how often.
pub(super) fn reached_so_far() -> BTreeMap<Case, u64> {
    DRILL.with_borrow(|drill| drill.reached.clone())
}

/// How often this actor was about to handle this message.
pub(super) fn times(actor: &str, message: &str) -> u64 {
    DRILL.with_borrow(|drill| {
        let found = drill.reached.iter().find(|((a, m), _)| (*a, *m) == (actor, message));
        found.map_or(0, |(_, times)| *times)
    })
}

/// `actor` is about to handle `message`.
pub(in super::super) fn reached(actor: &'static str, message: &'static str) {
    let case = (short(actor), short(message));
    let strikes = DRILL.with_borrow_mut(|drill| {
        *drill.reached.entry(case).or_default() += 1;
        let strikes = match &mut drill.aim {
            Aim::Nothing => false,
            Aim::At(actor, message) => (actor.as_str(), message.as_str()) == case,
            // Short-lived actors have timers too, and are not restarted.
            Aim::Random { one_in, entropy } => message != TIMER && entropy.next_u64() % *one_in == 0,
        };
        if strikes {
            *drill.struck.entry(case).or_default() += 1;
            if matches!(drill.aim, Aim::At(..)) {
                drill.aim = Aim::Nothing;
            }
        }
        strikes
    });
    assert!(!strikes, "a drill of the {} at {}", case.0, case.1);
}
