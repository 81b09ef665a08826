//! The actor itself: its state, how it begins, and how it begins again. What it does with a message is decided elsewhere.

use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Supervised, WrapFuture};
use kademlia_dynamic::causes::Causes;
use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::reconcile::{Allowances, Region};
use kademlia_dynamic::protocol::store::{RecentWrites, Records, Store};
use tokio::sync::oneshot;

use super::super::clock::{self, Alarm, ClockJump};
use super::super::counters::LogLimit;
use super::super::operations::republish::Progress;
use super::super::shared::Shared;
use super::pending::Pending;
use super::unsaved::Unsaved;

/// The actor that owns the values.
pub struct ValueStore {
    pub(super) shared: Rc<Shared>,
    pub(super) records: Records,
    /// Writes of peers that came lately, so that none is applied twice.
    pub(super) recent: RecentWrites,
    /// What was read for peers that compare what they hold.
    pub(super) allowances: Allowances,
    /// The places to which this node is among the k nearest, as of the last round of upkeep; `None` before the first.
    pub(super) region: Option<Region>,
    /// How many copies beyond the k nearest may still be compared by a lookup until the next round of upkeep.
    pub(super) lookups_left: usize,
    pub(super) backend: Box<dyn Store>,
    pub(super) pending: Pending,
    pub(super) unsaved: Unsaved,
    /// What ends each placement that sends its value.
    pub(super) placements: HashMap<Arc<str>, oneshot::Sender<()>>,
    pub(super) clock_jump: ClockJump,
    /// The pass over the publications, while it runs.
    pub(super) pass: Weak<Progress>,
    /// When it was last logged that publications come too late.
    pub(super) lateness: LogLimit,
    /// Whether the node is about to stop, so that nothing new is worth storing.
    pub(super) leaving: bool,
    pub(super) entropy: Box<dyn Entropy>,
}

impl ValueStore {
    pub(crate) fn new(shared: &Rc<Shared>, backend: Box<dyn Store>) -> Self {
        let config = &shared.config;
        Self {
            shared: shared.clone(),
            records: Records::new(shared.id, config, clock::now()),
            recent: RecentWrites::new(config.lookup.query_timeout),
            allowances: Allowances::new(config.values.restore_interval),
            region: None,
            lookups_left: 0,
            backend,
            pending: Pending::default(),
            unsaved: Unsaved::new(config.store.max_values),
            placements: HashMap::new(),
            pass: Weak::new(),
            clock_jump: ClockJump::new(),
            lateness: LogLimit::default(),
            leaving: false,
            entropy: shared.entropy(3),
        }
    }

    /// The time, for answers that say how old a copy is: after a clock jump that is unknown.
    pub(super) fn now(&mut self) -> Instant {
        if self.clock_jump.noticed() {
            tracing::info!("the clock has stood still, or was set: nothing that is held has a date any more");
            self.records.undate(clock::now());
        }
        clock::now()
    }

    /// Takes in what the backend has committed.
    fn load(&mut self, ctx: &mut Context<Self>) {
        self.records = Records::new(self.shared.id, &self.shared.config, clock::now());
        match self.backend.load() {
            Ok(stored) => {
                let lapsed = self.records.load(stored, clock::now(), &mut *self.entropy);
                if lapsed > 0 {
                    tracing::info!(
                        values = lapsed,
                        "published here, and ended while this node was away: published again unless others have meanwhile"
                    );
                }
            }
            Err(error) => tracing::error!(error = %Causes(&error), "what was stored before cannot be read"),
        }
        self.save(ctx);
    }
}

impl Actor for ValueStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
        if !self.pending.has_begun() {
            return self.load(ctx);
        }
        // After a restart: what the backend was given before it, it commits yet, and that must not be missing from memory. This
        // commit comes behind all of it.
        let (sender, ended) = oneshot::channel();
        self.backend.commit(Vec::new(), Box::new(move |_| sender.send(()).unwrap_or_default()));
        ctx.wait(ended.into_actor(self).map(|_, store, ctx| store.load(ctx)));
    }
}

impl Supervised for ValueStore {
    fn restarting(&mut self, _: &mut Self::Context) {
        // What waits for a commit sees its answer dropped, which is an error.
        self.pending.forget();
        self.placements.retain(|_, placement| !placement.is_closed());
        self.unsaved = Unsaved::new(self.shared.config.store.max_values);
        // What was acknowledged stays so. What was under way is not known to have been applied.
        self.recent.forget_unacknowledged();
    }
}
