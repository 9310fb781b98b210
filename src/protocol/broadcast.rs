//! A message that is encoded once and shared by the queues of all its receivers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::packet::{self, PacketType};
use super::websocket::frame::{self, Data, OpCode};

/// A message encoded once for many receivers.
#[derive(Debug)]
pub struct Broadcast {
    is_text: bool,
    /// The WebSocket frame, header included.
    frame: Vec<u8>,
    body: Body,
    /// Never read; dropping it credits the total.
    charge: Option<Charge>,
}

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
    bytes: i64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Relaxed);
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
        Self { is_text, frame: bytes, body: Body::InFrame(start), charge: None }
    }

    /// A text message whose WebSocket frame the app built itself (socket.io's `wsPreEncodedFrame`).
    /// WebSockets get the frame unchanged.
    pub fn with_frame(body: Vec<u8>, frame: Vec<u8>) -> Self {
        Self { is_text: true, frame, body: Body::Separate(body), charge: None }
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
        let bytes = i64::try_from(self.frame.len().saturating_add(separate)).unwrap_or(i64::MAX);
        total.fetch_add(bytes, Relaxed);
        self.charge = Some(Charge { total: Arc::clone(total), bytes });
        self
    }

    /// The WebSocket frame, header included.
    pub fn frame(&self) -> &[u8] {
        &self.frame
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
