//! What a key and a value may be: by our own limits, and so that legacy nodes can serve and restore them.

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::{Config, LARGE_VALUE_LEN, MAX_DATAGRAM};
use kademlia_dynamic::protocol::value::Value;

use super::super::outcome::Error;
use super::actor::ValueStore;

impl ValueStore {
    /// Whether a peer's value may be planned for.
    pub(super) fn check_remote(&self, key: &str, value: &Value) -> Result<(), String> {
        if self.leaving {
            return Err("this node is about to stop".to_owned());
        }
        let waiting = self.pending.len();
        if waiting >= self.shared.config.store.max_waiting_writes {
            return Err(format!("{waiting} writes wait for the store already"));
        }
        check_datagram(key, value, self.shared.codec).map_err(|error| error.to_string())
    }

    /// Whether the backend can take a value under `key`, as far as is known: not a new one while it fails.
    pub(super) fn check_backend(&self, key: &str) -> Result<(), String> {
        if self.backend.is_failing() && !self.records.is_held(key) {
            return Err("the store cannot be written now".to_owned());
        }
        Ok(())
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
