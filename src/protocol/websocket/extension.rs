//! The negotiation of permessage-deflate (RFC 7692 section 7): reads the offers of
//! `Sec-WebSocket-Extensions`, and chooses the first one that the engine's options allow.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::{Value, json};

use super::deflate::Settings;
use super::opening::is_token;

/// The largest window of DEFLATE, as a power of two.
pub const MAX_WINDOW_BITS: u8 = 15;

/// How an engine uses permessage-deflate: the option `perMessageDeflate`.
#[derive(Debug, Clone)]
pub struct DeflateOptions {
    /// Messages of fewer bytes are sent without compression. Default: 1024, as in ws.
    pub threshold: usize,
    /// Whether this side forgets earlier messages. Only `Some(false)` allows a context that lasts, and
    /// declines offers that ask for none.
    pub server_no_context_takeover: Option<bool>,
    /// Whether the client forgets earlier messages. Only `Some(false)` allows a context that lasts.
    pub client_no_context_takeover: Option<bool>,
    /// The window of this side's messages.
    pub server_max_window_bits: WindowBits,
    /// The window of the client's messages.
    pub client_max_window_bits: WindowBits,
    /// The level of compression, from -1 to 9.
    pub level: i32,
    /// The memory of a compressor, from 1 to 9.
    pub mem_level: i32,
    /// zlib's number of the strategy, from 0 to 4.
    pub strategy: u8,
    /// Connections of the process that may have a context that lasts.
    pub max_contexts: usize,
}

impl Default for DeflateOptions {
    fn default() -> Self {
        Self {
            threshold: 1024,
            server_no_context_takeover: None,
            client_no_context_takeover: None,
            server_max_window_bits: WindowBits::Any,
            client_max_window_bits: WindowBits::Any,
            level: 6,
            mem_level: 8,
            strategy: 0,
            max_contexts: 1000,
        }
    }
}

impl DeflateOptions {
    /// Reads the options from JavaScript, by their names in ws. What is missing keeps its default.
    pub fn from_json(values: &Value) -> Self {
        let default = Self::default();
        let size =
            |name| values.get(name).and_then(Value::as_u64).and_then(|it| it.try_into().ok());
        let flag = |name| values.get(name).and_then(Value::as_bool);
        let small =
            |name| values.get(name).and_then(Value::as_i64).and_then(|it| it.try_into().ok());
        Self {
            threshold: size("threshold").unwrap_or(default.threshold),
            server_no_context_takeover: flag("serverNoContextTakeover"),
            client_no_context_takeover: flag("clientNoContextTakeover"),
            server_max_window_bits: WindowBits::from_json(values.get("serverMaxWindowBits")),
            client_max_window_bits: WindowBits::from_json(values.get("clientMaxWindowBits")),
            level: small("level").unwrap_or(default.level),
            mem_level: small("memLevel").unwrap_or(default.mem_level),
            strategy: size("strategy").and_then(|it| it.try_into().ok()).unwrap_or_default(),
            max_contexts: size("maxDeflateContexts").unwrap_or(default.max_contexts),
        }
    }

    /// The defaults that JavaScript needs, by their names there.
    pub fn to_json(&self) -> Value {
        json!({ "threshold": self.threshold, "maxDeflateContexts": self.max_contexts })
    }
}

/// What an engine allows for a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowBits {
    /// What the client asks for.
    Any,
    /// Never less than the default of 15.
    Never,
    /// This many bits, as a power of two.
    Exactly(u8),
}

impl WindowBits {
    fn from_json(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Bool(false)) => Self::Never,
            Some(value) => {
                let bits = value.as_u64().and_then(|bits| bits.try_into().ok());
                bits.map_or(Self::Any, Self::Exactly)
            }
            None => Self::Any,
        }
    }
}

/// Counts the connections whose compression contexts last longer than a message.
#[derive(Debug, Clone, Default)]
pub struct Contexts(Arc<AtomicUsize>);

impl Contexts {
    /// The number of connections with such a context.
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// A place for one more connection, unless there are `max` already.
    fn take(&self, max: usize) -> Option<ContextPlace> {
        let counter = &self.0;
        let allow = |count: usize| (count < max).then(|| count.saturating_add(1));
        counter.fetch_update(Relaxed, Relaxed, allow).ok()?;
        Some(ContextPlace(Arc::clone(counter)))
    }
}

