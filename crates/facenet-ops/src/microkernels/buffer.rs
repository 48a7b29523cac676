//! Memory that begins at a cache line, kept between calls.
#![expect(unsafe_code, reason = "lines of floats are read as floats")]

use std::cell::RefCell;

/// Floats of a cache line.
const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    _floats: [f32; LINE],
}

/// A line of zeros.
const ZEROS: Line = Line {
    _floats: [0.0; LINE],
};

/// Floats that begin at a cache line; what they hold at first is unspecified but initialised.
#[derive(Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` floats, from those that this thread gave back where there is one.
    pub(crate) fn take(len: usize) -> Self {
        let mut buffer = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
        let lines = len.div_ceil(LINE);
        if buffer.lines.len() < lines {
            buffer.lines.resize(lines, ZEROS);
        }
        buffer.len = len;
        buffer
    }

    /// Keeps the memory for this thread's next [`Buffer::take`]: fresh pages cost more than a
    /// small layer's work.
    pub(crate) fn give_back(self) {
        KEPT.with_borrow_mut(|kept| {
            if kept.len() < MOST_KEPT {
                kept.push(self);
            }
        });
    }
}

/// Buffers that a thread keeps.
const MOST_KEPT: usize = 4;

thread_local! {
    static KEPT: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

impl std::ops::Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `len` floats are no more than the lines hold, a line is 16 floats without
        // padding, and all of them are initialised.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
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
            let mut buffer = Buffer::take(len);
            buffer.fill(1.0);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            buffer.give_back();
        }
    }
}
