//! A message that is encoded once and shared by the queues of all its receivers.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::packet::{self, PacketType};
use super::websocket::deflate::{self, Settings};
use super::websocket::frame::{self, Data, OpCode};

/// A message encoded once for many receivers.
#[derive(Debug)]
pub struct Broadcast {
    is_text: bool,
    /// The WebSocket frame, header included.
    frame: Vec<u8>,
    body: Body,
    /// Receivers may get the message in compressed form.
    compress: bool,
    /// The WebSocket frames with the compressed message, by the size of the window. They are made for
    /// the first receiver that needs them.
    compressed: OnceLock<Box<Compressed>>,
    /// Never read; dropping it credits the total.
    charge: Option<Charge>,
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
        Self::framed(true, &[PacketType::Message as u8], body)
    }

    /// A binary message.
    pub fn binary(body: &[u8]) -> Self {
        Self::framed(false, &[], body)
    }

    fn framed(is_text: bool, prefix: &[u8], body: &[u8]) -> Self {
        let payload = prefix.len().saturating_add(body.len());
        let mut bytes = Vec::with_capacity(payload.saturating_add(frame::MAX_HEADER));
        let data = if is_text { Data::Text } else { Data::Binary };
        frame::write_header(OpCode::Data(data), payload, &mut bytes);
        bytes.extend_from_slice(prefix);
        let start = bytes.len();
        bytes.extend_from_slice(body);
        Self::new(is_text, bytes, Body::InFrame(start))
    }

    /// A text message whose WebSocket frame the app built itself (socket.io's `wsPreEncodedFrame`).
    /// WebSockets get the frame unchanged.
    pub fn with_frame(body: Vec<u8>, frame: Vec<u8>) -> Self {
        Self::new(true, frame, Body::Separate(body))
    }

    fn new(is_text: bool, frame: Vec<u8>, body: Body) -> Self {
        Self { is_text, frame, body, compress: true, compressed: OnceLock::new(), charge: None }
    }

    /// The same message, which is never sent in compressed form.
    #[must_use]
    pub fn without_compression(mut self) -> Self {
        self.compress = false;
        self
    }

    /// Whether receivers may get the message in compressed form.
    pub fn is_compressible(&self) -> bool {
        self.compress
    }

    /// The body of the message, without the packet's type digit.
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Body::InFrame(start) => self.frame.get(*start..).unwrap_or(&[]),
            Body::Separate(body) => body,
        }
    }

    /// The body, if the message is binary.
    pub fn binary_body(&self) -> Option<&[u8]> {
        (!self.is_text).then(|| self.body())
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
        let prefix: &[u8] = if self.is_text { &[PacketType::Message as u8] } else { &[] };
        let length = prefix.len().saturating_add(self.body().len());
        let at = settings.window_bits.saturating_sub(MIN_WINDOW_BITS);
        if !self.compress || length < settings.threshold {
            return Form::Plain;
        }
        let all = self.compressed.get_or_init(Box::default);
        let Some(place) = all.get(usize::from(at)) else { return Form::Plain };
        let frame = place.get_or_init(|| self.compressed_frame(settings, prefix));
        if frame.is_empty() { Form::Plain } else { Form::Deflated(at) }
    }

    fn compressed_frame(&self, settings: Settings, prefix: &[u8]) -> Vec<u8> {
        let Some(payload) = deflate::compress_alone(settings, prefix, self.body()) else {
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
    pub fn encode_packet(&self, out: &mut Vec<u8>) {
        if self.is_text {
            out.push(PacketType::Message as u8);
            out.extend_from_slice(self.body());
        } else {
            packet::encode_binary(self.body(), out);
        }
    }
}
