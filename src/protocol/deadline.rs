//! Arithmetic on moments in time that cannot overflow.

use std::time::{Duration, Instant};

/// `now + delay`, or `now` when the sum is beyond what the clock can represent.
pub fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).unwrap_or(now)
}

/// The earlier of two optional deadlines.
pub fn earlier(left: Option<Instant>, right: Option<Instant>) -> Option<Instant> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (deadline, None) | (None, deadline) => deadline,
    }
}
