//! A message that is encoded once and shared by the queues of all its receivers.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::packet::{self, PacketType};
use super::payload::Writer;
use super::revision::{Dialect, Revision};
use super::websocket::deflate::{self, Settings};
use super::websocket::frame::{self, Data, OpCode};

/// A message encoded once for many receivers.
#[derive(Debug)]
pub struct Broadcast {
    is_text: bool,
    /// The WebSocket frame, header included.
    frame: Vec<u8>,
    body: Body,
    /// What precedes the body in the frame.
    prefix: &'static [u8],
    /// Receivers may get the message in compressed form.
    compress: bool,
    /// The WebSocket frames with the compressed message, by the size of the window. They are made for
    /// the first receiver that needs them.
    compressed: OnceLock<Box<Compressed>>,
    /// A binary message for other dialects, made for the first receiver that needs it.
    adapted: Adapted,
    /// Dropping it credits the total.
    charge: Option<Charge>,
}

/// A binary message in other dialects.
#[derive(Debug, Default)]
struct Adapted {
    base64: OnceLock<Arc<Broadcast>>,
    typed: OnceLock<Arc<Broadcast>>,
    typed_base64: OnceLock<Arc<Broadcast>>,
}

/// A form of a broadcast on a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Not compressed.
    Plain,
    /// Compressed, for receivers with this window: the place in [`Compressed`].
    Deflated(u8),
}

/// Frames for windows of 9 to 15 bits. An empty one means that the plain frame is shorter.
type Compressed = [OnceLock<Vec<u8>>; 7];

/// The window of the first frame in [`Compressed`].
const MIN_WINDOW_BITS: u8 = 9;

/// What precedes the body of a text message in a frame.
const TEXT_PREFIX: &[u8] = &[PacketType::Message as u8];

/// Where the body of the message is stored.
#[derive(Debug)]
enum Body {
    /// In the frame, from this offset to its end.
    InFrame(usize),
    /// Separately, because the app built the frame itself.
    Separate(Vec<u8>),
}

/// The memory of a broadcast in a total, counted until the last queue has dropped the broadcast.
#[derive(Debug)]
struct Charge {
    total: Arc<AtomicI64>,
    bytes: AtomicI64,
}

impl Charge {
    fn add(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.bytes.fetch_add(count, Relaxed);
        self.total.fetch_add(count, Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.total.fetch_sub(*self.bytes.get_mut(), Relaxed);
    }
}

impl Broadcast {
    /// A text message.
    pub fn text(body: &[u8]) -> Self {
        Self::framed(true, TEXT_PREFIX, body)
    }

    /// A binary message.
    pub fn binary(body: &[u8]) -> Self {
        Self::framed(false, &[], body)
    }

    fn framed(is_text: bool, prefix: &'static [u8], body: &[u8]) -> Self {
        let payload = prefix.len().saturating_add(body.len());
        let mut bytes = Vec::with_capacity(payload.saturating_add(frame::MAX_HEADER));
        let data = if is_text { Data::Text } else { Data::Binary };
        frame::write_header(OpCode::Data(data), payload, &mut bytes);
        bytes.extend_from_slice(prefix);
        let start = bytes.len();
        bytes.extend_from_slice(body);
        Self::new(is_text, prefix, bytes, Body::InFrame(start))
    }

    /// A text message whose WebSocket frame the app built itself (socket.io's `wsPreEncodedFrame`).
    /// WebSockets get the frame unchanged.
    pub fn with_frame(body: Vec<u8>, frame: Vec<u8>) -> Self {
        Self::new(true, TEXT_PREFIX, frame, Body::Separate(body))
    }

    fn new(is_text: bool, prefix: &'static [u8], frame: Vec<u8>, body: Body) -> Self {
        Self {
            is_text,
            frame,
            body,
            prefix,
            compress: true,
            compressed: OnceLock::new(),
            adapted: Adapted::default(),
            charge: None,
        }
    }

    /// The same message, which is never sent in compressed form.
    #[must_use]
    pub fn without_compression(mut self) -> Self {
        self.compress = false;
        self
    }

