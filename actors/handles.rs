//! The handles of one node's actors: each actor picks those of its neighbours.

use super::messages::{
    DispatcherHandle, HandoffHandle, LookupsHandle, MaintenanceHandle, PinsHandle, QueriesHandle, SocketHandle,
    StoreHandle, TableHandle,
};

/// One handle for each actor that others reach.
#[derive(Clone)]
pub(crate) struct Handles {
    pub(crate) socket: SocketHandle,
    pub(crate) dispatcher: DispatcherHandle,
    pub(crate) queries: QueriesHandle,
    pub(crate) table: TableHandle,
    pub(crate) store: StoreHandle,
    pub(crate) lookups: LookupsHandle,
    pub(crate) maintenance: MaintenanceHandle,
    pub(crate) pins: PinsHandle,
    pub(crate) handoff: HandoffHandle,
}

#[cfg(test)]
mod ignored {
    use std::sync::Arc;

    use super::super::messages::{
        DispatcherInbox, HandoffInbox, LookupsInbox, MaintenanceInbox, PinsInbox, QueriesInbox, SocketInbox,
        StoreInbox, TableInbox,
    };
    use super::Handles;

    /// In the place of an actor that a test has no use for.
    struct Ignored;

    impl SocketInbox for Ignored {}
    impl DispatcherInbox for Ignored {}
    impl QueriesInbox for Ignored {}
    impl TableInbox for Ignored {}
    impl StoreInbox for Ignored {}
    impl LookupsInbox for Ignored {}
    impl MaintenanceInbox for Ignored {}
    impl PinsInbox for Ignored {}
    impl HandoffInbox for Ignored {}

    impl Handles {
        /// Handles that ignore every message: a test replaces those that it is about.
        pub(crate) fn ignored() -> Self {
            Self {
                socket: Arc::new(Ignored),
                dispatcher: Arc::new(Ignored),
                queries: Arc::new(Ignored),
                table: Arc::new(Ignored),
                store: Arc::new(Ignored),
                lookups: Arc::new(Ignored),
                maintenance: Arc::new(Ignored),
                pins: Arc::new(Ignored),
                handoff: Arc::new(Ignored),
            }
        }
    }
}
