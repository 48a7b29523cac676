//! Whether running statistics fit the weights, found at scoring: where they do not, a network that
//! trains well scores badly.

use facenet_miner::sq_l2;
use facenet_model::{Mode, Model, TrainPass};

use crate::chunks::parts;
use crate::embedder::{Rows, embed_pictures};
use crate::error::TrainError;
use crate::feed::{Feed, Pass, Purpose};
use crate::observer::{Event, Observer, Stage, Unheard};
use crate::scoring::ScoringSet;

/// Pairs that both statistics are tried on, spread evenly over those that are scored.
const PAIRS: usize = 150;
/// Fewest images of a batch that gives statistics of its own.
const MIN_BATCH: usize = 8;
/// Difference of the accuracies that is worth a warning.
const WORTH: f64 = 0.1;
/// Standard deviations that chance does not reach: once in 30,000 scores.
const CHANCE: f64 = 4.0;

/// Accuracies of the same pairs, of embeddings by either statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Disagreement {
    pairs: usize,
    running: f64,
    batch: f64,
}

/// Warns where pairs come out right by their batch's statistics and not by the running ones.
/// Frozen norms go by the latter alone: there is nothing to compare.
///
/// - `rows`: the scored pictures' embeddings, by running statistics
/// - `batch`: pictures of a forward pass
///
/// # Errors
/// As [`embed_pictures`].
pub(crate) fn check_statistics(
    model: &Model,
    feed: &Feed,
    set: &ScoringSet,
    rows: &Rows,
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    if model.has_frozen_norms() {
        return Ok(());
    }
    let chosen = chosen(set.pairs().len());
    let mut images: Vec<usize> = chosen.iter().flat_map(|&pair| set.pairs()[pair]).collect();
    images.sort_unstable();
    images.dedup();
    if images.len() < 2 || rows.ids.len() != set.ids.len() {
        return Ok(());
    }
    // These few images again are no progress of the score.
    let unheard = &mut Unheard(observer);
    let by_batch = by_batch(model, feed, set, &images, batch.max(MIN_BATCH), unheard)?;
    let place = |image: usize| {
        images
            .binary_search(&image)
            .expect("taken from these pairs")
    };
    let row = |rows: &Rows, at: usize| rows.values[at * rows.dim..][..rows.dim].to_vec();
    let distances = chosen.iter().map(|&pair| {
        let [a, b] = set.pairs()[pair];
        let running = sq_l2(&row(rows, a), &row(rows, b));
        let batch = sq_l2(&row(&by_batch, place(a)), &row(&by_batch, place(b)));
        [running, batch].map(on_grid)
    });
    let distances: Vec<_> = distances.collect();
    let is_same: Vec<_> = chosen.iter().map(|&pair| set.is_same(pair)).collect();
    if let Some(found) = disagreement(&distances, &is_same) {
        observer.event(&Event::Warning(&message(found)));
    }
    Ok(())
}

/// The distance as the reference's thresholds see it, which are the multiples of 0.01: rows that
/// lie nearer than that are not told apart by a score.
fn on_grid(sq_l2: f64) -> f64 {
    (100.0 * sq_l2).floor()
}

/// Pairs spread evenly over all.
fn chosen(n_pairs: usize) -> Vec<usize> {
    let n = PAIRS.min(n_pairs);
    (0..n).map(|i| i * n_pairs / n).collect()
}