    /// The body of the message, without the packet's type digit.
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Body::InFrame(start) => self.frame.get(*start..).unwrap_or(&[]),
            Body::Separate(body) => body,
        }
    }

    /// Whether the message is binary.
    pub fn is_binary(&self) -> bool {
        !self.is_text
    }

    /// The message for the WebSocket of a peer with this dialect; `None` if it is this one. Text is
    /// the same in all of them.
    pub fn adapted(&self, dialect: Dialect) -> Option<&Arc<Self>> {
        let form = match dialect {
            _ if self.is_text => return None,
            Dialect { revision: Revision::V4, base64: false } => return None,
            Dialect { revision: Revision::V4, base64: true } => &self.adapted.base64,
            Dialect { revision: Revision::V3, base64: false } => &self.adapted.typed,
            Dialect { revision: Revision::V3, base64: true } => &self.adapted.typed_base64,
        };
        Some(form.get_or_init(|| {
            let adapted = if dialect.base64 {
                let mut text = Vec::new();
                packet::encode_base64(self.body(), dialect, &mut text);
                Self::framed(true, b"", &text)
            } else {
                Self::framed(false, dialect.binary_prefix(), self.body())
            };
            let adapted = Self { compress: self.compress, ..adapted };
            Arc::new(match &self.charge {
                Some(charge) => adapted.charged_to(&charge.total),
                None => adapted,
            })
        }))
    }

    /// Adds the memory of the message to `total`, once for all receivers, until the last of them
    /// has sent it.
    #[must_use]
    pub fn charged_to(mut self, total: &Arc<AtomicI64>) -> Self {
        let separate = match &self.body {
            Body::InFrame(_) => 0,
            Body::Separate(body) => body.len(),
        };
        let charge = Charge { total: Arc::clone(total), bytes: AtomicI64::new(0) };
        charge.add(self.frame.len().saturating_add(separate));
        self.charge = Some(charge);
        self
    }

    /// The WebSocket frame in a form, header included.
    pub fn frame(&self, form: Form) -> &[u8] {
        match form {
            Form::Plain => &self.frame,
            Form::Deflated(at) => self
                .compressed
                .get()
                .and_then(|all| all.get(usize::from(at))?.get())
                .map_or(&[], Vec::as_slice),
        }
    }

    /// The form for a receiver that takes compressed messages. The first receiver with its window makes
    /// the frame, and all that follow share it.
    pub fn compress(&self, settings: Settings) -> Form {
        let length = self.prefix.len().saturating_add(self.body().len());
        let at = settings.window_bits.saturating_sub(MIN_WINDOW_BITS);
        if !self.compress || length < settings.threshold {
            return Form::Plain;
        }
        let all = self.compressed.get_or_init(Box::default);
        let Some(place) = all.get(usize::from(at)) else { return Form::Plain };
        let frame = place.get_or_init(|| self.compressed_frame(settings));
        if frame.is_empty() { Form::Plain } else { Form::Deflated(at) }
    }

    fn compressed_frame(&self, settings: Settings) -> Vec<u8> {
        let Some(payload) = deflate::compress_alone(settings, self.prefix, self.body()) else {
            return Vec::new();
        };
        let data = if self.is_text { Data::Text } else { Data::Binary };
        let mut bytes = Vec::with_capacity(payload.len().saturating_add(frame::MAX_HEADER));
        frame::write_compressed_header(OpCode::Data(data), payload.len(), &mut bytes);
        bytes.extend_from_slice(&payload);
        if let Some(charge) = &self.charge {
            charge.add(bytes.len());
        }
        bytes
    }

    /// Appends the message to a polling payload as one packet.
    pub fn write_packet(&self, writer: &mut Writer<'_>) {
        if self.is_text {
            writer.text(PacketType::Message, self.body());
        } else {
            writer.binary(self.body());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_encoded_once_for_each_dialect() {
        let total = Arc::new(AtomicI64::new(0));
        let broadcast = Broadcast::binary(&[1, 2, 3]).charged_to(&total);
        let typed = Dialect { revision: Revision::V3, base64: false };
        let base64 = Dialect { base64: true, ..typed };
        assert!(broadcast.adapted(Dialect::default()).is_none());
        let first = Arc::clone(broadcast.adapted(typed).unwrap());
        assert!(Arc::ptr_eq(&first, broadcast.adapted(typed).unwrap()));
        assert_eq!(first.frame(Form::Plain), b"\x82\x04\x04\x01\x02\x03");
        assert_eq!(broadcast.adapted(base64).unwrap().frame(Form::Plain), b"\x81\x06b4AQID");
        let v4 = Dialect { revision: Revision::V4, base64: true };
        assert_eq!(broadcast.adapted(v4).unwrap().frame(Form::Plain), b"\x81\x05bAQID");
        assert_eq!(total.load(Relaxed), 5 + 6 + 8 + 7);
        drop(broadcast);
        assert_eq!(total.load(Relaxed), 6);
        drop(first);
        assert_eq!(total.load(Relaxed), 0);
        assert!(Broadcast::text(b"a").adapted(base64).is_none());
    }
}
