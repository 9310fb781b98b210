//! How a session ends.

use std::time::{Duration, Instant};

use super::held::Held;
use super::{Session, Transport};
use crate::protocol::close_reason::{CloseDetail, CloseReason, code};
use crate::protocol::effects::{Effects, Event, Role};
use crate::protocol::heartbeat::after;
use crate::protocol::outbox::Outbox;
use crate::protocol::packet::PacketType;
use crate::protocol::payload::Backlog;

/// Close code for a server that goes away (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;

/// How long peers may take to answer the close frames of an engine that closes.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(1);

impl Session {
    pub(super) fn close(&mut self, now: Instant, discard: bool, fx: &mut impl Effects) {
        match &mut self.transport {
            Transport::WebSocket(connection) => {
                if discard {
                    self.dropped = connection.wire().messages();
                    connection.discard();
                }
                self.finish(CloseReason::ForcedClose, None, fx);
            }
            // A parked GET means that nothing waits.
            Transport::Polling { parked: Some(_) } => self.close_parked(fx),
            Transport::Polling { parked: None } if discard => {
                self.finish(CloseReason::ForcedClose, None, fx);
            }
            Transport::Polling { parked: None } => {
                let wait = self.limits.polling_close_timeout;
                self.closing.get_or_insert(after(now, wait));
            }
        }
    }

    /// How long a peer may take to answer a close frame.
    pub(super) fn patience(&self) -> Duration {
        let patience = self.limits.close_timeout;
        if self.shutting_down { patience.min(SHUTDOWN_PATIENCE) } else { patience }
    }

    pub(super) fn shutdown(&mut self, fx: &mut impl Effects) {
        self.shutting_down = true;
        self.dropped = self.waiting_messages();
        if let Transport::WebSocket(connection) = &mut self.transport {
            connection.discard();
            connection.close(Some(GOING_AWAY));
        }
        if let Some(probe) = &mut self.probe {
            probe.connection.close(Some(GOING_AWAY));
        }
        self.finish(CloseReason::ForcedClose, None, fx);
    }

    pub(super) fn leave(&mut self, now: Instant, fx: &mut impl Effects) {
        self.leaving = true;
        if let Transport::WebSocket(connection) = &mut self.transport {
            connection.close(Some(GOING_AWAY));
        }
        self.close(now, false, fx);
    }

    /// Why a close that has nothing else to say ends the session.
    fn farewell(&self) -> Option<CloseDetail> {
        let mut detail = CloseDetail::new(code::SHUTDOWN, "the server shuts down");
        detail.ws_code = self.connection(Role::Main).map(|_| GOING_AWAY);
        self.leaving.then_some(detail)
    }

    /// Ends the session because of a message that its peer has begun and not finished.
    pub fn evict_unfinished(&mut self, limit: &'static str, value: u64, fx: &mut impl Effects) {
        const TRY_AGAIN_LATER: u16 = 1013;
        if let Some(connection) = self.connection_mut(Role::Main) {
            connection.fail(TRY_AGAIN_LATER);
        }
        let message = format!("{limit} exceeded by a message that was not finished");
        let mut detail = CloseDetail::new(code::SLOW_PRODUCER, message);
        detail.ws_code = self.connection(Role::Main).map(|_| TRY_AGAIN_LATER);
        detail.limit = Some((limit, value));
        self.finish(CloseReason::TransportError, Some(detail), fx);
    }

    pub(super) fn undeliverable(&mut self, fx: &mut impl Effects) {
        self.close_with_error(code::UNDELIVERABLE, "an event is too large for JavaScript", fx);
    }

    pub(super) fn broken(&mut self, fx: &mut impl Effects) {
        self.close_with_error(code::INTERNAL, "internal error", fx);
    }

    fn close_with_error(&mut self, code: &'static str, message: &str, fx: &mut impl Effects) {
        const INTERNAL_ERROR: u16 = 1011;
        let mut detail = CloseDetail::new(code, message);
        if let Transport::WebSocket(connection) = &mut self.transport {
            connection.fail(INTERNAL_ERROR);
            detail.ws_code = Some(INTERNAL_ERROR);
        }
        self.finish(CloseReason::TransportError, Some(detail), fx);
    }

    /// The end, once: lets go of every transport and tells the app.
    pub(super) fn finish(
        &mut self,
        reason: CloseReason,
        detail: Option<CloseDetail>,
        fx: &mut impl Effects,
    ) {
        self.closed = true;
        let detail = match reason {
            CloseReason::ForcedClose => detail.or_else(|| self.farewell()),
            _ => detail,
        };
        // What a WebSocket has is still sent after a close of the app's.
        let unsent = match reason {
            CloseReason::ForcedClose => self.dropped.max(self.outbox.len()),
            _ => self.dropped.max(self.waiting_messages()),
        };
        if let Some(mut probe) = self.probe.take() {
            probe.connection.close(None);
            fx.release(Role::Probe, probe.connection, self.patience());
        }
        let transport = std::mem::replace(&mut self.transport, Transport::Polling { parked: None });
        match transport {
            Transport::WebSocket(mut connection) => {
                connection.close(None);
                fx.release(Role::Main, connection, self.patience());
            }
            Transport::Polling { parked: Some(parked) } => {
                fx.answer_get(parked.token, vec![PacketType::Close as u8]);
            }
            Transport::Polling { parked: None } => {}
        }
        self.outbox = Outbox::default();
        self.backlog = Backlog::default();
        self.held = Held::default();
        self.post_bytes = 0;
        self.in_flight = 0;
        fx.event(Event::Closed { reason, unsent, detail: detail.map(Box::new) });
    }
}
