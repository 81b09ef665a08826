//! Values that come in, from the application and from peers, and what this node does with its publications: each becomes a write.
//! Who wins among writers is the protocol's business, and when it takes effect that of the commits.

use actix::Context;
use kademlia_dynamic::protocol::store::{RemoteWrite, Seen, Write};

use super::super::clock;
use super::super::counters::Counter;
use super::super::handling::Receive;
use super::super::messages::{PinKey, PublishValue, ReleaseKey, StoreValue, UnpinKey};
use super::actor::ValueStore;
use super::waiter::Waiter;

impl Receive<StoreValue> for ValueStore {
    fn receive(&mut self, write: StoreValue, ctx: &mut Context<Self>) {
        let StoreValue { key, value, ttl, age, cached, legacy, to } = write;
        match self.recent.came(to.addr, to.id, &key, &value, clock::now()) {
            Seen::New => {}
            // It comes again: it is acknowledged as it was before, and not applied, since others may have been since.
            seen => {
                self.shared.counters.count(Counter::RepeatedWrite);
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

impl Receive<PublishValue> for ValueStore {
    fn receive(&mut self, publish: PublishValue, ctx: &mut Context<Self>) {
        let PublishValue { key, value, answer, placing } = publish;
        self.submit(Write::Publish { key, value }, Waiter::Publisher { answer, placing }, ctx);
    }
}

impl Receive<ReleaseKey> for ValueStore {
    fn receive(&mut self, ReleaseKey { key, answer }: ReleaseKey, ctx: &mut Context<Self>) {
        self.submit(Write::Release(key), Waiter::Release(answer), ctx);
    }
}

impl Receive<PinKey> for ValueStore {
    fn receive(&mut self, pin: PinKey, ctx: &mut Context<Self>) {
        self.submit(Write::Pin(pin.key.clone()), Waiter::Pin(pin), ctx);
    }
}

impl Receive<UnpinKey> for ValueStore {
    fn receive(&mut self, unpin: UnpinKey, ctx: &mut Context<Self>) {
        self.submit(Write::Unpin(unpin.key.clone()), Waiter::Unpin(unpin), ctx);
    }
}
