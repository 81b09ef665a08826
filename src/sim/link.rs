//! What a link does to a datagram: how long it takes, whether it gets lost, whether it comes twice. Who is connected to
//! whom is the network's business.

use std::time::Duration;

use crate::protocol::entropy::Entropy;

/// What happens on the way between any two endpoints. Datagrams overtake each other wherever the latency varies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// How long a datagram takes, one way.
    pub latency: Latency,
    /// The part of datagrams that get lost (0..=1).
    pub loss: f64,
    /// The part of datagrams that arrive twice (0..=1), each copy after a time of its own.
    pub duplication: f64,
}

impl Link {
    /// A link that loses nothing.
    pub const fn new(latency: Latency) -> Self {
        Self { latency, loss: 0.0, duplication: 0.0 }
    }

    /// The same link, losing this part of the datagrams (0..=1).
    pub const fn with_loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// The same link, doubling this part of the datagrams (0..=1).
    pub const fn with_duplication(self, duplication: f64) -> Self {
        Self { duplication, ..self }
    }
}

/// 1 ms, nothing lost.
impl Default for Link {
    fn default() -> Self {
        Self::new(Latency::Constant(Duration::from_millis(1)))
    }
}

/// How long a datagram takes, one way. What is below a millisecond keeps the order, but is waited for by whole
/// milliseconds, as tokio's timers do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Always the same: datagrams arrive in the order of their sending.
    Constant(Duration),
    /// Anything in between, equally likely.
    Uniform {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// As on the internet: most take about the median, a few much longer. Near enough to a log-normal distribution,
    /// and bounded: within `exp(±3.5 sigma)` times the median.
    LogNormal {
        /// Half of the datagrams take less.
        median: Duration,
        /// How much it varies (0..=2). With 0.5 one in 40 takes more than 2.6 times the median.
        sigma: f64,
    },
}

impl Latency {
    /// About what a datagram takes on the internet: 40 ms in the middle, one way, and rarely more than 100 ms.
    pub const INTERNET: Self = Self::LogNormal { median: Duration::from_millis(40), sigma: 0.5 };

    /// The latency of one datagram.
    pub(super) fn sample(&self, entropy: &mut dyn Entropy) -> Duration {
        match *self {
            Self::Constant(latency) => latency,
            Self::Uniform { min, max } => min + max.saturating_sub(min).mul_f64(entropy.unit()),
            Self::LogNormal { median, sigma } => median.mul_f64(exp(sigma.clamp(0.0, 2.0) * normal(entropy))),
        }
    }
}

/// About normally distributed: the sum of four uniform numbers, of mean 0 and deviation 1, within ±3.47.
fn normal(entropy: &mut dyn Entropy) -> f64 {
    let sum: f64 = (0..4).map(|_| entropy.unit()).sum();
    (sum - 2.0) * 3f64.sqrt()
}

/// About `e^x`, by multiplications only: they give the same bits on every platform, which `f64::exp` does not promise.
fn exp(x: f64) -> f64 {
    let mut power = 1.0 + x / 1_024.0;
    for _ in 0..10 {
        power *= power;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::SeededEntropy;

    fn samples(latency: Latency) -> Vec<f64> {
        let mut entropy = SeededEntropy::new(1);
        let mut samples: Vec<f64> = (0..10_000).map(|_| latency.sample(&mut entropy).as_secs_f64()).collect();
        samples.sort_by(f64::total_cmp);
        samples
    }

    #[test]
    fn a_uniform_latency_stays_between_its_ends_and_fills_the_space() {
        let samples = samples(Latency::Uniform { min: Duration::from_millis(10), max: Duration::from_millis(20) });
        assert!(samples[0] >= 0.010 && samples[9_999] <= 0.020);
        assert!((samples[5_000] - 0.015).abs() < 0.000_3, "{}", samples[5_000]);
        assert!(samples[0] < 0.010_1 && samples[9_999] > 0.019_9);
    }

    #[test]
    fn a_log_normal_latency_has_its_median_and_a_long_tail() {
        let samples = samples(Latency::LogNormal { median: Duration::from_millis(50), sigma: 0.5 });
        assert!((samples[5_000] - 0.050).abs() < 0.001, "{}", samples[5_000]);
        let slow = samples.iter().filter(|latency| **latency > 0.130).count();
        assert!((150..350).contains(&slow), "{slow} of 10,000 take 2.6 times the median");
        assert!(samples[9_999] < 0.050 * 5.76 && samples[0] > 0.050 / 5.76);
    }

    #[test]
    fn a_range_upside_down_is_its_lower_end() {
        let latency = Latency::Uniform { min: Duration::from_millis(9), max: Duration::from_millis(3) };
        assert_eq!(latency.sample(&mut SeededEntropy::new(1)), Duration::from_millis(9));
    }
}
