//! Parallel loading, in order.

mod queue;
mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::DatasetError;
use crate::picture::{ImageId, Pictures};
use crate::prepare::Preprocess;
use crate::quarantine::{Quarantine, Quarantined};
use queue::Queue;
use worker::{Outcome, Request};

/// Share of unreadable images above which a run stops.
pub const DEFAULT_MAX_BAD_SHARE: f64 = 0.01;

/// How a [`Loader`] works. Nothing but `seed` changes what it yields.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoaderConfig {
    /// Threads that decode; at least 1, default 2.
    pub threads: usize,
    /// Prepared images that may wait to be taken; at least 1, default 128. With `threads` being
    /// decoded and one batch being filled, this bounds the memory: `12 * side * side` bytes each.
    pub prefetch: usize,
    /// Share of unreadable images that are passed over, in `[0, 1]`, default 0.01.
    ///
    /// The run stops at one more than this share of the distinct images asked for so far (counted
    /// as 500, or as all that the set has, while they are fewer), rounded down, but one bad image
    /// in all is passed over unless the share is 0.
    pub max_bad_share: f64,
    /// Seed of the augmentation.
    pub seed: u64,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            threads: 2,
            prefetch: 128,
            max_bad_share: DEFAULT_MAX_BAD_SHARE,
            seed: 0,
        }
    }
}

impl LoaderConfig {
    fn check(&self) -> Result<(), DatasetError> {
        let wrong = |field, found, expected| {
            Err(DatasetError::Config {
                field,
                found,
                expected,
            })
        };
        if self.threads == 0 {
            return wrong("loader threads", "0".to_owned(), "at least 1");
        }
        if self.prefetch == 0 {
            return wrong("loader prefetch", "0".to_owned(), "at least 1 image");
        }
        if !(0.0..=1.0).contains(&self.max_bad_share) {
            let found = self.max_bad_share.to_string();
            return wrong("share of bad images", found, "0 to 1");
        }
        Ok(())
    }
}

/// Images of a request that could be read, as network input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `[n, 3, side, side]`.
    pub images: Vec<f32>,
    /// `[n]`: which images they are.
    pub ids: Vec<ImageId>,
    /// `[n]`: their indices in the request, ascending; the unreadable ones are missing.
    pub positions: Vec<usize>,
}

/// Decodes and prepares images on threads.
///
/// What it yields is a function of the pictures, the seed and the request alone: item `i` of a
/// request draws from `ChaCha8` with the key (seed, `augment`, epoch, step) and stream `i`, and
/// batches come in the order asked for, whatever the threads.
pub struct Loader {
    pictures: Arc<dyn Pictures>,
    config: LoaderConfig,
    quarantine: Arc<Mutex<Quarantine>>,
}

impl Loader {
    /// A loader of these pictures; threads start with each [`stream`](Self::stream).
    ///
    /// # Errors
    /// [`DatasetError::Config`] for a setting out of range.
    pub fn new(pictures: Arc<dyn Pictures>, config: LoaderConfig) -> Result<Self, DatasetError> {
        config.check()?;
        let n_images = pictures.sizes().iter().map(|&n| n as usize).sum();
        let quarantine = Quarantine::new(n_images, config.max_bad_share);
        Ok(Self {
            pictures,
            config,
            quarantine: Arc::new(Mutex::new(quarantine)),
        })
    }

    /// Starts loading `ids` in the order given, `batch` of them at a time.
    ///
    /// An unreadable image is quarantined and left out of its batch; it is not tried again. The
    /// last batch may be shorter, and a batch of which nothing could be read is passed over.
    /// Dropping the stream stops its threads.
    ///
    /// - `epoch`, `step`: part of the key of the random draws
    /// - `batch`: at least 1
    ///
    /// The stream ends with its first error: [`DatasetError::TooManyBad`];
    /// [`DatasetError::Config`] for a `batch` of 0; [`DatasetError::Thread`].
    pub fn stream(
        &self,
        epoch: u64,
        step: u64,
        ids: Vec<ImageId>,
        batch: usize,
        preprocess: &Preprocess,
    ) -> Batches {
        let request = Request {
            pictures: Arc::clone(&self.pictures),
            known_bad: lock(&self.quarantine).ids(),
            preprocess: preprocess.clone(),
            key: [self.config.seed, worker::AUGMENT, epoch, step],
            ids,
        };
        Batches::start(request, batch, &self.config, Arc::clone(&self.quarantine))
    }

