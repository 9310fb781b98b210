//! Carries out the effects of a session: messages and events go into its batch, writes and timers are
//! scheduled, and links change hands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::protocol::close_reason::{CloseDetail, CloseReason};
use crate::protocol::deadline::after;
use crate::protocol::effects::{Effects, Event, Role, Token};
use crate::protocol::limits::Limits;
use crate::protocol::packet::Message;
use crate::protocol::payload::Payload as Answer;
use crate::protocol::websocket::Connection;
use crate::runtime::commands::SessionId;
use crate::runtime::gauge::Gauge;
use crate::runtime::inbox::{CLOSE_REASON_BITS, EventBatch, Kind, Payload};
use crate::runtime::link::{Link, Links, Released, State};
use crate::runtime::shared::Shared;
use crate::runtime::timers::{Member, Timers};

/// The parts of a shard that one session can change.
pub struct SessionEffects<'a> {
    /// The time of the turn.
    pub now: Instant,
    /// The session.
    pub id: SessionId,
    /// Its index in the shard.
    pub index: usize,
    /// The limits of its engine.
    pub limits: &'a Arc<Limits>,
    /// The batch that its events go into: the shared one, or its lane.
    pub batch: &'a mut EventBatch,
    /// Its counters.
    pub gauge: &'a Gauge,
    /// What all shards share.
    pub shared: &'a Shared,
    /// The session's links.
    pub links: &'a mut Links,
    /// The links of all sessions.
    pub all_links: &'a mut Slab<Link>,
    /// The links to write.
    pub writes: &'a mut Vec<usize>,
    /// The deadlines of all sessions and released links.
    pub timers: &'a mut Timers,
}

impl SessionEffects<'_> {
    fn push(&mut self, kind: Kind, extra: i32, payload: Payload) {
        let cost = self.batch.push(self.id, kind, extra, payload);
        self.gauge.add_undelivered(cost);
        self.shared.totals.add_undelivered(cost);
    }

    fn schedule_write(&mut self, key: usize) {
        let Some(link) = self.all_links.get_mut(key) else { return };
        if !link.is_write_scheduled {
            link.is_write_scheduled = true;
            self.writes.push(key);
        }
    }
}

impl Effects for SessionEffects<'_> {
    fn message(&mut self, message: Message<'_>) {
        let (kind, payload) = match message {
            Message::Text(text) => (Kind::Text, self.batch.text(text)),
            Message::Binary(bytes) => (Kind::Binary, self.batch.binary(bytes)),
        };
        self.push(kind, 0, payload);
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Heartbeat => self.push(Kind::Heartbeat, 0, Payload::None),
            Event::PingSent => self.push(Kind::PingSent, 0, Payload::None),
            Event::Upgrading => self.push(Kind::Upgrading, 0, Payload::None),
            Event::Upgraded => self.push(Kind::Upgraded, 0, Payload::None),
            Event::UpgradeFailed => self.push(Kind::UpgradeFailed, 0, Payload::None),
            Event::Sent(count) => self.push(Kind::Sent, count.cast_signed(), Payload::None),
            Event::Dropped { waiting, receipt } => {
                let text = serde_json::json!({
                    "name": "maxSendBuffer", "action": "dropped",
                    "limit": self.limits.max_send_buffer, "value": waiting, "receipt": receipt,
                });
                let payload = self.batch.text(text.to_string().into_bytes().into());
                self.push(Kind::Limit, 0, payload);
            }
            Event::Closed { reason, unsent, detail } => {
                let payload = detail.map_or(Payload::None, |detail| {
                    self.batch.text(describe(&detail).into_bytes().into())
                });
                self.push(Kind::Close, close_number(reason, unsent), payload);
            }
        }
    }

    fn answer_get(&mut self, token: Token, payload: Answer) {
        let (kind, payload) = match payload {
            Answer::Text(text) => (Kind::AnswerGet, self.batch.text(text.into())),
            Answer::Bytes(bytes) => (Kind::AnswerGetBytes, self.batch.binary(bytes.into())),
        };
        self.push(kind, token.cast_signed(), payload);
    }

    fn refuse_get(&mut self, token: Token) {
        self.push(Kind::RefuseGet, token.cast_signed(), Payload::None);
    }

    fn promote(&mut self) {
        if let Some(key) = self.links.promote()
            && let Some(link) = self.all_links.get_mut(key)
        {
            link.state = State::Owned { index: self.index, role: Role::Main };
        }
    }

    fn release(&mut self, role: Role, connection: Connection, patience: Duration) {
        // There is no link if the session ends because its connection was lost.
        let Some(key) = self.links.take(role) else { return };
        let Some(link) = self.all_links.get_mut(key) else { return };
        let until = after(self.now, patience);
        let released = Released::new(connection, Arc::clone(self.limits), until);
        link.state = State::Released(Box::new(released));
        self.timers.add(until, Member::Link(key));
        self.schedule_write(key);
    }

    fn wants_write(&mut self, role: Role) {
        if let Some(key) = self.links.get(role) {
            self.schedule_write(key);
        }
    }

    fn is_app_stalled(&self) -> bool {
        self.shared.inbox.stalls(self.now, self.shared.limits.max_loop_stall)
    }
}

/// The close reason in the lowest bits, and above it the number of messages that were not sent.
fn close_number(reason: CloseReason, unsent: usize) -> i32 {
    const MAX_UNSENT: i32 = i32::MAX >> CLOSE_REASON_BITS;
    let unsent = i32::try_from(unsent).unwrap_or(MAX_UNSENT).min(MAX_UNSENT);
    (unsent << CLOSE_REASON_BITS) | reason as i32
}

/// The details of a close, as JSON for JavaScript.
fn describe(detail: &CloseDetail) -> String {
    serde_json::json!({
        "message": detail.message,
        "code": detail.code,
        "wsCode": detail.ws_code,
        "wsReason": detail.ws_reason,
        "errno": detail.errno,
        "limit": detail.limit.map(|(name, _)| name),
        "value": detail.limit.map(|(_, value)| value),
    })
    .to_string()
}
