//! Numbered work, done out of order within a window, taken in order.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Hands out the numbers `0..n` and holds results until their turn, at most `window` of them.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    room: Condvar,
    ready: Condvar,
    n: usize,
    window: usize,
}

struct State<T> {
    /// Result `i` waits in slot `i % window`.
    slots: Vec<Option<T>>,
    spare: Vec<Vec<f32>>,
    n_claimed: usize,
    n_taken: usize,
    is_stopped: bool,
}

impl<T> Queue<T> {
    /// - `window`: at least 1
    pub(super) fn new(n: usize, window: usize) -> Self {
        let window = window.clamp(1, n.max(1));
        let mut slots = Vec::new();
        slots.resize_with(window, || None);
        let state = State {
            slots,
            spare: Vec::new(),
            n_claimed: 0,
            n_taken: 0,
            is_stopped: false,
        };
        Self {
            state: Mutex::new(state),
            room: Condvar::new(),
            ready: Condvar::new(),
            n,
            window,
        }
    }

    /// The next number to work on, once it is within the window, and a buffer to reuse; `None`
    /// when there is nothing left or the queue was stopped.
    pub(super) fn claim(&self) -> Option<(usize, Vec<f32>)> {
        let full = |state: &mut State<T>| {
            !state.is_stopped
                && state.n_claimed < self.n
                && state.n_claimed >= state.n_taken + self.window
        };
        let waited = self.room.wait_while(self.lock(), full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_stopped || state.n_claimed >= self.n {
            return None;
        }
        state.n_claimed += 1;
        let buffer = state.spare.pop().unwrap_or_default();
        Some((state.n_claimed - 1, buffer))
    }

    /// Leaves the result of a claimed number.
    pub(super) fn put(&self, i: usize, result: T) {
        self.lock().slots[i % self.window] = Some(result);
        self.ready.notify_all();
    }

    /// Waits for result `i`; to be called with 0, 1, 2, ... while threads work.
    pub(super) fn take(&self, i: usize) -> T {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.slots[i % self.window].take() {
                state.n_taken = i + 1;
                self.room.notify_one();
                return result;
            }
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives a buffer back.
    pub(super) fn recycle(&self, buffer: Vec<f32>) {
        self.lock().spare.push(buffer);
    }

    /// Ends all waiting in [`claim`](Self::claim).
    pub(super) fn stop(&self) {
        self.lock().is_stopped = true;
        self.room.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_bounds_what_is_claimed() {
        let queue: Queue<u8> = Queue::new(3, 2);
        assert_eq!(queue.claim().map(|(i, _)| i), Some(0));
        assert_eq!(queue.claim().map(|(i, _)| i), Some(1));
        queue.put(1, 11);
        queue.put(0, 10);
        assert_eq!(queue.take(0), 10);
        assert_eq!(queue.claim().map(|(i, _)| i), Some(2));
        assert_eq!(queue.claim(), None);
        assert_eq!(queue.take(1), 11);
    }

    #[test]
    fn a_full_window_waits_for_room() {
        let queue: Queue<u8> = Queue::new(2, 1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Some((i, _)) = queue.claim() {
                    queue.put(i, i as u8);
                }
            });
            assert_eq!([queue.take(0), queue.take(1)], [0, 1]);
        });
    }

    #[test]
    fn stopping_ends_the_wait() {
        let queue: Queue<u8> = Queue::new(9, 1);
        assert!(queue.claim().is_some());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.claim());
            queue.stop();
            assert_eq!(waiting.join().expect("no panic"), None);
        });
    }

    #[test]
    fn buffers_are_reused() {
        let queue: Queue<u8> = Queue::new(9, 9);
        queue.recycle(vec![1.0; 4]);
        let (_, buffer) = queue.claim().expect("nine numbers");
        assert_eq!(buffer, [1.0; 4]);
    }
}
