//! Gives memory that was freed back to the system.

use std::time::{Duration, Instant};

use super::shared::Shared;

/// Give memory back once this much less is held than at the peak.
const TRIM_FROM: i64 = 16 * 1024 * 1024;
/// How long it has to stay that little: memory that is used again soon is better kept.
const TRIM_DELAY: Duration = Duration::from_secs(1);

/// When a thread gives freed memory back.
#[derive(Debug, Default)]
pub struct Trim {
    due: Option<Instant>,
}

impl Trim {
    /// When [`Self::turn`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Looks at what is held, and gives memory back when it is due.
    pub fn turn(&mut self, now: Instant, shared: &Shared) {
        if shared.below_peak() < TRIM_FROM {
            self.due = None;
            return;
        }
        match self.due {
            None => self.due = now.checked_add(TRIM_DELAY),
            Some(due) if due <= now => {
                self.due = None;
                shared.forget_peak();
                return_memory();
            }
            Some(_) => {}
        }
    }
}

/// glibc keeps the small blocks of a long queue, all of them free, until the process ends.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn return_memory() {
    super::descriptor::trim_heap();
}

/// Other allocators give memory back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn return_memory() {}