    /// All images quarantined so far, in the order in which they were met.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        lock(&self.quarantine).all().to_vec()
    }

    /// Those that no call of this function has returned yet: for a log that names each once.
    pub fn take_newly_quarantined(&self) -> Vec<Quarantined> {
        lock(&self.quarantine).take_new()
    }
}

/// The batches of one request; see [`Loader::stream`].
pub struct Batches {
    request: Arc<Request>,
    queue: Arc<Queue<Outcome>>,
    quarantine: Arc<Mutex<Quarantine>>,
    threads: Vec<JoinHandle<()>>,
    batch: usize,
    next: usize,
    error: Option<DatasetError>,
}

impl Batches {
    fn start(
        request: Request,
        batch: usize,
        config: &LoaderConfig,
        quarantine: Arc<Mutex<Quarantine>>,
    ) -> Self {
        let n_threads = config.threads.min(request.ids.len());
        let mut batches = Self {
            queue: Arc::new(Queue::new(request.ids.len(), config.prefetch)),
            request: Arc::new(request),
            quarantine,
            threads: Vec::with_capacity(n_threads),
            batch,
            next: 0,
            error: None,
        };
        if batch == 0 {
            batches.error = Some(DatasetError::Config {
                field: "images of a batch",
                found: "0".to_owned(),
                expected: "at least 1",
            });
            return batches;
        }
        for _ in 0..n_threads {
            batches.add_thread();
        }
        batches
    }

    /// One thread more; the first must start, the others are for speed.
    fn add_thread(&mut self) {
        let (request, queue) = (Arc::clone(&self.request), Arc::clone(&self.queue));
        let builder = std::thread::Builder::new().name("facenet-loader".to_owned());
        match builder.spawn(move || request.work(&queue)) {
            Ok(thread) => self.threads.push(thread),
            Err(source) if self.threads.is_empty() && self.error.is_none() => {
                self.error = Some(DatasetError::Thread { source });
            }
            Err(_) => {}
        }
    }

    /// Takes the next image, in order, into `batch`.
    fn take_into(&mut self, batch: &mut Batch) -> Result<(), DatasetError> {
        let image = self.request.ids[self.next];
        match self.queue.take(self.next) {
            Outcome::Ready(values) => {
                lock(&self.quarantine).good(image);
                batch.images.extend_from_slice(&values);
                batch.ids.push(image);
                batch.positions.push(self.next);
                self.queue.recycle(values);
            }
            Outcome::KnownBad => {}
            Outcome::Bad(one) => lock(&self.quarantine).bad(one)?,
        }
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Batch, DatasetError> {
        let end = self
            .request
            .ids
            .len()
            .min(self.next.saturating_add(self.batch));
        let item = 3 * self.request.preprocess.side.pow(2);
        let mut batch = Batch::default();
        batch.images.reserve_exact((end - self.next) * item);
        while self.next < end {
            self.take_into(&mut batch)?;
            self.next += 1;
        }
        Ok(batch)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.error.is_none() && self.next < self.request.ids.len() {
            match self.next_batch() {
                Ok(batch) if batch.ids.is_empty() => {}
                Ok(batch) => return Some(Ok(batch)),
                Err(error) => self.error = Some(error),
            }
        }
        let error = self.error.take()?;
        self.next = self.request.ids.len();
        Some(Err(error))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.queue.stop();
        for thread in self.threads.drain(..) {
            // A worker catches panics; there is nothing to learn from a join.
            let _ = thread.join();
        }
    }
}

/// The quarantine is consistent after every statement, so a poisoned lock is still good.
fn lock(quarantine: &Mutex<Quarantine>) -> MutexGuard<'_, Quarantine> {
    quarantine.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(config: LoaderConfig, expected: &str) {
        let found = config.check().map_err(|error| error.to_string());
        assert_eq!(found.err().as_deref().unwrap_or("fine"), expected);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let fine = LoaderConfig::default();
        check(fine, "fine");
        let threads = LoaderConfig { threads: 0, ..fine };
        check(threads, "loader threads: found 0, expected at least 1");
        let prefetch = LoaderConfig {
            prefetch: 0,
            ..fine
        };
        check(
            prefetch,
            "loader prefetch: found 0, expected at least 1 image",
        );
        for (share, expected) in [
            (-0.1, "share of bad images: found -0.1, expected 0 to 1"),
            (f64::NAN, "share of bad images: found NaN, expected 0 to 1"),
            (1.0, "fine"),
            (0.0, "fine"),
        ] {
            let config = LoaderConfig {
                max_bad_share: share,
                ..fine
            };
            check(config, expected);
        }
    }
}
