//! A step of a classifier: a round is a step, and each of its chunks goes forward and back once.
//!
//! The loss is a sum over rows, so that a chunk need not wait for the others. Batch statistics are
//! the chunk's.

use std::ops::Range;
use std::time::Instant;

use candle_core::backprop::GradStore;
use facenet_model::{Mode, Model, ParameterGradients, TrainPass, l2_normalise};

use crate::chunks::parts;
use crate::config::TrainConfig;
use crate::engine::Engine;
use crate::error::TrainError;
use crate::head::{Head, HeadMean, HeadSum};
use crate::observer::{Event, Observer, Stage};
use crate::round::{Round, sum};
use crate::step::{Pace, Shown, Stepped, apply, numbers, training_mode, updates};
use crate::stopping::check_stop;
use crate::watch::spread;

impl Engine {
    /// One step on all images of a round, of network and classifier together.
    ///
    /// # Errors
    /// As [`Engine::run`]; [`TrainError::Data`] where no two images of the round can be read.
    pub(crate) fn classify(
        &mut self,
        rate: f64,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let began = Instant::now();
        let round = self.load_round(observer)?;
        self.tell_unreadable(observer);
        let progress = &self.progress;
        check_readable(&round, &progress.config)?;
        let head = self.head.as_ref().expect("its loss has made one");
        let passes = Passes {
            model: &self.model,
            head,
            round: &round,
            chunk_size: progress.config.chunk_size,
            mode: training_mode(&progress.config, progress.epoch(), progress.round),
        };
        let (gradients, mean, spread) = passes.run(observer)?;
        let parameters = self.model.parameters();
        let mut all = updates(&parameters, &gradients);
        all.extend(head.updates(&mean.gradients));
        let seen = Stepped {
            spread,
            ..seen(&mean, round.ids.len())
        };
        let pace = Pace {
            step: progress.step,
            rate,
            clip_norm: progress.config.clip_gradient_norm,
        };
        let made = apply(&mut self.optimizer, &all, seen, &pace)?;
        self.progress.round += 1;
        self.end_step(&made, rate, began, observer)
    }
}

/// Refuses a round that has no batch statistics.
fn check_readable(round: &Round, config: &TrainConfig) -> Result<(), TrainError> {
    let found = round.ids.len();
    if found >= 2 {
        return Ok(());
    }
    let what = format!("found {found} readable images in a round, expected at least 2");
    Err(TrainError::Data {
        path: config.data_dir.clone().unwrap_or_default(),
        what,
        remedy: "mend the images or raise --people-per-batch".to_owned(),
    })
}

/// The step on a round, before its gradient is measured and its embeddings are looked at.
fn seen(mean: &HeadMean, images: usize) -> Stepped {
    Stepped {
        loss: mean.loss,
        data_loss: mean.loss,
        images,
        spread: 0.0,
        shown: Shown::Classes {
            accuracy: mean.accuracy,
        },
        gradient_norm: 0.0,
    }
}

/// A round on its way through network and classifier.
struct Passes<'a> {
    model: &'a Model,
    head: &'a Head,
    round: &'a Round,
    chunk_size: usize,
    mode: Mode,
}

