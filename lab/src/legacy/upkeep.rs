//! What a legacy node does by itself: it refreshes, republishes, restores and forgets, each by a clock of its own that starts
//! with it and knows no jitter.

use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::node::Inner;

pub(super) fn start(node: &Rc<Inner>) {
    let (refresh, restore) = (node.settings.refresh_interval, node.settings.restore_interval);
    every(refresh, node, async |node| node.refresh().await);
    every(restore, node, async |node| node.republish().await);
    every(refresh, node, async |node| node.expire());
}

/// Has `duty` done again and again, `pause` after the last time, until the node has gone.
fn every(pause: Duration, node: &Rc<Inner>, duty: impl AsyncFn(Rc<Inner>) + 'static) {
    let node: Weak<Inner> = Rc::downgrade(node);
    actix_rt::spawn(async move {
        loop {
            tokio::time::sleep(pause).await;
            let Some(node) = node.upgrade().filter(|node| !node.stopped.get()) else { return };
            duty(node).await;
        }
    });
}

impl Inner {
    async fn refresh(&self) {
        let stale = self.table.borrow().stale(self.settings.refresh_interval, Instant::now());
        for prefix in stale {
            let target = prefix.random_id(&mut *self.entropy.borrow_mut());
            self.find_node(target).await;
        }
    }

    async fn republish(&self) {
        let held: Vec<_> = self.values.borrow().iter().map(|(key, held)| (key.clone(), held.clone())).collect();
        for (key, held) in held {
            let now = Instant::now();
            let settings = &self.settings;
            let interval = if held.published { settings.republish_interval } else { settings.restore_interval };
            if held.expires_at < now || held.republished_at + interval > now {
                continue;
            }
            if held.published {
                self.set(key.clone(), held.value).await;
            } else {
                self.restore(key.clone(), held.value).await;
            }
            if let Some(held) = self.values.borrow_mut().get_mut(&key) {
                held.republished_at = Instant::now();
            }
        }
    }

    fn expire(&self) {
        let now = Instant::now();
        self.values.borrow_mut().retain(|_, held| held.expires_at >= now);
    }
}
