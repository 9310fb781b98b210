//! Returns freed memory to the system. Each I/O thread checks at the end of a turn whether much less
//! is held than at the peak.

use std::time::{Duration, Instant};

use super::shared::Shared;

/// Return memory once this much less is held than at the peak.
const TRIM_FROM: i64 = 16 * 1024 * 1024;
/// How long that has to last: memory that is soon used again is better kept.
const TRIM_DELAY: Duration = Duration::from_secs(1);

/// When a thread returns freed memory.
#[derive(Debug, Default)]
pub struct Trim {
    due: Option<Instant>,
}

impl Trim {
    /// When to call [`Self::turn`] next.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Compares what is held with the peak, and returns memory when that is due.
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

/// glibc keeps the small blocks of a long queue until the process ends, even when all are free.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn return_memory() {
    super::descriptor::trim_heap();
}

/// Other allocators return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn return_memory() {}
