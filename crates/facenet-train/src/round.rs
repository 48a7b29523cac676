//! A round of images that is embedded in chunks and, chunk by chunk, taken back again
//! (arXiv:2101.06983): the gradient of all in the memory of one chunk.

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod rules;

use std::ops::Range;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use facenet_dataset::ImageId;
use facenet_model::{Mode, Model, Parameter, ParameterGradients, TrainPass};

use crate::chunks::parts;
use crate::error::TrainError;
use crate::feed::{Feed, Pass};
use crate::observer::{Event, Observer, Stage};
use crate::stopping::check_stop;

/// Images, prepared, in the order of their rows.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// `[n, 3, side, side]`.
    pixels: Vec<f32>,
    /// Those that could be read.
    pub(crate) ids: Vec<ImageId>,
}

impl Round {
    /// Loads and augments the images of `pass`; an unreadable one is left out.
    ///
    /// # Errors
    /// [`TrainError::Dataset`] where too many are unreadable.
    pub(crate) fn load(
        feed: &Feed,
        pass: &Pass<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let mut round = Self::default();
        for batch in feed.batches(pass) {
            check_stop(observer)?;
            let batch = batch?;
            if round.pixels.is_empty() {
                let share = batch.images.len() / batch.ids.len().max(1);
                round.pixels.reserve_exact(share * pass.ids.len());
            }
            round.pixels.extend(batch.images);
            round.ids.extend(batch.ids);
        }
        Ok(round)
    }

    /// Some of the images as `[n, 3, side, side]`.
    pub(crate) fn images(&self, rows: &Range<usize>, model: &Model) -> Result<Tensor, TrainError> {
        let side = model.config().image_size;
        let size = 3 * side * side;
        let pixels = &self.pixels[rows.start * size..rows.end * size];
        Ok(Tensor::from_slice(
            pixels,
            (rows.len(), 3, side, side),
            model.device(),
        )?)
    }
}

/// A round's embeddings, and how to take a gradient back from them.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// `[n, dim]` row-major.
    pub(crate) values: Vec<f32>,
    pub(crate) dim: usize,
    chunks: Vec<Range<usize>>,
    mode: Mode,
    /// The rows with their graph, where one chunk is the round.
    graph: Option<Tracked>,
}

/// Rows that can be differentiated, once.
#[derive(Debug)]
struct Tracked {
    rows: Tensor,
    apart: ParameterGradients,
}

impl Tracked {
    fn new(model: &Model, images: &Tensor, mode: &Mode) -> Result<Self, TrainError> {
        let apart = ParameterGradients::default();
        let rows = model.forward_with(images, mode, &apart)?;
        Ok(Self { rows, apart })
    }

    /// The parameters' gradients, given the rows'.
    fn back(self, gradient: &[f64]) -> Result<GradStore, TrainError> {
        let gradient = Tensor::from_slice(gradient, self.rows.shape(), self.rows.device())?;
        let gradient = gradient.to_dtype(self.rows.dtype())?;
        let mut gradients = (&self.rows * gradient)?.sum_all()?.backward()?;
        self.apart.move_into(&mut gradients)?;
        Ok(gradients)
    }
}

impl Embedded {
    /// Embeds the round in chunks of at most `chunk_size` images, without a graph unless one
    /// chunk is the round.
    ///
    /// The first pass over a chunk moves running statistics where `mode` does; what a row is
    /// depends on its chunk only by batch statistics.
    ///
    /// - `observer`: is told how many images are done
    ///
    /// # Errors
    /// [`TrainError::Model`] for a round of fewer than two images in training.
    pub(crate) fn new(
        model: &Model,
        round: &Round,
        chunk_size: usize,
        mode: Mode,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let mut embedded = Self {
            values: Vec::new(),
            dim: model.config().embedding_size,
            chunks: parts(round.ids.len(), chunk_size),
            mode,
            graph: None,
        };
        let total = round.ids.len();
        for rows in embedded.chunks.clone() {
            check_stop(observer)?;
            let images = round.images(&rows, model)?;
            let rows_of_chunk = embedded.embed(model, &images, &rows)?;
            let values = rows_of_chunk.to_dtype(DType::F32)?.flatten_all()?;
            embedded.values.extend(values.to_vec1::<f32>()?);
            let (stage, done) = (Stage::Mine, rows.end);
            observer.event(&Event::Progress { stage, done, total });
        }
        Ok(embedded)
    }