/// A connection's place among [`Contexts`]. Dropping it makes room for another one.
#[derive(Debug)]
pub struct ContextPlace(Arc<AtomicUsize>);

impl Drop for ContextPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The parameters that both sides have agreed on.
#[derive(Debug)]
pub struct Agreement {
    /// How this side compresses.
    pub settings: Settings,
    /// This side forgets earlier messages.
    pub server_no_context_takeover: bool,
    /// The client forgets earlier messages.
    pub client_no_context_takeover: bool,
    /// The client's window.
    pub client_window_bits: u8,
    /// Held as long as a context may exist.
    pub place: Option<ContextPlace>,
    /// The value of `Sec-WebSocket-Extensions` in the response.
    pub response: String,
}

/// The header is not a list of extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidExtensions;

/// The parameters of one offer of permessage-deflate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<ClientBits>,
}

/// `client_max_window_bits`, which may have no value in an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientBits {
    Supported,
    AtMost(u8),
}

/// Chooses an offer; `None` if no offer can be accepted, which leaves the connection without an
/// extension.
///
/// # Errors
///
/// The header is not a list of extensions.
pub fn negotiate(
    header: &str,
    options: &DeflateOptions,
    contexts: &Contexts,
) -> Result<Option<Agreement>, InvalidExtensions> {
    let offer = offers(header)?.into_iter().find(|offer| is_acceptable(*offer, options));
    Ok(offer.map(|offer| agree(offer, options, contexts)))
}

/// Checks the header without choosing an offer.
///
/// # Errors
///
/// The header is not a list of extensions.
pub fn verify(header: &str) -> Result<(), InvalidExtensions> {
    offers(header).map(|_| ())
}

fn is_acceptable(offer: Offer, options: &DeflateOptions) -> bool {
    if options.server_no_context_takeover == Some(false) && offer.server_no_context_takeover {
        return false;
    }
    let serves = match (offer.server_max_window_bits, options.server_max_window_bits) {
        // zlib cannot make raw streams with a window of 256 bytes.
        (Some(_), WindowBits::Never) | (Some(8), _) => false,
        (Some(asked), WindowBits::Exactly(bits)) => bits <= asked,
        (Some(_), WindowBits::Any) | (None, _) => true,
    };
    let reads = match (offer.client_max_window_bits, options.client_max_window_bits) {
        (None, WindowBits::Exactly(_)) => false,
        (Some(ClientBits::AtMost(asked)), WindowBits::Exactly(bits)) => bits <= asked,
        _ => true,
    };
    serves && reads
}

fn agree(offer: Offer, options: &DeflateOptions, contexts: &Contexts) -> Agreement {
    let forgets = |asked: bool, option: Option<bool>| asked || option != Some(false);
    let mut server = forgets(offer.server_no_context_takeover, options.server_no_context_takeover);
    let mut client = forgets(offer.client_no_context_takeover, options.client_no_context_takeover);
    let mut place = None;
    if !server || !client {
        place = contexts.take(options.max_contexts);
        server |= place.is_none();
        client |= place.is_none();
    }
    let server_bits = match options.server_max_window_bits {
        WindowBits::Exactly(bits) => Some(bits),
        WindowBits::Any | WindowBits::Never => offer.server_max_window_bits,
    };
    let client_bits = match (options.client_max_window_bits, offer.client_max_window_bits) {
        (WindowBits::Exactly(bits), _) => Some(bits),
        (WindowBits::Any, Some(ClientBits::AtMost(asked))) => Some(asked),
        (WindowBits::Any, Some(ClientBits::Supported) | None) | (WindowBits::Never, _) => None,
    };
    let mut response = String::from("permessage-deflate");
    if server {
        response.push_str("; server_no_context_takeover");
    }
    if client {
        response.push_str("; client_no_context_takeover");
    }
    // Writing to a String cannot fail.
    if let Some(bits) = server_bits {
        let _ = write!(response, "; server_max_window_bits={bits}");
    }
    if let Some(bits) = client_bits {
        let _ = write!(response, "; client_max_window_bits={bits}");
    }
    Agreement {
        settings: Settings {
            threshold: options.threshold,
            window_bits: server_bits.unwrap_or(MAX_WINDOW_BITS),
            level: options.level,
            mem_level: options.mem_level,
            strategy: options.strategy,
        },
        server_no_context_takeover: server,
        client_no_context_takeover: client,
        client_window_bits: client_bits.unwrap_or(MAX_WINDOW_BITS),
        place,
        response,
    }
}

