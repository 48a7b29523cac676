//! Max pooling of a row of windows, in vectors of channels.
#![expect(unsafe_code, reason = "kernels take pointers")]
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

use crate::isa::Isa;
use crate::microkernels::lanes::{self, Lanes, Work, load, store};
use crate::number::Number;

/// The windows of a row of outputs; places count elements.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    /// Where a window's taps begin, from its first on.
    pub(crate) taps: Vec<usize>,
    /// From a window to the next.
    pub(crate) step: usize,
    pub(crate) columns: usize,
    pub(crate) channels: usize,
}

impl Windows {
    /// Writes the maximum of each window, channel by channel, and where asked for which tap has it
    /// first; a NaN is the maximum.
    ///
    /// # Panics
    /// Where a slice is too short.
    pub(crate) fn max<T: Number>(&self, isa: Isa, x: &[T], y: &mut [T], winners: Option<&mut [T]>) {
        self.check(x.len(), y.len());
        if let Some(winners) = &winners {
            self.check(x.len(), winners.len());
        }
        let max = Max {
            windows: self,
            x: x.as_ptr(),
            y: y.as_mut_ptr(),
            winners: winners.map(<[T]>::as_mut_ptr),
        };
        // SAFETY: the slices hold all windows and outputs, as was just seen.
        unsafe { lanes::on(isa, max) };
    }

    /// Adds each output's gradient to the tap that won, and rounds the sum.
    ///
    /// # Panics
    /// Where a slice is too short.
    pub(crate) fn give<T: Number>(&self, isa: Isa, winners: &[T], grad: &[T], dx: &mut [T]) {
        self.check(dx.len(), winners.len());
        self.check(dx.len(), grad.len());
        let give = Give {
            windows: self,
            winners: winners.as_ptr(),
            grad: grad.as_ptr(),
            dx: dx.as_mut_ptr(),
        };
        // SAFETY: as above.
        unsafe { lanes::on(isa, give) };
    }

    /// # Panics
    /// Where lengths do not hold what the kernels touch.
    fn check(&self, inputs: usize, outputs: usize) {
        let last = self.taps.iter().max().map(|tap| {
            let window = self.columns.saturating_sub(1) * self.step;
            window + tap + self.channels
        });
        let is_inside = last.is_some_and(|last| last <= inputs);
        assert!(
            self.columns == 0 || (is_inside && self.columns * self.channels <= outputs),
            "slices hold what the windows read and write"
        );
    }
}

/// What is done with a vector of channels of one window.
trait OnWindow {
    /// # Safety
    /// The machine has the set of `V`; the window and its output are there, all lanes of them
    /// where `WHOLE`, else `n`.
    unsafe fn vector<V: Lanes, const WHOLE: bool>(&self, window: usize, output: usize, n: usize);
}

/// Calls `on_window` with all channels of all windows.
///
/// # Safety
/// The machine has the set of `V`, and all windows and outputs are there.
#[inline(always)]
unsafe fn each<V: Lanes>(windows: &Windows, on_window: &impl OnWindow) {
    let channels = windows.channels;
    let whole = channels / V::LANES * V::LANES;
    for column in 0..windows.columns {
        let (window, output) = (column * windows.step, column * channels);
        // SAFETY: the caller's promise; a vector's lanes, and what is left, are channels.
        unsafe {
            for channel in (0..whole).step_by(V::LANES) {
                on_window.vector::<V, true>(window + channel, output + channel, V::LANES);
            }
            if whole < channels {
                on_window.vector::<V, false>(window + whole, output + whole, channels - whole);
            }
        }
    }
}

/// A number in each lane.
///
/// # Safety
/// The machine has the set of `V`.
#[inline(always)]
unsafe fn splat<V: Lanes>(number: usize) -> V {
    // SAFETY: the array has the most lanes there are.
    unsafe { V::load([number as f32; lanes::MOST].as_ptr()) }
}

/// [`Windows::max`], which has seen the slices.
struct Max<'a, T> {
    windows: &'a Windows,
    x: *const T,
    y: *mut T,
    winners: Option<*mut T>,
}

impl<T: Number> Work for Max<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller's promise.
        unsafe { each::<V>(self.windows, &self) };
    }
}

impl<T: Number> OnWindow for Max<'_, T> {
    #[inline(always)]
    unsafe fn vector<V: Lanes, const WHOLE: bool>(&self, window: usize, output: usize, n: usize) {
        let x = self.x.wrapping_add(window);
        // SAFETY: the caller's promise.
        unsafe {
            let mut most: V = load::<_, V, WHOLE>(x.wrapping_add(self.windows.taps[0]), n);
            let mut winner = V::zero();
            for (number, &tap) in self.windows.taps.iter().enumerate().skip(1) {
                let x: V = load::<_, V, WHOLE>(x.wrapping_add(tap), n);
                winner = chosen(most, x, (winner, splat(number)));
                most = chosen(most, x, (most, x));
            }
            store::<_, V, WHOLE>(most, self.y.wrapping_add(output), n);
            if let Some(winners) = self.winners {
                store::<_, V, WHOLE>(winner, winners.wrapping_add(output), n);
            }
        }
    }
}

/// What is kept, or what is new where `x` is more than the most so far; the first NaN is the most
/// of all, and of equals the first stays.
#[inline(always)]
fn chosen<V: Lanes>(most: V, x: V, (kept, new): (V, V)) -> V {
    let more = most.where_less(x, new, kept);
    most.where_nan(kept, x.where_nan(new, more))
}

/// [`Windows::give`], which has seen the slices.
struct Give<'a, T> {
    windows: &'a Windows,
    winners: *const T,
    grad: *const T,
    dx: *mut T,
}

impl<T: Number> Work for Give<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller's promise.
        unsafe { each::<V>(self.windows, &self) };
    }
}

impl<T: Number> OnWindow for Give<'_, T> {
    #[inline(always)]
    unsafe fn vector<V: Lanes, const WHOLE: bool>(&self, window: usize, output: usize, n: usize) {
        let dx = self.dx.wrapping_add(window);
        // SAFETY: the caller's promise.
        unsafe {
            let winner: V = load::<_, V, WHOLE>(self.winners.wrapping_add(output), n);
            let grad: V = load::<_, V, WHOLE>(self.grad.wrapping_add(output), n);
            for (number, &tap) in self.windows.taps.iter().enumerate() {
                let number: V = splat(number);
                let not_before = winner.where_less(number, V::zero(), grad);
                let given = number.where_less(winner, V::zero(), not_before);
                let to = dx.wrapping_add(tap);
                let sum = load::<_, V, WHOLE>(to.cast_const(), n).plus(given);
                store::<_, V, WHOLE>(sum, to, n);
            }
        }
    }
}
