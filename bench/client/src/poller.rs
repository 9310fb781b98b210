//! Level-triggered epoll, with the two other things that a load client waits for: standard input
//! and a fine timer.

use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::fault::{Fault, Result};

/// How many events are taken from the kernel at once.
const BATCH: usize = 1024;

#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    pub readable: bool,
    pub writable: bool,
}

pub struct Poller {
    epoll: OwnedFd,
}

pub type Events = Vec<epoll::Event>;

impl Poller {
    pub fn new() -> Result<Self> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Fault::io("create epoll"))?;
        Ok(Self { epoll })
    }

    pub fn events() -> Events {
        Vec::with_capacity(BATCH)
    }

    /// Fills `events`; returns without any after `timeout`.
    pub fn wait(&self, events: &mut Events, timeout: Duration) -> Result<()> {
        events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(events),
            Some(&timespec(timeout)),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(Fault::Io { what: "wait for events", errno }),
        }
    }

    pub fn watch(&self, fd: impl AsFd, token: u64, writing: bool) -> Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token), interest(writing))
            .map_err(Fault::io("watch a descriptor"))
    }

    pub fn rewatch(&self, fd: impl AsFd, token: u64, writing: bool) -> Result<()> {
        epoll::modify(&self.epoll, fd, EventData::new_u64(token), interest(writing))
            .map_err(Fault::io("change a descriptor's interest"))
    }

    pub fn unwatch(&self, fd: impl AsFd) -> Result<()> {
        epoll::delete(&self.epoll, fd).map_err(Fault::io("stop watching a descriptor"))
    }
}

/// Token and readiness of one event.
pub fn unpack(event: epoll::Event) -> (u64, Readiness) {
    let (data, flags) = (event.data, event.flags);
    // Errors and hang-ups count as readable: the following read reports them.
    let readable = flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR);
    (data.u64(), Readiness { readable, writable: flags.contains(EventFlags::OUT) })
}

/// A timer much finer than epoll's milliseconds: at 20,000 messages per second one is due every 50
/// µs, and sending them in bursts of 20 would be a different load.
pub struct Ticker {
    fd: OwnedFd,
}

impl Ticker {
    pub fn every(interval: Duration) -> Result<Self> {
        let fd = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )
        .map_err(Fault::io("create a timer"))?;
        let spec = Itimerspec { it_interval: timespec(interval), it_value: timespec(interval) };
        timerfd_settime(&fd, TimerfdTimerFlags::empty(), &spec)
            .map_err(Fault::io("set a timer"))?;
        Ok(Self { fd })
    }

    /// How many intervals have passed since the last call.
    pub fn expirations(&self) -> Result<u64> {
        let mut count = [0; 8];
        match rustix::io::read(&self.fd, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(Errno::AGAIN) => Ok(0),
            Err(errno) => Err(Fault::Io { what: "read a timer", errno }),
        }
    }
}

impl AsFd for Ticker {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn interest(writing: bool) -> EventFlags {
    if writing { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
