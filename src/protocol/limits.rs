//! The limits of a session, in one table: the type of each, its default, and the option that sets it.
//! `docs/api.md` says what happens when one is exceeded.

use std::time::Duration;

use serde_json::{Value, json};

/// The type of a limit, and how its value crosses to JavaScript.
pub trait Setting: Sized {
    /// Reads a value from JavaScript; `None` when it has another type.
    fn from_json(value: &Value) -> Option<Self>;
    /// Writes the value as JavaScript expects it.
    fn to_json(&self) -> Value;
}

/// A time, in milliseconds.
impl Setting for Duration {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_u64().map(Duration::from_millis)
    }

    fn to_json(&self) -> Value {
        json!(u64::try_from(self.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A size in bytes, or a count.
impl Setting for usize {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_u64().and_then(|value| value.try_into().ok())
    }

    fn to_json(&self) -> Value {
        json!(self)
    }
}

/// A count.
impl Setting for u32 {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_u64().and_then(|value| value.try_into().ok())
    }

    fn to_json(&self) -> Value {
        json!(self)
    }
}

/// A size in bytes that is compared with signed counters.
impl Setting for i64 {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_i64()
    }

    fn to_json(&self) -> Value {
        json!(self)
    }
}

/// Declares a struct of limits from a table with a line for each: `field: type = default, "option";`.
macro_rules! limits {
    (
        $(#[$about:meta])*
        pub struct $limits:ident {
            $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr, $name:literal;)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        pub struct $limits {
            $($(#[$doc])* pub $field: $type,)+
        }

        impl Default for $limits {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $limits {
            /// Reads the limits from JavaScript, by name. A limit that is missing keeps its default.
            pub fn from_json(values: &serde_json::Value) -> Self {
                let mut limits = Self::default();
                $(
                    let value = values.get($name);
                    if let Some(value) = value.and_then($crate::protocol::limits::Setting::from_json) {
                        limits.$field = value;
                    }
                )+
                limits
            }

            /// The limits by their names in JavaScript.
            pub fn to_json(&self) -> serde_json::Value {
                serde_json::json!({
                    $($name: $crate::protocol::limits::Setting::to_json(&self.$field)),+
                })
            }
        }
    };
}

#[cfg(feature = "runtime")]
pub(crate) use limits;

limits! {
    /// The limits that all sessions of one engine share.
    pub struct Limits {
        /// Time between a pong and the next ping.
        ping_interval: Duration = Duration::from_secs(25), "pingInterval";
        /// Time within which a pong must arrive.
        ping_timeout: Duration = Duration::from_secs(20), "pingTimeout";
        /// Time within which a probed WebSocket must complete the upgrade.
        upgrade_timeout: Duration = Duration::from_secs(10), "upgradeTimeout";
        /// Time within which a peer must answer a close frame before its connection is reset.
        close_timeout: Duration = Duration::from_secs(3), "closeTimeout";
        /// Bytes of one message or POST body.
        max_message: usize = 1_000_000, "maxHttpBufferSize";
        /// Frames of one message, empty ones included.
        max_fragments: u32 = 16_384, "maxFragments";
        /// Nesting depth of the JSON in a text message. 0 allows any.
        max_depth: usize = 0, "maxDepth";
        /// Messages that a peer may send per second. 0 allows any number.
        max_message_rate: u32 = 0, "maxMessageRate";
        /// Pongs that may be queued for one peer.
        max_pending_pongs: u32 = 60, "maxPendingPongs";
        /// Bytes that may be queued for one peer before the next message finds its queue full. 0
        /// disables the limit.
        max_send_buffer: usize = 16 * 1024 * 1024, "maxSendBuffer";
        /// What happens to a message that finds the queue full.
        slow_consumer: SlowConsumer = SlowConsumer::Close, "slowConsumer";
        /// Bytes of one session's undelivered events above which its connection is not read.
        /// JavaScript computes another default.
        max_receive_queue: usize = 2_000_000, "maxReceiveQueue";
    }
}

impl Limits {
    /// Time that a closing polling session waits for the GET that fetches its close packet, as in
    /// engine.io.
    pub const POLLING_CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
}

/// What happens to a message for a peer whose send queue is full. The option `slowConsumer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowConsumer {
    /// The session is closed.
    Close,
    /// The message is dropped and reported.
    Drop,
}

impl Setting for SlowConsumer {
    fn from_json(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "close" => Some(Self::Close),
            "drop" => Some(Self::Drop),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Close => json!("close"),
            Self::Drop => json!("drop"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let limits = Limits {
            ping_interval: Duration::from_millis(7),
            max_message: 8,
            max_fragments: 9,
            slow_consumer: SlowConsumer::Drop,
            ..Limits::default()
        };
        let written = limits.to_json();
        assert_eq!(written.get("maxHttpBufferSize"), Some(&json!(8)));
        assert_eq!(Limits::from_json(&written).to_json(), written);
    }

    #[test]
    fn keeps_defaults_for_values_of_another_type() {
        let defaults = Limits::default().to_json();
        let given = json!({ "maxFragments": "many", "slowConsumer": "wait", "pingTimeout": -1 });
        assert_eq!(Limits::from_json(&given).to_json(), defaults);
    }
}
