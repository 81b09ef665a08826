//! Values that come in, from the application and from peers, and what this node does with its publications: each becomes a write.
//! Who wins among writers is the protocol's business, and when it takes effect that of the commits.

use actix::Context;
use kademlia_dynamic::protocol::comparison::Later;
use kademlia_dynamic::protocol::store::{RemoteWrite, Seen, Write};

use super::super::clock;
use super::super::counters::Counter;
use super::super::handling::Handler;
use super::super::messages::{Compared, PinKey, PublishValue, ReleaseKey, StoreValue, UnpinKey};
use super::actor::ValueStore;
use super::waiter::Waiter;

impl ValueStore {
    /// Takes what was published after the copy held, as if its holder had restored it here; then the placement goes on, with what is
    /// held by then.
    fn adopt(&mut self, later: Later, adopter: Compared, ctx: &mut Context<Self>) {
        let (Later { value, ttl, age, from }, Compared { placing, found, .. }) = (later, adopter);
        let (key, from) = (placing.key.clone(), from.addr);
        let waiter = Waiter::Adopter { from, placing, found };
        if let Err(why) = self.check_remote(&key, &value) {
            return self.turn_away(key, &why, waiter);
        }
        let write = RemoteWrite { key, value, ttl: Some(ttl), age, from, legacy: false };
        self.submit(Write::Adopt(write), waiter, ctx);
    }
}

impl Handler<StoreValue> for ValueStore {
    type Result = ();

    fn handle(&mut self, write: StoreValue, ctx: &mut Self::Context) {
        let StoreValue { key, value, ttl, age, cached, legacy, to } = write;
        match self.recent.came(to.addr, to.id, &key, &value, clock::now()) {
            Seen::New => {}
            // It comes again: it is acknowledged as it was before, and not applied, since others may have been since.
            seen => {
                self.counters.count(Counter::RepeatedWrite);
                if let Seen::Acknowledged { stored } = seen {
                    self.acknowledge(to, &key, cached, stored);
                }
                return;
            }
        }
        // What waits for its commit is out of reach of a panic; the datagram is to blame all the same.
        let _blamed = to.origin.clone();
        let (from, waiter) = (to.addr, Waiter::Peer { to, cached });
        let is_refused =
            self.check_remote(&key, &value).and_then(|()| if cached { Ok(()) } else { self.check_backend(&key) });
        let write = match is_refused {
            Err(why) => return self.turn_away(key, &why, waiter),
            Ok(()) if cached => Write::Cache { key, value, ttl, from },
            Ok(()) => Write::Set(RemoteWrite { key, value, ttl, age, from, legacy }),
        };
        self.submit(write, waiter, ctx);
    }
}

impl Handler<PublishValue> for ValueStore {
    type Result = ();

    fn handle(&mut self, publish: PublishValue, ctx: &mut Self::Context) {
        let PublishValue { key, value, answer, placing } = publish;
        self.submit(Write::Publish { key, value }, Waiter::Publisher { answer, placing }, ctx);
    }
}

impl Handler<ReleaseKey> for ValueStore {
    type Result = ();

    fn handle(&mut self, ReleaseKey { key, answer }: ReleaseKey, ctx: &mut Self::Context) {
        self.submit(Write::Release(key), Waiter::Release(answer), ctx);
    }
}

impl Handler<PinKey> for ValueStore {
    type Result = ();

    fn handle(&mut self, pin: PinKey, ctx: &mut Self::Context) {
        self.submit(Write::Pin(pin.key.clone()), Waiter::Pin(pin), ctx);
    }
}

impl Handler<UnpinKey> for ValueStore {
    type Result = ();

    fn handle(&mut self, unpin: UnpinKey, ctx: &mut Self::Context) {
        self.submit(Write::Unpin(unpin.key.clone()), Waiter::Unpin(unpin), ctx);
    }
}

impl Handler<Compared> for ValueStore {
    type Result = ();

    fn handle(&mut self, mut compared: Compared, ctx: &mut Self::Context) {
        let now = self.now();
        match compared.later.take() {
            Some(later) => self.adopt(later, compared, ctx),
            None => self.place(compared.placing, &compared.found, now),
        }
    }
}
