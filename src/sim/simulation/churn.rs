//! How nodes come and go by themselves: how long a session lasts, how it ends, and who comes after.

use std::rc::{Rc, Weak};
use std::time::Duration;

use super::world::World;
use crate::causes::Causes;
use crate::protocol::entropy::Entropy;

/// The shape of the distribution of session lengths: many short ones, a few very long. Measured networks lie between
/// 0.38 (Gnutella) and 0.59 (BitTorrent), KAD in between (Stutzbach and Rejaie, "Understanding churn in peer-to-peer
/// networks", 2006). The mean of the sessions is 4.2 times their median.
pub const WEIBULL_SHAPE: f64 = 0.5;
/// The mean pause between two sessions, unless it is reported otherwise.
const GAP: Duration = Duration::from_secs(60);
/// The longest session, in medians: one in 10^13 would last longer.
const LONGEST: f64 = 2_000.0;

/// How nodes come and go. Each place has one session after the other, each of a fresh node.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "it is to be handed to a builder"]
pub struct Churn {
    half_life: Duration,
    gap: Duration,
    polite: f64,
    spared: usize,
}

impl Churn {
    /// Sessions of a Weibull distribution of the shape [`WEIBULL_SHAPE`], half of which are over after `half_life`. All
    /// begin when the network is built. Half of them end politely, and after a minute on average another one comes.
    pub const fn weibull(half_life: Duration) -> Self {
        Self { half_life, gap: GAP, polite: 0.5, spared: 0 }
    }

    /// The same, with this mean pause between two sessions at a place; each is anything up to twice as long.
    pub const fn gap(self, gap: Duration) -> Self {
        Self { gap, ..self }
    }

    /// The same, with this share (0..=1) of nodes that stop politely; the others die.
    pub const fn polite(self, share: f64) -> Self {
        Self { polite: share, ..self }
    }

    /// The same, without the first `places`: who is there stays.
    pub const fn sparing(self, places: usize) -> Self {
        Self { spared: places, ..self }
    }

    fn session(&self, entropy: &mut dyn Entropy) -> Duration {
        // The quantile function of the Weibull distribution, median * (log2 1/u)^(1/shape), at the shape 1/2.
        let halvings = -ln(1.0 - entropy.unit()) / std::f64::consts::LN_2;
        self.half_life.mul_f64((halvings * halvings).min(LONGEST))
    }
}

/// The natural logarithm of a number in (0, 1], by arithmetic only: it gives the same bits on every platform, which
/// `f64::ln` does not promise.
fn ln(x: f64) -> f64 {
    let (mut mantissa, mut halvings) = (x, 0);
    while mantissa < std::f64::consts::FRAC_1_SQRT_2 && halvings < 1_100 {
        mantissa *= 2.0;
        halvings += 1;
    }
    // 2 artanh((m - 1) / (m + 1)), whose argument is within ±0.172: the 11th term is below 10^-17.
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let (mut power, mut sum) = (ratio, 0.0);
    for n in 0..11 {
        sum += power / f64::from(2 * n + 1);
        power *= ratio * ratio;
    }
    2.0 * sum - f64::from(halvings) * std::f64::consts::LN_2
}

/// Lets the nodes of `world` come and go from now on.
pub(super) fn start(churn: Churn, world: &Rc<World>) {
    let places = churn.spared..world.places.borrow().len();
    for place in places {
        actix_rt::spawn(come_and_go(churn, Rc::downgrade(world), place));
    }
}

/// One session after the other at `place`. Each begins when its node has joined, however long that took.
async fn come_and_go(churn: Churn, world: Weak<World>, place: usize) {
    let draw = |draw: &dyn Fn(&mut dyn Entropy) -> Duration| {
        world.upgrade().map(|world| draw(&mut *world.entropy.borrow_mut()))
    };
    while let Some(session) = draw(&|entropy| churn.session(entropy)) {
        tokio::time::sleep(session).await;
        {
            let Some(world) = world.upgrade() else { return };
            // No node comes after one that was taken away by hand.
            if world.peer(place).is_none() {
                return;
            }
            let politely = world.entropy.borrow_mut().unit() < churn.polite;
            if politely {
                drop(actix_rt::spawn(async move { world.leave(place).await }));
            } else {
                world.kill(place);
            }
        }
        let Some(gap) = draw(&|entropy| churn.gap.mul_f64(2.0 * entropy.unit())) else { return };
        tokio::time::sleep(gap).await;
        let Some(world) = world.upgrade() else { return };
        if let Err(error) = world.seat(place).await {
            tracing::error!(error = %Causes(&error), place, "no node comes after one that left");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::SeededEntropy;

    #[test]
    fn the_logarithm_is_the_logarithm() {
        for x in [1.0, 0.999_999, 0.75, 0.5, 0.3, 1e-3, 1e-9, f64::EPSILON, f64::MIN_POSITIVE] {
            assert!((ln(x) - f64::ln(x)).abs() <= 1e-13 * (1.0 - f64::ln(x)), "{x}: {} {}", ln(x), f64::ln(x));
        }
    }

    #[test]
    fn half_of_the_sessions_are_over_after_the_half_life_and_they_have_the_long_tail_of_their_distribution() {
        let churn = Churn::weibull(Duration::from_secs(3_600));
        let mut entropy = SeededEntropy::new(1);
        let mut hours: Vec<f64> = (0..20_000).map(|_| churn.session(&mut entropy).as_secs_f64() / 3_600.0).collect();
        hours.sort_by(f64::total_cmp);
        let share = |over: f64| hours.iter().filter(|hours| **hours > over).count() as f64 / 20_000.0;
        // A Weibull distribution of the shape 1/2 and the median 1: 2^-sqrt(t) last longer than t.
        for (over, expected) in [(0.01, 0.933), (0.25, 0.707), (1.0, 0.5), (4.0, 0.25), (16.0, 0.0625)] {
            assert!((share(over) - expected).abs() < 0.01, "{} last over {over} h, not {expected}", share(over));
        }
        let mean = hours.iter().sum::<f64>() / 20_000.0;
        assert!((3.9..4.5).contains(&mean), "{mean}");
    }
}
