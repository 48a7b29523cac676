//! How much memory a run will take, planned before its first step.

use candle_core::Tensor;
use facenet_model::{Mode, Model, PassPlan, TrainPass};
use serde::Serialize;

use crate::chunks::parts;
use crate::config::{MiningMode, TrainConfig};
use crate::error::TrainError;
use crate::head::Head;
use crate::optimizer::Optimizer;
use crate::resident::rss_mib;
use crate::statistics::SETTLING_BATCHES;
use crate::strategy::Strategy;

/// Bytes of a MiB.
const MIB: f64 = (1_u64 << 20) as f64;
/// MiB that a program without work takes, where the system does not say.
const BARE: f64 = 10.0;
/// MiB of code, threads' stacks and packed weights that a run touches after it has been planned.
const LATER: f64 = 6.0;

/// The memory of a run in MiB, by what it is for: of the host, which is all of it on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MemoryPlan {
    /// The program, its list of images, and what everyone looks like.
    pub program_mib: f64,
    /// Weights, running statistics and their moving average.
    pub model_mib: f64,
    /// The optimizer's state.
    pub optimizer_mib: f64,
    /// Gradients of the weights; of two chunks at once where there are several.
    pub gradients_mib: f64,
    /// A classifier's weights, their gradient, and its outputs for a chunk; 0 without one.
    pub classifier_mib: f64,
    /// Activations and their gradients of the largest pass, and what is kept between passes;
    /// `None` where the network does not run on the host, whose memory is then not all.
    pub activations_mib: Option<f64>,
    /// Images being decoded and waiting to be taken.
    pub loader_mib: f64,
    /// Images of the round or the step, as the network takes them.
    pub images_mib: f64,
    /// All of a step.
    pub step_mib: f64,
    /// Copies that a checkpoint and the saved models are written from, made between two steps:
    /// where there were gradients and images in a step.
    pub saving_mib: f64,
    /// The most of the whole run.
    pub total_mib: f64,
}

/// What a run holds before there is a network, in MiB.
pub(crate) struct Before {
    /// What is resident.
    pub(crate) resident: f64,
    /// What is held and will be resident, and is not yet: memory that nobody has written to.
    pub(crate) unseen: f64,
    /// Of what everyone looks like, the part that a checkpoint is written from a copy of.
    pub(crate) copied: f64,
}

impl MemoryPlan {
    /// Plans a run whose network has been built and nothing else of it.
    ///
    /// # Errors
    /// candle's own.
    pub(crate) fn new(
        config: &TrainConfig,
        model: &Model,
        head: Option<&Head>,
        before: &Before,
    ) -> Result<Self, TrainError> {
        let sizes = Sizes::of(config, model, head);
        let images = Images::of(config);
        let activations = model.planned_bytes(&passes(config))?;
        let mut plan = Self {
            program_mib: before.resident + before.unseen + LATER,
            model_mib: 2.0 * sizes.state,
            optimizer_mib: sizes.slots,
            gradients_mib: sizes.parameters * images.graphs(),
            classifier_mib: head.map_or(0.0, |head| mib(head.bytes(config.chunk_size))),
            activations_mib: activations.map(mib),
            loader_mib: images.loading,
            images_mib: images.held,
            step_mib: 0.0,
            saving_mib: (3.0 * sizes.slots).max(3.0 * sizes.state) + before.copied,
            total_mib: 0.0,
        };
        let always = plan.program_mib
            + plan.model_mib
            + plan.optimizer_mib
            + plan.classifier_mib
            + plan.activations_mib.unwrap_or(0.0)
            + plan.loader_mib;
        plan.step_mib = always + plan.gradients_mib + plan.images_mib;
        plan.total_mib = plan.step_mib.max(always + plan.saving_mib);
        Ok(plan)
    }
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: usize) -> f64 {
    bytes as f64 / MIB
}

/// MiB resident now, but for tensors of `bytes` bytes that a run will hold anyway.
pub(crate) fn resident_without(bytes: usize) -> f64 {
    rss_mib().map_or(BARE, |rss| (rss - mib(bytes)).max(0.0))
}

/// MiB of the tensors that belong to a network.
struct Sizes {
    /// What is trained.
    parameters: f64,
    /// That and the running statistics.
    state: f64,
    /// The optimizer's state.
    slots: f64,
}

impl Sizes {
    fn of(config: &TrainConfig, model: &Model, head: Option<&Head>) -> Self {
        let of = |numbers: usize| mib(numbers * size_of::<f32>());
        let parameters = model.parameters();
        let trained: usize = parameters.iter().map(|one| one.var.elem_count()).sum();
        let of_head: usize = head.map_or(0, Head::numbers);
        let state = model.state().values().map(Tensor::elem_count).sum();
        Self {
            parameters: of(trained),
            state: of(state),
            slots: of(trained + of_head)
                * Optimizer::new(&config.optimizer()).slots_per_number() as f64,
        }
    }
}

/// MiB of prepared images.
struct Images {
    loading: f64,
    held: f64,
    chunks: usize,
}

impl Images {
    fn of(config: &TrainConfig) -> Self {
        let mib = |n: usize| {
            (n * 3 * config.image_size * config.image_size * size_of::<f32>()) as f64 / MIB
        };
        let (round, batch) = (round_images(config), config.forward_batch());
        let waiting = round.min(facenet_dataset::LoaderConfig::default().prefetch);
        // Running statistics of a young network are taken from some batches at once.
        let settling = round.min(SETTLING_BATCHES * batch) + batch;
        let (held, chunks) = match config.strategy {
            Strategy::OnePass => {
                let chunks = parts(round, config.chunk_size);
                (
                    round + chunks.first().map_or(0, std::ops::Range::len),
                    chunks.len(),
                )
            }
            // As they come, and as a tensor.
            Strategy::Reference => (2 * step_images(config), 1),
        };
        Self {
            loading: mib(waiting + config.loader_threads.min(round) + batch),
            held: mib(held.max(settling)),
            chunks,
        }
    }

