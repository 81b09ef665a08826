//! Whether this node has reached a network, and what came of its latest bootstrap. Bootstraps and the routing table write
//! it, the front door and the scheduler read it.

use std::sync::Arc;

use tokio::sync::watch;

use super::outcome::{BootstrapOutcome, Error};

/// The state, shared by the actors of one node.
#[derive(Debug, Clone)]
pub(crate) struct JoinState(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether a peer has answered since the start. It stays so.
    reached: bool,
    /// Whether the application gave contacts, other than this node itself, and a bootstrap through them has ended.
    contacts: bool,
    /// Bootstraps that have neither an answer nor an end. Those that the node makes by itself later on are not waited for.
    trying: usize,
    /// The latest outcome.
    outcome: Option<BootstrapOutcome>,
}

/// Where the contacts of a bootstrap come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contacts {
    /// The application.
    Given,
    /// The store, which remembers the peers of the last run.
    Remembered,
    /// Both, tried again since no peer is known.
    Again,
}

impl JoinState {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// A bootstrap through these contacts is about to begin.
    pub(crate) fn attempt(&self, contacts: Contacts) -> Attempt {
        let trying = contacts != Contacts::Again;
        self.0.send_modify(|state| state.trying += usize::from(trying));
        Attempt { state: self.clone(), contacts, trying }
    }

    /// A peer has answered: this node is part of a network.
    pub(crate) fn reached(&self) {
        self.0.send_if_modified(|state| !std::mem::replace(&mut state.reached, true));
    }

    /// Whether requests to the network can be begun at once: it was reached, or there is nothing to be reached.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.0.borrow();
        state.reached || (!state.contacts && state.trying == 0)
    }

    /// Waits for the first answer or the end of the bootstraps that are under way, and says whether a network was
    /// reached.
    ///
    /// # Errors
    /// [`Error::NotJoined`] where contacts were given and none was reached.
    pub(crate) async fn wait(&self) -> Result<bool, Error> {
        let mut state = self.0.subscribe();
        // An error means that the sender is gone, which this handle holds.
        let Ok(state) = state.wait_for(|state| state.reached || state.trying == 0).await else { return Ok(false) };
        if state.reached || !state.contacts {
            return Ok(state.reached);
        }
        Err(Error::NotJoined { outcome: Box::new(state.outcome.clone().unwrap_or_default()) })
    }

    /// The latest outcome, once no bootstrap is under way that no contact has answered.
    pub(crate) async fn outcome(&self) -> Option<BootstrapOutcome> {
        let mut state = self.0.subscribe();
        let state = state.wait_for(|state| state.trying == 0).await.ok()?;
        state.outcome.clone()
    }
}

/// A bootstrap that is under way. It is no longer when this is dropped.
#[derive(Debug)]
pub struct Attempt {
    state: JoinState,
    contacts: Contacts,
    /// Whether it still counts as one without an answer.
    trying: bool,
}

impl Attempt {
    /// What has come of it so far: an answer, or the end of all contacts.
    pub(crate) fn report(&mut self, outcome: BootstrapOutcome) {
        let trying = std::mem::take(&mut self.trying);
        self.state.0.send_modify(|state| {
            state.reached |= outcome.joined();
            state.trying -= usize::from(trying);
            // A node that is its own only contact is the first of its network.
            state.contacts |= self.contacts == Contacts::Given && !outcome.is_itself_alone();
            // What the application gave is reported rather than what was remembered beside it.
            if self.contacts != Contacts::Remembered || state.outcome.is_none() {
                state.outcome = Some(outcome);
            }
        });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.trying {
            self.state.0.send_modify(|state| state.trying -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{ContactFailure, FailedContact};
    use super::*;
    use kademlia_dynamic::protocol::id::NodeId;
    use kademlia_dynamic::protocol::peer::Peer;

    fn failed(reason: ContactFailure) -> BootstrapOutcome {
        let failed = vec![FailedContact { contact: "a:1".into(), addresses: Vec::new(), reason }];
        BootstrapOutcome { failed, ..Default::default() }
    }

    fn answered() -> BootstrapOutcome {
        let peer = Peer::new(NodeId::ZERO, "127.0.0.1:1".parse().unwrap());
        BootstrapOutcome { answered: vec![peer], ..Default::default() }
    }

    fn tried(state: &JoinState, contacts: Contacts, outcome: BootstrapOutcome) {
        let mut attempt = state.attempt(contacts);
        assert_eq!(state.0.borrow().trying, usize::from(contacts != Contacts::Again));
        attempt.report(outcome);
        assert_eq!(state.0.borrow().trying, 0);
    }

    #[tokio::test]
    async fn contacts_that_failed_are_not_joined_until_one_answers_or_a_peer_comes() {
        let state = JoinState::new();
        assert!(state.is_open() && !state.wait().await.unwrap(), "the first of its network");
        tried(&state, Contacts::Given, failed(ContactFailure::NotAsked));
        for _ in 0..2 {
            let Err(Error::NotJoined { outcome }) = state.wait().await else { panic!() };
            assert_eq!(*outcome, failed(ContactFailure::NotAsked));
            tried(&state, Contacts::Remembered, failed(ContactFailure::NoNode));
        }
        state.reached();
        assert!(state.is_open() && state.wait().await.unwrap());
        tried_once_reached(&state).await;
        let state = JoinState::new();
        tried(&state, Contacts::Given, failed(ContactFailure::NotAsked));
        tried(&state, Contacts::Again, answered());
        tried_once_reached(&state).await;
        assert_eq!(state.outcome().await, Some(answered()));
    }

    async fn tried_once_reached(state: &JoinState) {
        let _attempt = state.attempt(Contacts::Again);
        assert!(state.is_open() && state.wait().await.unwrap(), "it stays joined while it tries again");
    }

    #[tokio::test]
    async fn a_node_that_is_its_own_only_contact_or_knew_others_once_is_the_first_of_its_network() {
        let state = JoinState::new();
        tried(&state, Contacts::Given, failed(ContactFailure::Itself));
        tried(&state, Contacts::Remembered, failed(ContactFailure::NotAsked));
        tried(&state, Contacts::Again, failed(ContactFailure::NotAsked));
        assert!(state.is_open() && !state.wait().await.unwrap());
    }

    #[tokio::test]
    async fn a_bootstrap_that_is_lost_is_not_waited_for() {
        let state = JoinState::new();
        drop(state.attempt(Contacts::Given));
        assert!(state.is_open() && state.outcome().await.is_none());
    }
}
