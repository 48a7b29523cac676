//! When a run is disturbed: drawn, and so the same for the same seed, but for what the clock does.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::trained::Trained;

/// A checkpoint of the tiny run takes less to be written, on a disk that is not slow.
const WRITING: Duration = Duration::from_millis(5);

/// The moments of a proof's disturbances, one after another.
pub(super) struct Draws {
    seed: u64,
    stream: u64,
    index: u64,
    length: Duration,
}

/// When a started process is disturbed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Moment {
    /// So long after its start.
    After(Duration),
    /// So long after the first scratch folder that is seen after the first time.
    InASave(Duration, Duration),
}

/// A disturbance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Draw {
    pub(super) moment: Moment,
    /// One of two kinds of signal.
    pub(super) is_interrupt: bool,
}

impl Draws {
    /// - `length`: how long an undisturbed run takes
    pub(super) fn new(seed: u64, trained: Trained, length: Duration) -> Self {
        Self {
            seed,
            stream: trained as u64,
            index: 0,
            length,
        }
    }

    /// The next one, a function of seed, kind of run and its number: every third within a save.
    pub(super) fn next(&mut self) -> Draw {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(self.stream << 32 | self.index);
        let [at, further, kind] = [0; 3].map(|_| random.next_u64());
        let share = |bits: u64| (bits >> 11) as f64 / (1u64 << 53) as f64;
        let moment = if self.index % 3 == 2 {
            let first = self.length.mul_f64(share(at) / 2.0);
            Moment::InASave(first, WRITING.mul_f64(share(further)))
        } else {
            Moment::After(self.length.mul_f64(share(at)))
        };
        self.index += 1;
        Draw {
            moment,
            is_interrupt: kind % 2 == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_seed_and_within_the_run() {
        let length = Duration::from_secs(2);
        let draws = |seed| {
            let mut draws = Draws::new(seed, Trained::OnePass, length);
            (0..30).map(|_| draws.next()).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let first = |draw: &Draw| match draw.moment {
            Moment::After(first) | Moment::InASave(first, _) => first,
        };
        assert!(draws(1).iter().all(|draw| first(draw) < length));
        let in_a_save = |draw: &&Draw| matches!(draw.moment, Moment::InASave(..));
        assert_eq!(draws(1).iter().filter(in_a_save).count(), 10);
    }
}
