//! Values that come in, from the application and from peers, by which limits they are taken, and what this node does with its
//! publications: each becomes a write.
//! Which writer wins is the protocol's business, and when it takes effect that of the commits.

use actix::Context;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::{Config, LARGE_VALUE_LEN, MAX_DATAGRAM};
use kademlia_dynamic::protocol::store::{RemoteWrite, Seen, Write};
use kademlia_dynamic::protocol::value::Value;

use super::super::clock;
use super::super::counters::Counter;
use super::super::handling::Receive;
use super::super::messages::{PinKey, PublishValue, ReleaseKey, StoreValue, UnpinKey};
use super::super::outcome::Error;
use super::actor::ValueStore;
use super::pending::Waiter;

/// Bytes of a message beside its key and its value, at most.
const FRAME: usize = 1_024;

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
        let checked = self.check_remote(&key, &value);
        if let Err(why) = checked.and_then(|()| if cached { Ok(()) } else { self.check_backend(&key) }) {
            return self.turn_away(key, &why, waiter);
        }
        let write = RemoteWrite { key, value, ttl, age, from, legacy };
        self.submit(if cached { Write::Cache(write) } else { Write::Set(write) }, waiter, ctx);
    }
}

impl Receive<PublishValue> for ValueStore {
    fn receive(&mut self, PublishValue { key, value, answer, placing }: PublishValue, ctx: &mut Context<Self>) {
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

impl ValueStore {
    /// Whether a peer's value may be planned for.
    pub(super) fn check_remote(&self, key: &str, value: &Value) -> Result<(), String> {
        self.check_takes_writes()?;
        check_datagram(key, value, self.shared.codec).map_err(|error| error.to_string())
    }

    /// Whether a write of a peer may be planned now.
    pub(super) fn check_takes_writes(&self) -> Result<(), String> {
        if self.leaving {
            return Err("this node is about to stop".to_owned());
        }
        let waiting = self.pending.len();
        if waiting >= self.shared.config.store.max_waiting_writes {
            return Err(format!("{waiting} writes wait for the store already"));
        }
        Ok(())
    }

    /// Whether the backend can take a value under `key`, as far as is known: not a new one while it fails.
    pub(super) fn check_backend(&self, key: &str) -> Result<(), String> {
        let refused = self.backend.is_failing() && !self.records.is_held(key);
        if refused { Err("the store cannot be written now".to_owned()) } else { Ok(()) }
    }
}

/// Whether a value of the application is one that the network can hold.
pub(in super::super) fn check_value(key: &str, value: &Value, config: &Config, codec: Codec) -> Result<(), Error> {
    check_key(key, config)?;
    let (len, max) = (value.len(), config.store.max_value_len);
    if len > max {
        return Err(Error::ValueTooLarge { len, max });
    }
    check_datagram(key, value, codec)?;
    if len > LARGE_VALUE_LEN {
        tracing::warn!(key, len, "its answer takes more than one Ethernet frame, so a lost fragment loses it whole");
    }
    Ok(())
}

/// Whether the datagrams that carry the value fit, as a legacy node would spell them: it must be able to serve the value, and to
/// restore it, which takes the key as well.
fn check_datagram(key: &str, value: &Value, codec: Codec) -> Result<(), Error> {
    // In no spelling does a byte take more than six.
    if (value.len() + key.len()) * 6 + FRAME <= MAX_DATAGRAM {
        return Ok(());
    }
    let len = |value: &Value| codec.legacy_answer_len(value);
    let key = len(&Value::from(key)).saturating_sub(len(&Value::from("")));
    let encoded = len(value) + key;
    if encoded > MAX_DATAGRAM { Err(Error::AnswerTooLarge { encoded, max: MAX_DATAGRAM }) } else { Ok(()) }
}

/// Whether a key is one that the network can hold.
pub(in super::super) fn check_key(key: &str, config: &Config) -> Result<(), Error> {
    let (len, max) = (key.len(), config.store.max_key_len);
    if len > max { Err(Error::KeyTooLong { len, max }) } else { Ok(()) }
}