    /// A chunk's rows; keeps their graph where there is no other chunk.
    fn embed(
        &mut self,
        model: &Model,
        images: &Tensor,
        rows: &Range<usize>,
    ) -> Result<Tensor, TrainError> {
        let mode = self.mode_of(rows, true);
        // By running statistics layers without a graph are fused further, and rows differ by
        // rounding.
        if self.chunks.len() > 1 && model.goes_by_batch(&mode) {
            return Ok(model.embed_as(images, &mode)?);
        }
        let tracked = Tracked::new(model, images, &mode)?;
        let values = tracked.rows.detach();
        self.graph = (self.chunks.len() == 1).then_some(tracked);
        Ok(values)
    }

    /// The parameters' gradients, those of the chunks added up in order.
    ///
    /// - `gradient`: of the loss by the embeddings, `[n, dim]` row-major
    ///
    /// # Errors
    /// candle's own.
    pub(crate) fn back(
        mut self,
        model: &Model,
        round: &Round,
        gradient: &[f64],
        observer: &mut dyn Observer,
    ) -> Result<GradStore, TrainError> {
        check_stop(observer)?;
        if let Some(tracked) = self.graph.take() {
            return tracked.back(gradient);
        }
        let parameters = model.parameters();
        let mut total: Option<GradStore> = None;
        for rows in &self.chunks {
            check_stop(observer)?;
            let images = round.images(rows, model)?;
            let tracked = Tracked::new(model, &images, &self.mode_of(rows, false))?;
            let part = &gradient[rows.start * self.dim..rows.end * self.dim];
            let gradients = tracked.back(part)?;
            total = Some(match total {
                Some(total) => sum(total, gradients, &parameters)?,
                None => gradients,
            });
        }
        Ok(total.expect("a round that was mined has chunks"))
    }

    /// The mode of the chunk of these rows: the same both times but for the running statistics,
    /// which move once.
    fn mode_of(&self, rows: &Range<usize>, is_first: bool) -> Mode {
        match &self.mode {
            Mode::Eval => Mode::Eval,
            Mode::Train(pass) => Mode::Train(TrainPass {
                update_statistics: pass.update_statistics && is_first,
                first_row: rows.start as u64,
                ..pass.clone()
            }),
        }
    }
}