impl Passes<'_> {
    /// The gradients of the network's parameters, those of the chunks added up in order, and what
    /// the classifier has made of the rows, and the spread of these.
    fn run(&self, observer: &mut dyn Observer) -> Result<(GradStore, HeadMean, f64), TrainError> {
        let total = self.round.ids.len();
        let parameters = self.model.parameters();
        let mut of_head = self.head.begin(total)?;
        let mut gradients: Option<GradStore> = None;
        let mut embeddings = Vec::new();
        for rows in parts(total, self.chunk_size) {
            check_stop(observer)?;
            let of_chunk = self.there_and_back(&rows, &mut of_head, &mut embeddings)?;
            gradients = Some(match gradients {
                Some(gradients) => sum(gradients, of_chunk, &parameters)?,
                None => of_chunk,
            });
            let (stage, done) = (Stage::Classify, rows.end);
            observer.event(&Event::Progress { stage, done, total });
        }
        let gradients = gradients.expect("a round with images has chunks");
        let spread = spread(&embeddings, self.model.config().embedding_size);
        Ok((gradients, of_head.mean()?, spread))
    }

    /// One chunk forward and back; adds its embeddings to those before.
    fn there_and_back(
        &self,
        rows: &Range<usize>,
        of_head: &mut HeadSum<'_>,
        embeddings: &mut Vec<f32>,
    ) -> Result<GradStore, TrainError> {
        let images = self.round.images(rows, self.model)?;
        let (mode, apart) = (self.mode_from(rows.start), ParameterGradients::default());
        let outputs = if self.head.is_cosine() {
            self.model.forward_with(&images, &mode, &apart)?
        } else {
            self.model.prelogits_with(&images, &mode, &apart)?
        };
        embeddings.extend(numbers(&l2_normalise(&outputs.detach())?)?);
        let ids = self.round.ids[rows.clone()].iter();
        let labels: Vec<_> = ids.map(|id| id.identity).collect();
        let gradient = of_head.add(&outputs.detach(), &labels)?;
        let mut gradients = (&outputs * gradient)?.sum_all()?.backward()?;
        apart.move_into(&mut gradients)?;
        Ok(gradients)
    }

    /// The mode of the chunk that begins with this row.
    fn mode_from(&self, row: usize) -> Mode {
        match &self.mode {
            Mode::Eval => Mode::Eval,
            Mode::Train(pass) => Mode::Train(TrainPass {
                first_row: row as u64,
                ..pass.clone()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use facenet_model::l2_normalise;

    use super::*;
    use crate::head::candles_loss;
    use crate::loss::Loss;
    use crate::observer::Silent;
    use crate::optimizer::Optimizer;
    use crate::round::fixture::{model, numbers, relative, round, spoil, training};

    const LOSSES: [Loss; 2] = [Loss::Softmax, Loss::Arcface];

    fn head(loss: Loss) -> Head {
        let config = TrainConfig {
            loss,
            embedding_size: 8,
            ..TrainConfig::demo()
        };
        let head = Head::of(&config, &[3; 4], &Device::Cpu).expect("four identities");
        head.expect("these losses have one")
    }

    /// Gradients of network and classifier, all numbers, and the loss.
    fn gradients(loss: Loss, model: &Model, chunk_size: usize, mode: Mode) -> (Vec<f64>, f64) {
        let passes = Passes {
            model,
            head: &head(loss),
            round: &round(),
            chunk_size,
            mode,
        };
        let (store, mean, _) = passes.run(&mut Silent).expect("it fits");
        let mut all = numbers(model, &store);
        for gradient in &mean.gradients {
            let flat = gradient
                .flatten_all()
                .and_then(|flat| flat.to_dtype(DType::F64));
            all.extend(
                flat.and_then(|flat| flat.to_vec1::<f64>())
                    .expect("on the CPU"),
            );
        }
        (all, mean.loss)
    }

    #[test]
    fn in_eval_mode_chunks_give_the_gradient_of_the_whole() {
        for loss in LOSSES {
            let model = model();
            let images = round().images(&(0..12), &model).expect("it fits");
            model.recalibrate(&[images]).expect("twelve");
            let (whole, mean) = gradients(loss, &model, 12, Mode::Eval);
            for chunk_size in [3, 5, 7] {
                let (chunked, again) = gradients(loss, &model, chunk_size, Mode::Eval);
                let difference = relative(&chunked, &whole);
                // The bound: sums of f32 in another order.
                assert!(difference < 1e-6, "{loss:?} {chunk_size}: {difference}");
                assert!((again - mean).abs() < 1e-5 * mean, "{again} {mean}");
            }
        }
    }

    #[test]
    fn every_image_goes_through_once_and_statistics_move_once_a_chunk() {
        let (model, before) = (model(), model().running_statistics().expect("on the CPU"));
        gradients(Loss::Softmax, &model, 5, training());
        assert_eq!(model.updates(), 3);
        let after = model.running_statistics().expect("on the CPU");
        let values = |tensor: &Tensor| tensor.to_vec1::<f32>().expect("a vector");
        assert!(
            before
                .iter()
                .all(|(name, old)| values(old) != values(&after[name]))
        );
    }

    /// The gradient of candle's own loss on the whole round, by the network's parameters.
    fn candles(loss: Loss, model: &Model) -> Result<Vec<f64>, TrainError> {
        let images = round().images(&(0..12), model)?;
        let (head, apart) = (head(loss), ParameterGradients::default());
        let mut rows = model.prelogits_with(&images, &training(), &apart)?;
        if head.is_cosine() {
            rows = l2_normalise(&rows)?;
        }
        let labels: Vec<_> = round().ids.iter().map(|id| id.identity).collect();
        let mut store = candles_loss(&head, &rows, &labels)?.backward()?;
        apart.move_into(&mut store)?;
        Ok(numbers(model, &store))
    }

    #[test]
    fn the_gradient_is_that_of_candles_loss_on_the_whole() {
        for loss in LOSSES {
            let theirs = candles(loss, &model()).expect("on the CPU");
            let (ours, _) = gradients(loss, &model(), 12, training());
            let difference = relative(&ours[..theirs.len()], &theirs);
            // Theirs rounds logits of up to 64 to f32, ours the gradient by them only.
            assert!(difference < 1e-5, "{loss:?}: {difference}");
        }
    }

    #[test]
    fn an_image_that_is_no_number_shows_in_the_loss() {
        for loss in LOSSES {
            for (picture, value) in [(0, f32::NAN), (7, f32::INFINITY), (11, f32::NAN)] {
                let (model, head, mut round) = (model(), head(loss), round());
                spoil(&mut round, picture, value);
                let passes = Passes {
                    model: &model,
                    head: &head,
                    round: &round,
                    chunk_size: 6,
                    mode: training(),
                };
                let (gradients, mean, _) = passes.run(&mut Silent).expect("it fits");
                let parameters = model.parameters();
                let all = updates(&parameters, &gradients);
                let pace = Pace {
                    step: 7,
                    rate: 0.1,
                    clip_norm: None,
                };
                let mut optimizer = Optimizer::new(&TrainConfig::demo().optimizer());
                let made = apply(&mut optimizer, &all, seen(&mean, 12), &pace);
                let error = made.expect_err("no number");
                assert_eq!(error.exit_class().code(), 4, "{error}");
            }
        }
    }

    #[test]
    fn a_round_of_one_image_has_no_batch_statistics() {
        let mut round = round();
        round.ids.truncate(2);
        let config = TrainConfig::demo();
        assert!(check_readable(&round, &config).is_ok());
        round.ids.truncate(1);
        let error = check_readable(&round, &config).expect_err("one");
        assert!(
            error.to_string().contains("found 1 readable images"),
            "{error}"
        );
    }
}
