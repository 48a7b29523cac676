//! Gradients of rounds in chunks, for every rule and loss on triplets.

use candle_core::{DType, Device, Tensor};
use facenet_miner::{Draw, Embeddings, Miner, MinerConfig, Rule, Triplet};
use facenet_model::{Architecture, Mode, Model, ModelConfig, Route};

use super::Embedded;
use super::fixture::{SIDE, numbers, relative, round};
use crate::compute::on_threads;
use crate::loss::Cost;
use crate::observer::Silent;
use crate::triplet_sum::TripletSum;

const RULES: [Rule; 5] = [
    Rule::Violating,
    Rule::SemiHard,
    Rule::BatchHard,
    Rule::BatchAll,
    Rule::DistanceWeighted,
];
const MARGIN: f32 = 0.5;
/// The bound for sums of f32 in another order.
const OTHER_ORDER: f64 = 1e-6;
/// Step of a central difference: its square, by which the difference is off, is far below the
/// bound, and so is f64's rounding over it.
const STEP: f64 = 1e-6;
/// Gradients in f32 against differences in f64: 2^-24 for each of a few thousand sums, as their
/// root, is 4e-6; the rest is room for cancelling.
const AGAINST_F64: f64 = 1e-4;

/// The losses on triplets: a hinge, and a soft one.
fn costs() -> [Cost; 2] {
    [false, true].map(|is_soft| Cost {
        is_soft,
        margin: f64::from(MARGIN),
    })
}

/// The smallest network with running statistics of the round, which do not move.
fn model() -> Model {
    let config = ModelConfig::new(Architecture::Tiny, SIDE, 8);
    let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("a size it can have");
    let images = round().images(&(0..12), &model).expect("it fits");
    model.recalibrate(&[images]).expect("twelve");
    model.with_frozen_norms(true)
}

fn embed(model: &Model, chunk_size: usize) -> Embedded {
    Embedded::new(model, &round(), chunk_size, Mode::Eval, &mut Silent).expect("it fits")
}

fn mined(embedded: &Embedded, rule: Rule) -> Vec<Triplet> {
    let config = MinerConfig {
        rule,
        margin: MARGIN,
        ..MinerConfig::default()
    };
    let labels: Vec<_> = round().ids.iter().map(|id| id.identity).collect();
    let rows = Embeddings::new(&embedded.values, embedded.dim).expect("whole rows");
    let miner = Miner::new(config).expect("valid");
    let mut triplets = Vec::new();
    miner
        .visit(rows, &labels, Draw::default(), &mut |triplet| {
            triplets.push(triplet);
        })
        .expect("labelled");
    assert!(!triplets.is_empty(), "{rule}");
    triplets
}