/// Adds the parameters' gradients of `more` to those of `total`.
pub(crate) fn sum(
    mut total: GradStore,
    mut more: GradStore,
    parameters: &[Parameter<'_>],
) -> Result<GradStore, TrainError> {
    for parameter in parameters {
        let Some(more) = more.remove(parameter.var) else {
            continue;
        };
        let sum = match total.remove(parameter.var) {
            Some(total) => (total + more)?,
            None => more,
        };
        total.insert(parameter.var, sum);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use facenet_miner::{Draw, Embeddings, Miner, MinerConfig, Triplet};
    use facenet_model::{Architecture, Arithmetic, ModelConfig, Precision, Route, triplet_loss};

    use super::fixture::{SIDE, model, numbers, relative, round, training};
    use super::*;
    use crate::loss::Cost;
    use crate::observer::Silent;
    use crate::triplet_sum::TripletSum;

    const MARGIN: f32 = 0.5;

    /// Every anchor with the next of its identity and the first of the next one.
    fn triplets() -> Vec<Triplet> {
        let of = |anchor: u32| Triplet {
            anchor,
            positive: anchor / 3 * 3 + (anchor + 1) % 3,
            negative: (anchor / 3 + 1) % 4 * 3,
        };
        (0..12).map(of).collect()
    }

    fn gradient_of_rows(embedded: &Embedded) -> Vec<f64> {
        let cost = Cost {
            is_soft: false,
            margin: f64::from(MARGIN),
        };
        let mut sum = TripletSum::new(&embedded.values, embedded.dim, cost);
        for triplet in triplets() {
            sum.add(triplet);
        }
        sum.mean().expect("there are triplets").gradient
    }

    fn embed(model: &Model, chunk_size: usize, mode: &Mode) -> Embedded {
        Embedded::new(model, &round(), chunk_size, mode.clone(), &mut Silent).expect("it fits")
    }

    /// The parameters' gradients of a round, all numbers.
    fn gradients(model: &Model, embedded: Embedded) -> Vec<f64> {
        let of_rows = gradient_of_rows(&embedded);
        let store = embedded
            .back(model, &round(), &of_rows, &mut Silent)
            .expect("it fits");
        numbers(model, &store)
    }

    fn bits(numbers: &[f64]) -> Vec<u64> {
        numbers.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn a_chunk_that_is_the_round_gives_the_same_bits_with_and_without_a_kept_graph() {
        for mode in [training(), Mode::Eval] {
            let first = model();
            let kept = gradients(&first, embed(&first, 12, &mode));
            let model = model();
            let mut again = embed(&model, 12, &mode);
            assert!(again.graph.take().is_some());
            assert_eq!(bits(&gradients(&model, again)), bits(&kept));
        }
    }

    #[test]
    fn an_image_that_is_no_number_masks_the_rows_of_its_chunk() {
        let model = model();
        let mut round = round();
        round.pixels[7 * 3 * SIDE * SIDE + 5] = f32::NAN;
        // Chunks of 0..6 and 6..12: by batch statistics its neighbours are lost too.
        let embedded = Embedded::new(&model, &round, 6, training(), &mut Silent);
        let embedded = embedded.expect("it fits");
        let rows = Embeddings::new(&embedded.values, embedded.dim).expect("whole rows");
        let labels: Vec<_> = round.ids.iter().map(|id| id.identity).collect();
        let miner = Miner::new(MinerConfig::default()).expect("valid");
        let mined = miner.visit(rows, &labels, Draw::default(), &mut |_| ());
        assert_eq!(mined.expect("labelled").masked_rows, 6);
    }

    #[test]
    fn in_eval_mode_chunks_give_the_gradient_of_the_whole() {
        for chunk_size in [3, 5, 7] {
            let model = model();
            let images = round().images(&(0..12), &model).expect("it fits");
            model.recalibrate(&[images]).expect("twelve");
            let whole = gradients(&model, embed(&model, 12, &Mode::Eval));
            let chunked = embed(&model, chunk_size, &Mode::Eval);
            assert!(chunked.graph.is_none() && chunked.chunks.len() > 1);
            let difference = relative(&gradients(&model, chunked), &whole);
            // The bound: sums of f32 in another order.
            assert!(difference < 1e-6, "{chunk_size}: {difference}");
        }
    }

    #[test]
    fn the_gradient_is_that_of_candles_loss_on_the_whole() {
        let model = model();
        let mode = training();
        let ours = gradients(&model, embed(&model, 12, &mode));
        let images = round().images(&(0..12), &model).expect("it fits");
        let rows = model.forward(&images, &mode).expect("it fits");
        let roles = triplets()
            .into_iter()
            .flat_map(|t| [t.anchor, t.positive, t.negative]);
        let roles = Tensor::from_iter(roles, &Device::Cpu).expect("numbers");
        let rows = rows.index_select(&roles, 0).expect("rows");
        let loss = triplet_loss(&rows, f64::from(MARGIN))
            .expect("triplets")
            .loss;
        let theirs = numbers(&model, &loss.backward().expect("a graph"));
        let difference = relative(&ours, &theirs);
        // Theirs is rounded to f32 where ours is in f64.
        assert!(difference < 1e-6, "{difference}");
    }

    /// The second pass over each chunk gives the first one's rows, to the bit.
    #[track_caller]
    fn assert_rows_come_again(embedded: &Embedded, model: &Model, round: &Round) {
        for rows in embedded.chunks.clone() {
            let images = round.images(&rows, model).expect("it fits");
            let mode = embedded.mode_of(&rows, false);
            let again = Tracked::new(model, &images, &mode).expect("it fits");
            let again = again
                .rows
                .flatten_all()
                .and_then(|rows| rows.to_vec1::<f32>());
            assert_eq!(
                again.expect("f32"),
                embedded.values[rows.start * 8..rows.end * 8]
            );
        }
    }

    #[test]
    fn rows_are_the_same_both_times_however_they_are_computed() {
        // The smallest pictures of the network that has layers of 3 x 3, most by Winograd.
        let (side, n) = (80, 10);
        let config = ModelConfig::new(Architecture::InceptionResnetV1, side, 8);
        let ids = round().ids[..n].to_vec();
        let pixels = round().pixels.into_iter().cycle();
        let pixels = pixels.take(n * 3 * side * side).collect();
        let round = Round { pixels, ids };
        for precision in [Precision::F32, Precision::Bf16] {
            for is_winograd in [false, true] {
                let arithmetic = Arithmetic {
                    precision,
                    is_winograd,
                };
                let model = Model::new(config.clone(), 1, DType::F32, &Device::Cpu);
                let model = model.expect("a size it can have");
                let model = model.with_arithmetic(arithmetic);
                let embedded = Embedded::new(&model, &round, 5, training(), &mut Silent);
                assert_rows_come_again(&embedded.expect("it fits"), &model, &round);
            }
        }
    }

    #[test]
    fn rows_are_the_same_both_times_and_statistics_move_once() {
        let model = model();
        let embedded = embed(&model, 5, &training());
        assert_eq!((embedded.chunks.len(), model.updates()), (3, 3));
        let before = model.running_statistics().expect("on the CPU");
        assert_rows_come_again(&embedded, &model, &round());
        gradients(&model, embedded);
        let after = model.running_statistics().expect("on the CPU");
        assert_eq!(model.updates(), 3);
        for (name, before) in before {
            let values = |tensor: &Tensor| tensor.to_vec1::<f32>().expect("a vector");
            assert_eq!(values(&after[&name]), values(&before), "{name}");
        }
    }

    #[test]
    fn with_frozen_norms_rows_are_the_same_both_times() {
        let model = model();
        let images = round().images(&(0..12), &model).expect("it fits");
        model.recalibrate(&[images]).expect("twelve");
        let model = model.with_frozen_norms(true);
        let embedded = embed(&model, 5, &training());
        assert_rows_come_again(&embedded, &model, &round());
        assert_eq!(model.updates(), 0);
    }

    /// Bytes that a model keeps after a round of `n` images, once forward and back.
    fn kept_after(n: usize, chunk_size: usize) -> usize {
        let model = model();
        let mut round = round();
        round.ids.truncate(n);
        let embedded = Embedded::new(&model, &round, chunk_size, training(), &mut Silent);
        let gradient = vec![0.5; n * 8];
        let back =
            embedded.and_then(|embedded| embedded.back(&model, &round, &gradient, &mut Silent));
        back.expect("it fits");
        model.kept_bytes()
    }

    #[test]
    fn a_round_in_chunks_keeps_the_buffers_of_one_chunk() {
        let [two, four] = [6, 12].map(|n| kept_after(n, 3));
        assert_eq!(two, four);
        // Activations alone grow with the images of a pass.
        let [chunk, whole] = [3, 12].map(|n| kept_after(n, n));
        assert!(
            2 * four < whole && four < chunk + chunk / 10,
            "{four} {chunk} {whole}"
        );
    }

    #[test]
    fn the_composed_route_in_f64_is_cut_without_a_trace() {
        let config = model().config().clone();
        let built = Model::new(config, 1, DType::F64, &Device::Cpu).expect("a size it can have");
        let model = built.with_route(Route::Native);
        let rows = round();
        let images = rows.images(&(0..12), &model).expect("it fits");
        let images = images.to_dtype(DType::F64).expect("a cast");
        let of_rows: Vec<f64> = (0..12 * 8).map(|i| f64::from(i % 7) - 3.0).collect();
        let back = |range: Range<usize>| {
            let part = images.narrow(0, range.start, range.len()).expect("rows");
            let tracked = Tracked::new(&model, &part, &Mode::Eval).expect("it fits");
            tracked
                .back(&of_rows[range.start * 8..range.end * 8])
                .expect("a graph")
        };
        let parameters = model.parameters();
        let chunked = sum(back(0..5), back(5..12), &parameters).expect("as many");
        let difference = relative(&numbers(&model, &chunked), &numbers(&model, &back(0..12)));
        assert!(difference < 1e-12, "{difference}");
    }
}
