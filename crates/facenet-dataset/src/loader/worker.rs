//! What a loader's thread does.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::queue::Queue;
use crate::error::{DatasetError, in_line};
use crate::picture::{ImageId, Pictures};
use crate::prepare::{Plan, Preprocess};
use crate::quarantine::Quarantined;

/// Purpose of the draws.
pub(super) const AUGMENT: u64 = u64::from_le_bytes(*b"augment\0");

/// One item of a request.
pub(super) enum Outcome {
    /// `[3, side, side]`.
    Ready(Vec<f32>),
    /// Quarantined before the request began.
    KnownBad,
    /// Not readable.
    Bad(Quarantined),
}

/// What is to be loaded, and how.
pub(super) struct Request {
    pub(super) pictures: Arc<dyn Pictures>,
    pub(super) preprocess: Preprocess,
    pub(super) ids: Vec<ImageId>,
    pub(super) known_bad: HashSet<ImageId>,
    /// Seed, purpose, epoch, step.
    pub(super) key: [u64; 4],
}

impl Request {
    /// Works until nothing is left or the queue is stopped.
    pub(super) fn work(&self, queue: &Queue<Outcome>) {
        while let Some((i, buffer)) = queue.claim() {
            let image = self.ids[i];
            // A panic would leave the taker waiting for ever.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.load(i, buffer)));
            queue.put(i, outcome.unwrap_or_else(|_| panicked(image)));
        }
    }

    fn load(&self, i: usize, mut values: Vec<f32>) -> Outcome {
        let image = self.ids[i];
        if self.known_bad.contains(&image) {
            return Outcome::KnownBad;
        }
        values.resize(3 * self.preprocess.side.pow(2), 0.0);
        let plan = Plan::new(&self.preprocess, &mut keyed(self.key, i as u64));
        let portion = self.pictures.load_part(image, &|whole| plan.area(whole));
        match portion.and_then(|portion| plan.prepare(&portion, &mut values)) {
            Ok(()) => Outcome::Ready(values),
            Err(error) => self.bad(image, &error),
        }
    }

    fn bad(&self, image: ImageId, error: &DatasetError) -> Outcome {
        Outcome::Bad(Quarantined {
            image,
            name: self.pictures.name(image),
            reason: in_line(error),
        })
    }
}

fn panicked(image: ImageId) -> Outcome {
    let name = format!("image {} of identity {}", image.image, image.identity);
    let error = DatasetError::Panicked { name: name.clone() };
    Outcome::Bad(Quarantined {
        image,
        name,
        reason: error.to_string(),
    })
}

/// `ChaCha8` keyed with four little-endian words, on a stream.
fn keyed(words: [u64; 4], stream: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::RngCore;

    #[test]
    fn every_part_of_the_key_matters() {
        let draw = |words, stream| keyed(words, stream).next_u64();
        let base = draw([1, 2, 3, 4], 5);
        assert_eq!(base, draw([1, 2, 3, 4], 5));
        for (words, stream) in [
            ([0, 2, 3, 4], 5),
            ([1, 0, 3, 4], 5),
            ([1, 2, 0, 4], 5),
            ([1, 2, 3, 0], 5),
            ([1, 2, 3, 4], 0),
        ] {
            assert_ne!(base, draw(words, stream), "{words:?} {stream}");
        }
    }

    #[test]
    fn a_reason_holds_its_sources_on_one_line() {
        let source = std::io::Error::other("two\nlines");
        let error = DatasetError::Read {
            path: "a.jpg".into(),
            source,
        };
        assert_eq!(
            in_line(&error),
            "a.jpg: cannot read; check that the path exists and may be read: two lines"
        );
    }
}
