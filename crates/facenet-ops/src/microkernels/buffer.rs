//! Memory that begins at a cache line, kept between uses: fresh pages cost more than a small
//! layer's work.
#![expect(unsafe_code, reason = "lines are read as numbers")]

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::microkernels::pool::Pool;
use crate::number::Bf16;

/// Floats of a cache line.
const LINE: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line {
    _floats: [f32; LINE],
}

/// A line of zeros.
const ZEROS: Line = Line {
    _floats: [0.0; LINE],
};

/// What a buffer may hold.
///
/// # Safety
/// Any bits are a value, there is no padding, and size and alignment divide those of a line.
pub unsafe trait Plain: Copy + Default + Send + Sync + 'static {}

// SAFETY: 4 bytes, all of whose patterns are floats.
unsafe impl Plain for f32 {}
// SAFETY: a `u16`.
unsafe impl Plain for Bf16 {}
// SAFETY: two of them, side by side.
unsafe impl Plain for [Bf16; 2] {}

/// Bytes of a line.
pub(crate) const LINE_BYTES: usize = size_of::<Line>();

/// Lines that hold `len` values.
fn lines_of<T>(len: usize) -> usize {
    (len * size_of::<T>()).div_ceil(LINE_BYTES)
}

/// Where the activations of passes come from and go back to: a model keeps one, so that a step
/// runs in the pages of the step before. What two passes have not touched is freed.
#[derive(Clone, Default)]
pub struct Memory {
    pool: Arc<Mutex<Pool<Vec<Line>>>>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("kept_bytes", &self.kept_bytes())
            .finish()
    }
}

impl Memory {
    /// Bytes that are kept for passes to come.
    pub fn kept_bytes(&self) -> usize {
        self.pool().lines() * LINE_BYTES
    }

    /// Begins a pass: frees what the two before have not touched.
    pub(crate) fn begin_pass(&self) {
        self.pool().begin_pass();
    }

    /// A buffer of `len` numbers that comes back when it is dropped.
    pub(crate) fn take<T: Plain>(&self, len: usize) -> Buffer<T> {
        let wanted = lines_of::<T>(len);
        let kept = self.pool().take(wanted);
        Buffer {
            lines: kept.map_or_else(|| vec![ZEROS; wanted], |(lines, _)| lines),
            len,
            home: Some(self.clone()),
            of: PhantomData,
        }
    }

    fn give_back(&self, lines: Vec<Line>) {
        let n_lines = lines.len();
        self.pool().give_back(lines, n_lines);
    }

    fn pool(&self) -> MutexGuard<'_, Pool<Vec<Line>>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Numbers that begin at a cache line; what they are at first is unspecified but initialised.
#[derive(Debug)]
pub struct Buffer<T: Plain = f32> {
    lines: Vec<Line>,
    len: usize,
    home: Option<Memory>,
    of: PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    /// A buffer of `len` numbers, in what this thread gave back where there is any.
    pub(crate) fn take(len: usize) -> Self {
        let mut buffer = Self {
            lines: KEPT.with_borrow_mut(Vec::pop).unwrap_or_default(),
            len: 0,
            home: None,
            of: PhantomData,
        };
        buffer.resize(len);
        buffer
    }

    /// Makes room for `len` numbers; what they are is unspecified but initialised.
    pub(crate) fn resize(&mut self, len: usize) {
        let wanted = lines_of::<T>(len).max(self.lines.len());
        self.lines.resize(wanted, ZEROS);
        self.len = len;
    }

    /// Keeps the memory for this thread's next [`Buffer::take`].
    pub(crate) fn give_back(mut self) {
        self.home = None;
        KEPT.with_borrow_mut(|kept| {
            if kept.len() < MOST_KEPT {
                kept.push(std::mem::take(&mut self.lines));
            }
        });
    }
}

impl<T: Plain> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.give_back(std::mem::take(&mut self.lines));
        }
    }
}

/// Pieces of memory that a thread keeps.
const MOST_KEPT: usize = 4;

thread_local! {
    static KEPT: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

impl<T: Plain> std::ops::Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` values are no more than the lines hold, which have no padding, are
        // initialised, and are values of a plain type whatever their bits.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Plain> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the lines are borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_at_a_cache_line_and_has_its_length() {
        for len in [0, 1, 16, 17, 1000] {
            let mut buffer = Buffer::<f32>::take(len);
            buffer.fill(1.0);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            buffer.give_back();
        }
    }

    #[test]
    fn memory_gives_again_what_fits_best() {
        let memory = Memory::default();
        let (small, large) = (memory.take::<f32>(100), memory.take::<f32>(160));
        let places = (small.as_ptr(), large.as_ptr());
        drop((small, large));
        assert_eq!(memory.kept_bytes(), (112 + 160) * 4);
        let again = memory.take::<f32>(90);
        assert_eq!((again.as_ptr(), again.len()), (places.0, 90));
        assert_eq!(memory.take::<f32>(90).as_ptr(), places.1);
        // Neither is to hold a tenth of itself.
        assert_ne!(memory.take::<f32>(10).as_ptr(), places.1);
    }

    #[test]
    fn half_as_wide_numbers_take_half_the_memory() {
        let memory = Memory::default();
        let mut buffer = memory.take::<Bf16>(33);
        buffer.fill(Bf16::from_f32(2.0));
        assert!(buffer.iter().all(|number| number.to_f32() == 2.0));
        drop(buffer);
        assert_eq!(memory.kept_bytes(), 128);
    }

    #[test]
    fn what_two_passes_have_not_touched_is_freed() {
        let memory = Memory::default();
        drop((memory.take::<f32>(16), memory.take::<f32>(160)));
        for expected in [176, 16, 16] {
            memory.begin_pass();
            memory.begin_pass();
            drop(memory.take::<f32>(16));
            assert_eq!(memory.kept_bytes(), 4 * expected);
        }
    }
}
