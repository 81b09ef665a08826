//! A whole network of nodes, as one thing to build, run, disturb and query.

mod builder;
mod churn;
mod error;
mod others;
mod population;
mod sim;
mod world;

pub use self::builder::SimBuilder;
pub use self::churn::{Churn, WEIBULL_SHAPE};
pub use self::error::SimError;
pub use self::others::{Others, Participant, Site};
pub use self::population::Population;
pub use self::sim::Sim;