    /// Gradients of all weights that are there at once.
    fn graphs(&self) -> f64 {
        if self.chunks > 1 { 2.0 } else { 1.0 }
    }
}

fn round_images(config: &TrainConfig) -> usize {
    config
        .people_per_batch
        .saturating_mul(config.images_per_person)
}

/// Distinct images of a step of `reference`: as many as so many draws from a round find.
fn step_images(config: &TrainConfig) -> usize {
    let (round, drawn) = (round_images(config), config.batch_size);
    let missed = (1.0 - 1.0 / round as f64).powf(drawn as f64);
    ((round as f64 * (1.0 - missed)).round() as usize).clamp(2.min(round), round)
}

/// The passes that a run makes again and again.
fn passes(config: &TrainConfig) -> Vec<PassPlan> {
    let training = Mode::Train(TrainPass::default());
    let (round, batch) = (round_images(config), config.forward_batch());
    let settle = PassPlan::without_graph(batch.min(round), &training);
    let score = PassPlan::without_graph(batch, &Mode::Eval);
    let step = match config.strategy {
        Strategy::OnePass => one_pass_step(config, &training),
        Strategy::Reference => {
            let mine = match config.mining_mode {
                MiningMode::Eval => PassPlan::without_graph(batch.min(round), &Mode::Eval),
                MiningMode::Train => {
                    PassPlan::without_graph(config.batch_size.min(round), &training)
                }
            };
            let step = PassPlan::there_and_back(step_images(config), &training);
            vec![settle, settle, mine, mine, step, step]
        }
    };
    [&step[..], &[settle, score, score], &step].concat()
}

/// The largest and the smallest chunk, there and back: the others are like one of them.
fn one_pass_step(config: &TrainConfig, training: &Mode) -> Vec<PassPlan> {
    let chunks = parts(round_images(config), config.chunk_size);
    let ends = chunks.first().into_iter().chain(chunks.last());
    let sizes: Vec<_> = ends.map(ExactSizeIterator::len).collect();
    let back = sizes.iter().map(|&n| PassPlan::there_and_back(n, training));
    if chunks.len() == 1 {
        return back.collect();
    }
    let there = sizes.iter().map(|&n| PassPlan::without_graph(n, training));
    there.chain(back).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    fn tiny(strategy: Strategy) -> TrainConfig {
        TrainConfig {
            loader_threads: 2,
            ..crate::dry_run::tests::tiny(strategy)
        }
    }

    fn plan(config: &TrainConfig) -> MemoryPlan {
        let model = Model::new(config.model(), 1, DType::F32, &Device::Cpu).expect("a network");
        let before = Before {
            resident: 10.0,
            unseen: 0.0,
            copied: 0.0,
        };
        MemoryPlan::new(config, &model, None, &before).expect("a network")
    }

    #[test]
    fn a_step_of_few_draws_has_nearly_as_many_images_and_one_of_many_all() {
        let images = |batch_size| {
            step_images(&TrainConfig {
                batch_size,
                ..tiny(Strategy::Reference)
            })
        };
        // 12 (1 - (11 / 12)^n): 2.75 of 3, 4.9 of 6, 7.8 of 12.
        assert_eq!([3, 6, 12, 3000].map(images), [3, 5, 8, 12]);
    }

    #[test]
    fn images_and_gradients_are_those_that_are_there_at_once() {
        let mib = |images: f64| images * (12 * 16 * 16) as f64 / MIB;
        let one_pass = Images::of(&tiny(Strategy::OnePass));
        // 12 waiting, 2 in hand, 5 being filled; 12 of the round and 5 to settle statistics.
        assert_eq!((one_pass.loading, one_pass.held), (mib(19.0), mib(17.0)));
        let reference = Images::of(&tiny(Strategy::Reference));
        assert_eq!((reference.loading, reference.held), (mib(20.0), mib(18.0)));
        assert_eq!((one_pass.graphs(), reference.graphs()), (2.0, 1.0));
    }

    #[test]
    fn what_is_copied_for_a_checkpoint_is_there_beside_its_tensors() {
        let config = tiny(Strategy::OnePass);
        let model = Model::new(config.model(), 1, DType::F32, &Device::Cpu).expect("a network");
        let saving = |copied| {
            let before = Before {
                resident: 10.0,
                unseen: 2.0,
                copied,
            };
            let plan = MemoryPlan::new(&config, &model, None, &before).expect("a network");
            assert_eq!(plan.program_mib, 12.0 + LATER);
            plan.saving_mib
        };
        assert!((saving(400.0) - saving(0.0) - 400.0).abs() < 1e-9);
    }

    #[test]
    fn the_sum_is_the_larger_of_a_step_and_of_saving() {
        for strategy in [Strategy::OnePass, Strategy::Reference] {
            let plan = plan(&tiny(strategy));
            let activations = plan.activations_mib.expect("on the CPU");
            let always = plan.program_mib + plan.model_mib + plan.optimizer_mib;
            let always = always + plan.loader_mib + activations;
            assert!((plan.step_mib - always - plan.gradients_mib - plan.images_mib).abs() < 1e-9);
            assert!((plan.total_mib - plan.step_mib.max(always + plan.saving_mib)).abs() < 1e-9);
            // Adam has two numbers for each weight.
            assert!(plan.optimizer_mib > 0.9 * plan.model_mib && activations > 0.1);
        }
    }
}