/// The valid offers of permessage-deflate, in the client's order of preference. Offers with invalid
/// parameters and other extensions are left out.
fn offers(header: &str) -> Result<Vec<Offer>, InvalidExtensions> {
    let mut cursor = Cursor(header);
    let mut offers = Vec::new();
    loop {
        let is_deflate = cursor.token()? == "permessage-deflate";
        let mut offer = Some(Offer::default()).filter(|_| is_deflate);
        while cursor.skip(b';') {
            let name = cursor.token()?;
            let value = if cursor.skip(b'=') { Some(cursor.value()?) } else { None };
            offer = offer.and_then(|offer| offer.with(name, value));
        }
        offers.extend(offer);
        if cursor.is_over() {
            return Ok(offers);
        }
        if !cursor.skip(b',') {
            return Err(InvalidExtensions);
        }
    }
}

impl Offer {
    /// Adds a parameter; `None` if it is unknown, invalid or repeated (RFC 7692 section 7.1).
    fn with(mut self, name: &str, value: Option<&str>) -> Option<Self> {
        let is_new = match (name, value) {
            ("server_no_context_takeover", None) => {
                !std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            ("client_no_context_takeover", None) => {
                !std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            ("server_max_window_bits", Some(bits)) => {
                self.server_max_window_bits.replace(window_bits(bits)?).is_none()
            }
            ("client_max_window_bits", bits) => {
                let bits = match bits {
                    None => ClientBits::Supported,
                    Some(bits) => ClientBits::AtMost(window_bits(bits)?),
                };
                self.client_max_window_bits.replace(bits).is_none()
            }
            _ => false,
        };
        is_new.then_some(self)
    }
}

/// A decimal number from 8 to 15 without leading zeros (RFC 7692 section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok().filter(|bits| (8..=MAX_WINDOW_BITS).contains(bits))?;
    (value.starts_with(['8', '9']) || value.starts_with('1')).then_some(bits)
}

/// Reads the tokens of a header (RFC 9110 section 5.6).
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn is_over(&mut self) -> bool {
        self.skip_spaces();
        self.0.is_empty()
    }

