//! Delivery of messages to the app, and the limits that apply to them on every transport.

use std::time::Instant;

use super::Session;
use crate::protocol::close_reason::{CloseDetail, CloseReason, code};
use crate::protocol::effects::Effects;
use crate::protocol::json_depth;
use crate::protocol::packet::Message;

/// The close code for a violation of the server's policy (RFC 6455 section 7.4.1).
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

    /// Closes the session because its peer exceeds `maxMessageRate`. Reading more slowly instead
    /// would look like network lag to the user.
    fn finish_rate(&mut self, fx: &mut impl Effects) {
        let mut detail = CloseDetail::new(code::MESSAGE_RATE, "Too many messages in a second");
        detail.limit = Some(("maxMessageRate", u64::from(self.limits.max_message_rate)));
        self.fail(CloseReason::TransportError, detail, POLICY_VIOLATION, fx);
    }

    fn finish_depth(&mut self, fx: &mut impl Effects) {
        let mut detail = CloseDetail::new(code::MAX_DEPTH, "JSON nested too deeply");
        detail.limit = Some(("maxDepth", self.limits.max_depth as u64));
        self.finish(CloseReason::ParseError, detail, fx);
    }
}