/// The weights' gradients, all numbers, of the loss on some triplets.
fn gradients(model: &Model, embedded: Embedded, triplets: &[Triplet], cost: Cost) -> Vec<f64> {
    let mut sum = TripletSum::new(&embedded.values, embedded.dim, cost);
    for &triplet in triplets {
        sum.add(triplet);
    }
    let mean = sum.mean().expect("there are triplets");
    let store = embedded.back(model, &round(), &mean.gradient, &mut Silent);
    numbers(model, &store.expect("it fits"))
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn every_rules_gradient_in_chunks_is_that_of_the_whole() {
    for rule in RULES {
        for cost in costs() {
            let model = model();
            let whole = embed(&model, 12);
            let triplets = mined(&whole, rule);
            let mut again = embed(&model, 12);
            let whole = gradients(&model, whole, &triplets, cost);
            // The chunk that is the round, without the graph of the first pass.
            assert!(again.graph.take().is_some());
            let again = gradients(&model, again, &triplets, cost);
            assert_eq!(bits(&again), bits(&whole), "{rule}, {cost:?}");
            for chunk_size in [3, 5, 7] {
                let chunked = embed(&model, chunk_size);
                assert_eq!(mined(&chunked, rule), triplets, "{rule}, {chunk_size}");
                let chunked = gradients(&model, chunked, &triplets, cost);
                let off = relative(&chunked, &whole);
                assert!(off < OTHER_ORDER, "{rule}, {cost:?}, {chunk_size}: {off}");
            }
        }
    }
}

#[test]
fn every_rules_gradient_in_chunks_has_the_same_bits_on_one_thread_and_two() {
    for rule in RULES {
        for cost in costs() {
            let [one, two] = [1, 2].map(|threads| {
                let made = on_threads(Some(threads), || {
                    let model = model();
                    let embedded = embed(&model, 5);
                    let triplets = mined(&embedded, rule);
                    Ok(gradients(&model, embedded, &triplets, cost))
                });
                bits(&made.expect("a pool"))
            });
            assert_eq!(one, two, "{rule}, {cost:?}");
        }
    }
}

/// The mean loss of some triplets by a network in f64, composed of candle's operations.
fn loss(model: &Model, images: &Tensor, triplets: &[Triplet], cost: Cost) -> f64 {
    let rows = model.forward(images, &Mode::Eval).expect("it fits");
    let rows = rows.to_vec2::<f64>().expect("f64");
    let sq_l2 = |a: u32, b: u32| -> f64 {
        let pairs = rows[a as usize].iter().zip(&rows[b as usize]);
        pairs.map(|(x, y)| (x - y) * (x - y)).sum()
    };
    let of = |t: &Triplet| {
        let (d_ap, d_an) = (sq_l2(t.anchor, t.positive), sq_l2(t.anchor, t.negative));
        cost.share(d_ap, d_an).loss
    };
    triplets.iter().map(of).sum::<f64>() / triplets.len() as f64
}

/// The slope of the loss by every `stride`th number of all parameters, in their order.
fn slopes(model: &Model, stride: usize, loss: impl Fn(&Model) -> f64) -> Vec<f64> {
    let mut slopes = Vec::new();
    let mut before = 0;
    for parameter in model.parameters() {
        let var = parameter.var;
        let flat = var.flatten_all().and_then(|flat| flat.to_vec1::<f64>());
        let flat = flat.expect("f64");
        let set = |place: usize, value: f64| {
            let mut moved = flat.clone();
            moved[place] = value;
            let moved = Tensor::from_vec(moved, var.shape(), &Device::Cpu);
            moved.and_then(|moved| var.set(&moved)).expect("as before");
        };
        for place in (0..flat.len()).filter(|place| (before + place).is_multiple_of(stride)) {
            let [above, below] = [STEP, -STEP].map(|step| {
                set(place, flat[place] + step);
                loss(model)
            });
            set(place, flat[place]);
            slopes.push((above - below) / (2.0 * STEP));
        }
        before += flat.len();
    }
    slopes
}

#[test]
fn gradients_in_chunks_are_the_slopes_of_the_loss_in_f64() {
    let config = model().config().clone();
    let wide = Model::new(config, 1, DType::F64, &Device::Cpu).expect("a size it can have");
    let wide = wide.with_route(Route::Native);
    wide.set_state(&model().state()).expect("its own");
    let images = round().images(&(0..12), &wide).expect("it fits");
    let images = images.to_dtype(DType::F64).expect("a cast");
    // Some forty numbers, of every layer.
    let stride = 47;
    for rule in RULES {
        for cost in costs() {
            let model = model();
            let embedded = embed(&model, 5);
            let triplets = mined(&embedded, rule);
            let all = gradients(&model, embedded, &triplets, cost);
            let chosen: Vec<_> = all.into_iter().step_by(stride).collect();
            let expected = slopes(&wide, stride, |wide| loss(wide, &images, &triplets, cost));
            assert!(chosen.len() == expected.len() && chosen.len() > 20);
            let off = relative(&chosen, &expected);
            assert!(off < AGAINST_F64, "{rule}, {cost:?}: {off}");
        }
    }
}
