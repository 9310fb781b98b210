//! A message on its way to the app, of either transport: what it has to keep to.

use std::time::Instant;

use super::{Session, Transport};
use crate::protocol::close_reason::{CloseDetail, CloseReason, code};
use crate::protocol::effects::Effects;
use crate::protocol::json_depth;
use crate::protocol::packet::Message;

/// Close code for a peer that breaks a rule of the server's own (RFC 6455 section 7.4.1).
const POLICY_VIOLATION: u16 = 1008;

impl Session {
    pub(super) fn message(&mut self, now: Instant, message: Message<'_>, fx: &mut impl Effects) {
        if !self.rate.allows(now, self.limits.max_message_rate) {
            return self.finish_rate(fx);
        }
        if let Message::Text(text) = &message
            && json_depth::exceeds(text, self.limits.max_depth)
        {
            return self.finish_depth(fx);
        }
        fx.message(message);
    }

    /// The peer sends too many messages. Not reading them could not be told from lag.
    fn finish_rate(&mut self, fx: &mut impl Effects) {
        let mut detail = CloseDetail::new(code::MESSAGE_RATE, "Too many messages in a second");
        detail.limit = Some(("maxMessageRate", u64::from(self.limits.max_message_rate)));
        if let Transport::WebSocket(connection) = &mut self.transport {
            detail.ws_code = Some(POLICY_VIOLATION);
            connection.fail(POLICY_VIOLATION);
        }
        self.finish(CloseReason::TransportError, Some(detail), fx);
    }

    fn finish_depth(&mut self, fx: &mut impl Effects) {
        let mut detail = CloseDetail::new(code::MAX_DEPTH, "JSON nested too deeply");
        detail.limit = Some(("maxDepth", self.limits.max_depth as u64));
        self.finish(CloseReason::ParseError, Some(detail), fx);
    }
}
