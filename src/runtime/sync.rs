//! The locks and atomics that an I/O thread shares with the JavaScript thread. In models (`npm run
//! loom`) they are loom's, which tries every order in which the threads can use them.

#[cfg(not(all(test, model)))]
pub use std::sync::atomic::{AtomicBool, AtomicU64};
#[cfg(not(all(test, model)))]
pub use std::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, model)))]
pub use tokio::sync::Notify;

#[cfg(all(test, model))]
pub use loom::sync::{Mutex, MutexGuard};
#[cfg(all(test, model))]
pub use model::{AtomicBool, AtomicU64, Notify};

#[cfg(all(test, model))]
mod model {
    use std::sync::atomic::Ordering::{self, SeqCst};

    use loom::sync::atomic::{self, fence};
    use loom::sync::{Condvar, Mutex};

    /// Adds a fence after a sequentially consistent write. loom treats `SeqCst` accesses as `AcqRel`
    /// ones, but it models `SeqCst` fences: with one after each write, a later read sees what other
    /// threads wrote before theirs.
    fn written<T>(ordering: Ordering, value: T) -> T {
        if ordering == SeqCst {
            fence(SeqCst);
        }
        value
    }

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug, Default)]
            pub struct $name(atomic::$name);

            impl $name {
                pub fn load(&self, ordering: Ordering) -> $value {
                    self.0.load(ordering)
                }

                pub fn store(&self, value: $value, ordering: Ordering) {
                    if ordering == SeqCst {
                        // loom lets a swap miss a store that it is not ordered with.
                        self.swap(value, ordering);
                    } else {
                        self.0.store(value, ordering);
                    }
                }

                pub fn swap(&self, value: $value, ordering: Ordering) -> $value {
                    written(ordering, self.0.swap(value, ordering))
                }
            }
        };
    }

    atomic!(AtomicBool, bool);
    atomic!(AtomicU64, u64);

    impl AtomicBool {
        pub fn new(value: bool) -> Self {
            Self(atomic::AtomicBool::new(value))
        }
    }

    impl AtomicU64 {
        pub fn fetch_add(&self, value: u64, ordering: Ordering) -> u64 {
            written(ordering, self.0.fetch_add(value, ordering))
        }
    }

    /// As tokio's: one notification that comes before the wait is kept.
    #[derive(Default)]
    pub struct Notify {
        is_notified: Mutex<bool>,
        changed: Condvar,
    }

    impl Notify {
        pub fn notify_one(&self) {
            *self.is_notified.lock().unwrap() = true;
            self.changed.notify_one();
        }

        #[allow(clippy::unused_async, reason = "the same signature as tokio's")]
        pub async fn notified(&self) {
            self.wait();
        }

        /// Blocks, because the threads of a model are not tasks.
        pub fn wait(&self) {
            let mut is_notified = self.is_notified.lock().unwrap();
            while !std::mem::take(&mut *is_notified) {
                is_notified = self.changed.wait(is_notified).unwrap();
            }
        }
    }
}
