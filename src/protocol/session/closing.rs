//! The ways in which a session closes.

use std::time::{Duration, Instant};

use super::held::Held;
use super::{CloseCause, Poll, Session, Transport};
use crate::protocol::close_reason::{CloseDetail, CloseReason, code};
use crate::protocol::deadline::after;
use crate::protocol::effects::{Effects, Event, Role};
use crate::protocol::limits::Limits;
use crate::protocol::packet::PacketType;
use crate::protocol::payload::Backlog;

/// The close code of a server that goes away (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;
/// The close code for an error of the server (RFC 6455 section 7.4.1).
const INTERNAL_ERROR: u16 = 1011;
/// The close code that asks the peer to connect again later (IANA's registry of close codes).
const TRY_AGAIN_LATER: u16 = 1013;

/// How long peers may take to answer a close frame while the engine closes.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(1);

impl CloseCause {
    /// The detail of the close. An app needs none for a close of its own.
    pub(super) fn detail(self, ws_code: Option<u16>) -> Option<CloseDetail> {
        match self {
            CloseCause::App => None,
            CloseCause::Drain => {
                let detail = CloseDetail::new(code::SHUTDOWN, "the server shuts down");
                Some(CloseDetail { ws_code, ..detail })
            }
        }
    }
}

impl Session {
    /// Closes the session after sending its queue, or without it if `discard` is set.
    pub(super) fn close(
        &mut self,
        now: Instant,
        cause: CloseCause,
        discard: bool,
        fx: &mut impl Effects,
    ) {
        match &mut self.transport {
            Transport::WebSocket(websocket) => {
                let connection = &mut websocket.connection;
                let mut unsent = 0;
                if discard {
                    unsent = connection.wire().messages();
                    connection.discard();
                }
                match cause {
                    CloseCause::App => connection.close(None),
                    CloseCause::Drain => connection.close(Some(GOING_AWAY)),
                }
                self.finish_on_websocket(cause, unsent, fx);
            }
            Transport::Polling(polling) => {
                let (until, cause) = match polling.poll {
                    Poll::Parked { token, .. } => return self.close_with_answer(token, cause, fx),
                    Poll::Absent => (after(now, Limits::POLLING_CLOSE_TIMEOUT), cause),
                    Poll::Closing { until, cause: CloseCause::App } => (until, cause),
                    Poll::Closing { until, cause: CloseCause::Drain } => (until, CloseCause::Drain),
                };
                if discard {
                    let unsent = polling.outbox.len();
                    return self.finish_forced(cause.detail(None), unsent, fx);
                }
                polling.poll = Poll::Closing { until, cause };
            }
            Transport::Closed { .. } => {}
        }
    }

    /// Closes the session because the engine closes: drops the queue, and tells a WebSocket that
    /// the server goes away.
    pub(super) fn shutdown(&mut self, fx: &mut impl Effects) {
        let unsent = self.waiting_messages();
        let mut detail = None;
        match &mut self.transport {
            Transport::WebSocket(websocket) => {
                websocket.connection.discard();
                websocket.connection.close(Some(GOING_AWAY));
            }
            Transport::Polling(polling) => {
                if let Some(probe) = &mut polling.probe {
                    probe.connection.close(Some(GOING_AWAY));
                }
                detail = match polling.poll {
                    Poll::Closing { cause, .. } => cause.detail(None),
                    Poll::Absent | Poll::Parked { .. } => None,
                };
            }
            Transport::Closed { .. } => {}
        }
        let patience = self.limits.close_timeout.min(SHUTDOWN_PATIENCE);
        self.conclude(CloseReason::ForcedClose, detail, unsent, patience, fx);
    }

    /// Closes the session because of a message that its peer has begun and does not finish. `limit`
    /// and `value` are the name and value of the option that was exceeded.
    pub fn evict_unfinished(&mut self, limit: &'static str, value: u64, fx: &mut impl Effects) {
        let message = format!("{limit} exceeded by a message that was not finished");
        let mut detail = CloseDetail::new(code::SLOW_PRODUCER, message);
        detail.limit = Some((limit, value));
        self.fail(CloseReason::TransportError, detail, TRY_AGAIN_LATER, fx);
    }

    pub(super) fn undeliverable(&mut self, fx: &mut impl Effects) {
        let detail = CloseDetail::new(code::UNDELIVERABLE, "an event is too large for JavaScript");
        self.fail(CloseReason::TransportError, detail, INTERNAL_ERROR, fx);
    }

    pub(super) fn broken(&mut self, fx: &mut impl Effects) {
        let detail = CloseDetail::new(code::INTERNAL, "internal error");
        self.fail(CloseReason::TransportError, detail, INTERNAL_ERROR, fx);
    }

    /// Closes the session. A WebSocket is closed with `close_code`.
    pub(super) fn fail(
        &mut self,
        reason: CloseReason,
        mut detail: CloseDetail,
        close_code: u16,
        fx: &mut impl Effects,
    ) {
        if let Transport::WebSocket(websocket) = &mut self.transport {
            websocket.connection.fail(close_code);
            detail.ws_code = Some(close_code);
        }
        self.finish(reason, detail, fx);
    }

    /// Closes the session because of its peer, its connection or an error.
    pub(super) fn finish(
        &mut self,
        reason: CloseReason,
        detail: CloseDetail,
        fx: &mut impl Effects,
    ) {
        let (unsent, patience) = (self.waiting_messages(), self.limits.close_timeout);
        self.conclude(reason, Some(detail), unsent, patience, fx);
    }

    /// Closes the session on request. What a WebSocket has queued is still sent, so `unsent` only
    /// counts messages that were dropped.
    pub(super) fn finish_forced(
        &mut self,
        detail: Option<CloseDetail>,
        unsent: usize,
        fx: &mut impl Effects,
    ) {
        let patience = self.limits.close_timeout;
        self.conclude(CloseReason::ForcedClose, detail, unsent, patience, fx);
    }

    /// [`Self::finish_forced`] for a session on WebSocket.
    pub(super) fn finish_on_websocket(
        &mut self,
        cause: CloseCause,
        unsent: usize,
        fx: &mut impl Effects,
    ) {
        self.finish_forced(cause.detail(Some(GOING_AWAY)), unsent, fx);
    }

    /// Releases the transport and emits `Closed`. Happens once in the life of a session.
    fn conclude(
        &mut self,
        reason: CloseReason,
        detail: Option<CloseDetail>,
        unsent: usize,
        patience: Duration,
        fx: &mut impl Effects,
    ) {
        match std::mem::replace(&mut self.transport, Transport::Closed { patience }) {
            Transport::Polling(polling) => {
                if let Some(mut probe) = polling.probe {
                    probe.connection.close(None);
                    fx.release(Role::Probe, probe.connection, patience);
                }
                match polling.poll {
                    Poll::Parked { token, .. } => {
                        fx.answer_get(token, self.format.single(PacketType::Close));
                    }
                    Poll::Absent | Poll::Closing { .. } => {}
                }
            }
            Transport::WebSocket(mut websocket) => {
                websocket.connection.close(None);
                fx.release(Role::Main, websocket.connection, patience);
            }
            Transport::Closed { .. } => return,
        }
        self.backlog = Backlog::default();
        self.held = Held::default();
        self.post_bytes = 0;
        fx.event(Event::Closed { reason, unsent, detail: detail.map(Box::new) });
    }
}