    /// Skips a separator, if it comes next.
    fn skip(&mut self, separator: u8) -> bool {
        self.skip_spaces();
        let rest = self.0.strip_prefix(char::from(separator));
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn token(&mut self) -> Result<&'a str, InvalidExtensions> {
        self.skip_spaces();
        let end = self.0.bytes().position(|byte| !is_token(byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at_checked(end).ok_or(InvalidExtensions)?;
        self.0 = rest;
        if token.is_empty() { Err(InvalidExtensions) } else { Ok(token) }
    }

    /// A token, or a quoted string that contains one (RFC 6455 section 9.1).
    fn value(&mut self) -> Result<&'a str, InvalidExtensions> {
        if !self.skip(b'"') {
            return self.token();
        }
        let (value, rest) = self.0.split_once('"').ok_or(InvalidExtensions)?;
        self.0 = rest;
        let is_token = !value.is_empty() && value.bytes().all(is_token);
        if is_token { Ok(value) } else { Err(InvalidExtensions) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    fn answer(header: &str, options: &DeflateOptions) -> Option<String> {
        let agreement = negotiate(header, options, &Contexts::default()).unwrap();
        agreement.map(|agreement| agreement.response)
    }

    fn keeps() -> DeflateOptions {
        DeflateOptions {
            server_no_context_takeover: Some(false),
            client_no_context_takeover: Some(false),
            ..DeflateOptions::default()
        }
    }

    #[test]
    fn answers_without_context_takeover_by_default() {
        let options = DeflateOptions::default();
        for header in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            " x-unknown;a=1;b=\"c\" ,\tpermessage-deflate;client_no_context_takeover",
        ] {
            assert_eq!(answer(header, &options).as_deref(), Some(BOTH), "{header}");
        }
        let header = "permessage-deflate; server_max_window_bits=10; client_max_window_bits=\"11\"";
        let bits = format!("{BOTH}; server_max_window_bits=10; client_max_window_bits=11");
        assert_eq!(answer(header, &options), Some(bits));
    }

    #[test]
    fn declines_an_invalid_offer_and_takes_the_next() {
        let options = DeflateOptions::default();
        for parameter in [
            "unknown",
            "constructor",
            "__proto__=1",
            "server_no_context_takeover=1",
            "client_no_context_takeover; client_no_context_takeover",
            "client_max_window_bits=9; client_max_window_bits=9",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=010",
            "client_max_window_bits=+9",
            "client_max_window_bits=99999999999999999999",
            "server_max_window_bits",
            "server_max_window_bits=8",
            "server_max_window_bits=08",
            "server_max_window_bits=1.5",
        ] {
            let alone = format!("permessage-deflate; {parameter}");
            assert_eq!(answer(&alone, &options), None, "{parameter}");
            let second = format!("{alone}, permessage-deflate");
            assert_eq!(answer(&second, &options).as_deref(), Some(BOTH), "{parameter}");
        }
        assert_eq!(answer("x-webkit-deflate-frame", &options), None);
    }

    #[test]
    fn rejects_what_is_not_a_list_of_extensions() {
        for header in [
            "",
            " ",
            ",",
            "permessage-deflate,",
            "permessage-deflate;",
            "permessage-deflate; a=",
            "permessage-deflate; a=\"",
            "permessage-deflate; a=\"b c\"",
            "permessage-deflate; a=\"\"",
            "permessage-deflate b",
            "permessage-deflate; =1",
            "p\u{e9}rmessage",
        ] {
            assert_eq!(verify(header), Err(InvalidExtensions), "{header:?}");
        }
    }

    #[test]
    fn keeps_contexts_where_the_options_allow_it() {
        assert_eq!(answer("permessage-deflate", &keeps()).as_deref(), Some("permessage-deflate"),);
        assert_eq!(
            answer("permessage-deflate; client_no_context_takeover", &keeps()).as_deref(),
            Some("permessage-deflate; client_no_context_takeover"),
        );
        assert_eq!(answer("permessage-deflate; server_no_context_takeover", &keeps()), None);
    }

    #[test]
    fn limits_the_connections_with_contexts() {
        let contexts = Contexts::default();
        let options = DeflateOptions { max_contexts: 1, ..keeps() };
        let next = || negotiate("permessage-deflate", &options, &contexts).unwrap().unwrap();
        let first = next();
        assert_eq!(first.response, "permessage-deflate");
        assert_eq!(next().response, BOTH);
        drop(first);
        assert_eq!(contexts.count(), 0);
        assert_eq!(next().response, "permessage-deflate");
    }

    #[test]
    fn applies_the_windows_of_the_options() {
        let exactly = |server, client| DeflateOptions {
            server_max_window_bits: server,
            client_max_window_bits: client,
            ..keeps()
        };
        let (any, never, ten) = (WindowBits::Any, WindowBits::Never, WindowBits::Exactly(10));
        let cases = [
            (ten, any, "", Some("; server_max_window_bits=10")),
            (ten, any, "; server_max_window_bits=12", Some("; server_max_window_bits=10")),
            (ten, any, "; server_max_window_bits=9", None),
            (never, any, "; server_max_window_bits=12", None),
            (never, any, "", Some("")),
            (any, ten, "", None),
            (any, ten, "; client_max_window_bits", Some("; client_max_window_bits=10")),
            (any, ten, "; client_max_window_bits=12", Some("; client_max_window_bits=10")),
            (any, ten, "; client_max_window_bits=9", None),
            (any, never, "; client_max_window_bits=9", Some("")),
            (any, any, "; client_max_window_bits=8", Some("; client_max_window_bits=8")),
        ];
        for (server, client, offer, expected) in cases {
            let header = format!("permessage-deflate{offer}");
            let expected = expected.map(|text| format!("permessage-deflate{text}"));
            assert_eq!(answer(&header, &exactly(server, client)), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(header in "[a-z;,=\"0-9_ -]{0,80}|.{0,40}") {
            let _ = negotiate(&header, &keeps(), &Contexts::default());
        }
    }
}