/// Embeds the images by the statistics of their batches; the running ones stay as they are.
fn by_batch(
    model: &Model,
    feed: &Feed,
    set: &ScoringSet,
    images: &[usize],
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<Rows, TrainError> {
    let mode = Mode::Train(TrainPass::default());
    let mut all = Rows::default();
    for part in parts(images.len(), batch) {
        let ids: Vec<_> = images[part].iter().map(|&image| set.ids[image]).collect();
        let pass = Pass {
            purpose: Purpose::Score,
            epoch: 0,
            step: 0,
            ids: &ids,
            batch: ids.len(),
        };
        let rows = embed_pictures(model, feed, &pass, &mode, Stage::Score, observer)?;
        all.dim = rows.dim;
        all.values.extend(rows.values);
        all.ids.extend(rows.ids);
    }
    Ok(all)
}

/// A disagreement beyond chance: of the pairs that one statistics alone gets right, those of the
/// batch are more by [`CHANCE`] standard deviations (`McNemar`'s test) and by [`WORTH`] of all.
///
/// - `distances`: of each pair, by running and by batch statistics
fn disagreement(distances: &[[f64; 2]], is_same: &[bool]) -> Option<Disagreement> {
    let right = [0, 1].map(|which| {
        let distances: Vec<_> = distances.iter().map(|pair| pair[which]).collect();
        right(&distances, is_same)
    });
    let [running, batch] = right.each_ref().map(|right| count(right));
    let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count();
    let apart = only(&right[0], &right[1]) + only(&right[1], &right[0]);
    let more = batch as f64 - running as f64;
    let pairs = is_same.len();
    let is_found = more >= WORTH * pairs as f64 && more >= CHANCE * (apart as f64).sqrt();
    (is_found && more > 0.0).then(|| Disagreement {
        pairs,
        running: running as f64 / pairs as f64,
        batch: batch as f64 / pairs as f64,
    })
}

fn count(right: &[bool]) -> usize {
    right.iter().filter(|right| **right).count()
}

/// Which pairs the best threshold gets right: the smallest of the best, below which a pair is the
/// same.
fn right(distances: &[f64], is_same: &[bool]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
    // Right pairs with all called different, then with one more called the same each time.
    let mut now = is_same.iter().filter(|same| !**same).count();
    let (mut best, mut threshold) = (now, f64::NEG_INFINITY);
    for (at, &pair) in order.iter().enumerate() {
        now = if is_same[pair] { now + 1 } else { now - 1 };
        let next = order.get(at + 1).map(|&next| distances[next]);
        if now > best && next != Some(distances[pair]) {
            (best, threshold) = (now, distances[pair]);
        }
    }
    let is_right = |(&distance, &same): (&f64, &bool)| (distance <= threshold) == same;
    distances.iter().zip(is_same).map(is_right).collect()
}

fn message(found: Disagreement) -> String {
    format!(
        "batch norm's running statistics do not fit the weights: of {} of the pairs scored {:.1} % \
         come out right with them and {:.1} % with a batch's own; train on with a larger \
         --bn-momentum or a lower --learning-rate, and check that images to score are prepared as \
         those trained on",
        found.pairs,
        100.0 * found.running,
        100.0 * found.batch,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_spread_over_all() {
        assert_eq!(chosen(3), [0, 1, 2]);
        let found = chosen(6000);
        assert_eq!(
            (found.len(), found[0], found[1], found[149]),
            (150, 0, 40, 5960)
        );
        assert!(chosen(0).is_empty());
    }

    #[test]
    fn the_best_threshold_decides() {
        let right = |distances: &[f64], same: &[u8]| {
            let is_same: Vec<_> = same.iter().map(|same| *same == 1).collect();
            right(distances, &is_same)
        };
        assert_eq!(right(&[0.1, 0.5, 0.3, 0.9], &[1, 0, 1, 0]), [true; 4]);
        // Up to 0.3 the same: one same pair at 0.9 is wrong.
        let found = right(&[0.1, 0.3, 0.9, 0.5, 0.7], &[1, 1, 1, 0, 0]);
        assert_eq!(found, [true, true, false, true, true]);
        // Equal distances stand or fall together.
        assert_eq!(right(&[0.5, 0.5], &[1, 0]), [false, true]);
        assert!(right(&[], &[]).is_empty());
    }

    /// Pairs, alternately the same and not; the first `n_wrong` by running statistics come out as
    /// chance has it, all by the batch's are told apart.
    fn with_wrong(pairs: usize, n_wrong: usize) -> Option<Disagreement> {
        let is_same: Vec<_> = (0..pairs).map(|pair| pair % 2 == 0).collect();
        let distances: Vec<_> = (0..pairs)
            .map(|pair| {
                let batch = if is_same[pair] { 0.5 } else { 1.5 };
                let running = if pair < n_wrong { 2.0 - batch } else { batch };
                [running, batch]
            })
            .collect();
        disagreement(&distances, &is_same)
    }

    #[test]
    fn a_model_that_is_right_by_its_batch_alone_is_found() {
        let found = with_wrong(150, 48).expect("0.68 for 1");
        assert_eq!((found.pairs, found.running, found.batch), (150, 0.68, 1.0));
        let text = message(found);
        assert!(text.contains("of 150 of the pairs scored 68.0 %"), "{text}");
        assert!(
            text.contains("100.0 % with a batch's own; train on"),
            "{text}"
        );
    }

    #[test]
    fn what_chance_may_do_is_no_disagreement() {
        assert_eq!(with_wrong(150, 0), None);
        // 15 of 150 are worth it, but below 4 standard deviations, which are 16.
        assert_eq!(with_wrong(150, 15), None);
        assert!(with_wrong(150, 16).is_some());
        assert_eq!(with_wrong(1000, 99), None);
        assert_eq!(disagreement(&[], &[]), None);
        // The other way round nothing is lost where the model is used.
        let flipped: Vec<_> = (0..150)
            .map(|pair| [0.5 + f64::from(pair % 2), 1.0])
            .collect();
        let is_same: Vec<_> = (0..150).map(|pair| pair % 2 == 0).collect();
        assert_eq!(disagreement(&flipped, &is_same), None);
    }
}
