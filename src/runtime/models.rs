//! Models of how the I/O threads and the JavaScript thread use what they share, run in every order
//! that loom finds. A lost wake-up becomes a deadlock, which fails. Run with `npm run loom`.

use std::sync::Arc;
use std::sync::PoisonError;

use loom::thread;

use super::commands::{Command, CommandBatch, SessionId};
use super::driver::{Inline, Mailbox};
use super::gauge::Gauge;
use super::inbox::{Event, EventBatch, Inbox, Kind, Payload, Record};
use super::sync::{AtomicBool, Mutex, Notify};
use std::sync::atomic::Ordering::SeqCst;

/// An inbox, and what its wake-up signals.
fn inbox() -> (Arc<Inbox>, Arc<Notify>) {
    let wakeup = Arc::new(Notify::default());
    let signal = Arc::clone(&wakeup);
    (Arc::new(Inbox::new(move || signal.notify_one())), wakeup)
}

fn events(number: i32) -> EventBatch {
    let mut batch = EventBatch::default();
    batch.push(SessionId { slot: 0, generation: 0 }, Kind::Sent, number, Payload::None);
    batch
}

fn number(record: &Record) -> i32 {
    match record.event {
        Event::Session { extra, .. } => extra,
        Event::Stream { .. } => panic!("{record:?}"),
    }
}

/// Delivers as the JavaScript thread does: until nothing is queued.
fn deliver(inbox: &Inbox, seen: &mut Vec<i32>) {
    loop {
        while let Some(batch) = inbox.take() {
            seen.extend(batch.records.iter().map(number));
        }
        if inbox.arm() {
            return;
        }
    }
}

#[test]
fn the_inbox_loses_no_wake_up() {
    loom::model(|| {
        let (inbox, wakeup) = inbox();
        let io = Arc::clone(&inbox);
        let thread = thread::spawn(move || {
            for number in 0..2 {
                io.put(events(number));
                io.wake();
            }
        });
        let mut seen = Vec::new();
        while seen.len() < 2 {
            wakeup.wait();
            deliver(&inbox, &mut seen);
        }
        assert_eq!(seen, [0, 1]);
        thread.join().unwrap();
    });
}

/// Two I/O threads put events at the same time.
#[test]
fn several_threads_wake_together() {
    loom::model(|| {
        let (inbox, wakeup) = inbox();
        let threads: Vec<_> = [10, 20]
            .into_iter()
            .map(|number| {
                let io = Arc::clone(&inbox);
                thread::spawn(move || {
                    io.put(events(number));
                    io.wake();
                })
            })
            .collect();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            wakeup.wait();
            deliver(&inbox, &mut seen);
        }
        seen.sort_unstable();
        assert_eq!(seen, [10, 20]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// The JavaScript thread takes a turn of the shard itself. It has to deliver the events that this
/// puts into the inbox, or a wake-up is on its way.
#[test]
fn events_of_an_inline_turn_are_delivered() {
    loom::model(|| {
        let (inbox, wakeup) = inbox();
        let io = Arc::clone(&inbox);
        let thread = thread::spawn(move || {
            io.put(events(0));
            io.wake();
        });
        let mut seen = Vec::new();
        // The first turn is before, during or after the I/O thread's; the second is on its own.
        for count in [2, 3] {
            inbox.put(events(count));
            if inbox.wake_self() {
                deliver(&inbox, &mut seen);
            }
            while seen.len() < count.unsigned_abs() as usize {
                wakeup.wait();
                deliver(&inbox, &mut seen);
            }
        }
        thread.join().unwrap();
    });
}

/// A batch that can be recognised by its number.
fn commands(number: u32) -> CommandBatch {
    let commands = vec![Command::StreamSent { stream: number, bytes: 0 }];
    CommandBatch { commands, ..CommandBatch::default() }
}

fn apply(shard: &mut Vec<u32>, batch: &CommandBatch) {
    for command in &batch.commands {
        if let Command::StreamSent { stream, .. } = command {
            shard.push(*stream);
        }
    }
}

/// A turn as in `driver::drive`: the batches are taken while the shard is locked.
fn turn(mailbox: &Mailbox, shard: &Mutex<Vec<u32>>) -> (usize, bool) {
    let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
    let (batches, is_stopped) = mailbox.take();
    for batch in batches {
        apply(&mut shard, &batch);
    }
    (shard.len(), is_stopped)
}

/// Submits batches while the I/O thread works, sleeps, or is about to sleep. Each is applied once, by
/// either thread, in call order.
fn submit(inline: [bool; 3]) {
    loom::model(move || {
        let mailbox = Arc::new(Mailbox::default());
        let shard = Arc::new(Mutex::new(Vec::new()));
        let io = (Arc::clone(&mailbox), Arc::clone(&shard));
        let thread = thread::spawn(move || {
            let (mailbox, shard) = io;
            while turn(&mailbox, &shard).0 < inline.len() {
                mailbox.wait();
            }
        });
        for (number, inline) in (0..).zip(inline) {
            mailbox.submit(&shard, commands(number), |shard, batch| {
                if !inline {
                    return Inline::Declined(batch);
                }
                apply(shard, &batch);
                // The thread ends with the last one.
                Inline::Done { wakes: shard.len() == 3 }
            });
        }
        thread.join().unwrap();
        assert_eq!(*shard.lock().unwrap(), [0, 1, 2]);
    });
}

#[test]
fn batches_for_the_thread_arrive_in_order() {
    submit([false, false, false]);
}

#[test]
fn batches_applied_inline_keep_their_place() {
    submit([true, true, true]);
}

#[test]
fn inline_batches_wait_for_earlier_ones() {
    submit([false, true, true]);
    submit([true, false, true]);
}

/// Batches that were queued before the stop are applied.
#[test]
fn stopping_loses_no_batch() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::default());
        let shard = Arc::new(Mutex::new(Vec::new()));
        let io = (Arc::clone(&mailbox), Arc::clone(&shard));
        let thread = thread::spawn(move || {
            let (mailbox, shard) = io;
            while !turn(&mailbox, &shard).1 {
                mailbox.wait();
            }
        });
        mailbox.enqueue(commands(0));
        mailbox.stop();
        thread.join().unwrap();
        assert_eq!(*shard.lock().unwrap(), [0]);
    });
}

/// The I/O thread pauses a session while JavaScript takes the session's last event. Either the I/O
/// thread sees that nothing is left, or JavaScript sees the mark; otherwise the session would stay
/// paused with nothing to deliver.
#[test]
fn at_least_one_side_notices_a_pause() {
    const COST: u64 = 100;
    loom::model(|| {
        let gauge = Arc::new(Gauge::default());
        gauge.add_undelivered(COST);
        let resumes = Arc::new(AtomicBool::default());
        let (js, staged) = (Arc::clone(&gauge), Arc::clone(&resumes));
        let javascript = thread::spawn(move || {
            // As in `Host::deliver`.
            js.add_delivered(COST);
            if js.undelivered() == 0 && js.is_paused() {
                staged.store(true, SeqCst);
            }
        });
        // As in `Shard::pause`.
        gauge.set_paused(true);
        if gauge.undelivered() == 0 {
            gauge.set_paused(false);
        }
        javascript.join().unwrap();
        assert!(!gauge.is_paused() || resumes.load(SeqCst), "the session stays paused");
    });
}
