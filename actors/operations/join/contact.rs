//! One contact of a bootstrap: which addresses it stands for, and what came of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::super::super::outcome::{ContactFailure, FailedContact};

/// A contact and how far it is.
#[derive(Debug)]
pub(super) struct Contact {
    /// As it was given.
    pub(super) name: String,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// Its name is being resolved.
    Resolving,
    /// It stands for these addresses, at least one, and all of them were asked.
    Resolved(Vec<SocketAddr>),
    /// No address of it can be asked.
    Failed(ContactFailure),
}

/// What became of an address that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Waiting,
    Answered,
    Failed(ContactFailure),
}

impl Contact {
    fn addresses(&self) -> &[SocketAddr] {
        match &self.state {
            State::Resolved(addresses) => addresses,
            State::Resolving | State::Failed(_) => &[],
        }
    }

    /// Whether nothing more is to come of it.
    pub(super) fn is_over(&self, asked: &BTreeMap<SocketAddr, Asked>) -> bool {
        let waits = self.addresses().iter().any(|addr| asked.get(addr) == Some(&Asked::Waiting));
        !waits && !matches!(self.state, State::Resolving)
    }

    /// Whether an address of it has answered.
    pub(super) fn has_answered(&self, asked: &BTreeMap<SocketAddr, Asked>) -> bool {
        self.addresses().iter().any(|addr| asked.get(addr) == Some(&Asked::Answered))
    }

    /// Why it failed, if it has: the reason of the address that says most.
    pub(super) fn failure(&self, asked: &BTreeMap<SocketAddr, Asked>) -> Option<FailedContact> {
        if !self.is_over(asked) || self.has_answered(asked) {
            return None;
        }
        let reason = match &self.state {
            State::Failed(reason) => reason.clone(),
            State::Resolving | State::Resolved(_) => {
                let failures = self.addresses().iter().filter_map(|addr| match asked.get(addr) {
                    Some(Asked::Failed(reason)) => Some(reason),
                    _ => None,
                });
                failures.min_by_key(|reason| matches!(reason, ContactFailure::Silent { .. }))?.clone()
            }
        };
        Some(FailedContact { contact: self.name.clone(), addresses: self.addresses().to_vec(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_contact_fails_with_its_last_address_and_tells_what_says_most() {
        let addresses: [SocketAddr; 2] = ["127.0.0.1:1", "127.0.0.1:2"].map(|addr| addr.parse().unwrap());
        let contact = Contact { name: "both:1".into(), state: State::Resolved(addresses.to_vec()) };
        let silent = ContactFailure::Silent { within: Duration::from_secs(2) };
        let mut asked = BTreeMap::from([(addresses[0], Asked::Failed(silent)), (addresses[1], Asked::Waiting)]);
        assert!(!contact.is_over(&asked) && contact.failure(&asked).is_none());
        asked.insert(addresses[1], Asked::Failed(ContactFailure::OtherWire { wire: None }));
        let failed = contact.failure(&asked).unwrap();
        assert_eq!((failed.reason, failed.addresses), (ContactFailure::OtherWire { wire: None }, addresses.to_vec()));
        asked.insert(addresses[1], Asked::Answered);
        assert!(contact.is_over(&asked) && contact.failure(&asked).is_none());
    }
}
