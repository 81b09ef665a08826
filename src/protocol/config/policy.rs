//! Settings that are one of a few choices.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::protocol::peer::{AddressScope, Subnet};

/// To which addresses a rule about strangers applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppliesTo {
    /// Global addresses only: loopback and private ranges are exempt.
    #[default]
    Global,
    /// Every address.
    Always,
    /// No address: the rule is off.
    Off,
}

impl AppliesTo {
    /// Whether the rule applies to `ip`.
    pub fn covers(self, ip: &IpAddr) -> bool {
        match self {
            Self::Global => AddressScope::of(ip).is_global(),
            Self::Always => true,
            Self::Off => false,
        }
    }

    /// The subnet of `ip`, if the rule applies to it.
    pub(crate) fn subnet(self, ip: &IpAddr) -> Option<Subnet> {
        self.covers(ip).then(|| Subnet::of(ip))
    }
}

/// What happens to a key that this node publishes when another node sets another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublisherConflict {
    /// The last writer wins, as on the legacy network: our publication ends, and an event says so.
    #[default]
    Supersede,
    /// The foreign `set` is acknowledged as refused and not applied.
    Hold,
}
