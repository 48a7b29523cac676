//! What the networks are made of, and what they refuse.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use facenet_model::{
    Architecture, DropoutKey, KeptWeights, Mode, Model, ModelConfig, Parameter, Route, TrainPass,
    triplet_loss,
};

use crate::case::values;
use crate::train::{gradients, training};

/// The small network at its smallest.
pub(crate) fn small(seed: u64) -> Model {
    let config = ModelConfig::new(Architecture::MobileFaceNet, 16, 8);
    Model::new(config, seed, DType::F32, &Device::Cpu).expect("a size it can have")
}

/// `n` pictures of 16 pixels, as many different ones as there are numbers `salt`.
pub(crate) fn pictures(n: usize, salt: u32) -> Tensor {
    let pixel = |i: u32| ((i.wrapping_mul(2_654_435_761) ^ salt) % 2001) as f32 / 1000.0 - 1.0;
    let pixels: Vec<_> = (0..n as u32 * 3 * 16 * 16)
        .map(|i| pixel(i + salt * 7919))
        .collect();
    Tensor::from_vec(pixels, (n, 3, 16, 16), &Device::Cpu).expect("as many pixels")
}

#[track_caller]
fn check_count(architecture: Architecture, size: usize, dim: usize, expected: usize) {
    let config = ModelConfig::new(architecture, size, dim);
    let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("a usual size");
    let count = |parameter: &Parameter<'_>| parameter.var.elem_count();
    assert_eq!(
        model.parameters().iter().map(count).sum::<usize>(),
        expected
    );
}

#[test]
fn parameter_counts_are_the_published_ones() {
    check_count(Architecture::InceptionResnetV1, 160, 512, 23_482_624);
    check_count(Architecture::MobileFaceNet, 112, 128, 1_003_136);
}

/// Weights of stem, depthwise, projection and end, two for each norm's channel, a slope each.
#[test]
fn the_network_for_tests_is_tiny() {
    let weights = 16 * 27 + 16 * 9 + 32 * 16 + 16 * 32;
    let others = 3 * 16 + 3 * 16 + 3 * 32 + 2 * 16;
    check_count(Architecture::Tiny, 16, 16, weights + others);
}

/// Operations of an image, in units of 10^9, to the thousandth: forward and step.
#[track_caller]
fn check_operations(architecture: Architecture, side: usize, dim: usize, expected: [&str; 2]) {
    let config = ModelConfig::new(architecture, side, dim);
    let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("a usual size");
    let found = model.operations().expect("it was built");
    let found = [found.forward, found.step].map(|operations| format!("{:.3}", operations / 1e9));
    assert_eq!(found, expected);
}

/// Expected: `torch.utils.flop_counter.FlopCounterMode` on facenet-pytorch's `InceptionResnetV1`
/// (512 numbers), and on a `MobileFaceNet` of 112 pixels forward. 384 numbers fewer are
/// 2 x 384 x 1792 operations fewer, 0.0014; a step is three times forward but for the images'
/// gradient: 2 x 79 x 79 x 32 x 27 operations (0.0108), and 2 x 56 x 56 x 64 x 27 (0.0108).
#[test]
fn operations_are_those_that_torch_counts() {
    let inception = Architecture::InceptionResnetV1;
    check_operations(inception, 160, 512, ["2.835", "8.495"]);
    check_operations(inception, 160, 128, ["2.834", "8.491"]);
    check_operations(Architecture::MobileFaceNet, 112, 128, ["0.442", "1.315"]);
}

#[test]
fn names_are_those_of_the_published_file() {
    let config = ModelConfig::new(Architecture::InceptionResnetV1, 160, 512);
    let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("a usual size");
    let state = model.state();
    let expected: [(&str, &[usize]); 8] = [
        ("conv2d_1a.conv.weight", &[32, 3, 3, 3]),
        ("repeat_1.4.branch2.1.conv.weight", &[32, 32, 3, 3]),
        ("mixed_6a.branch0.bn.running_var", &[384]),
        ("repeat_2.9.branch1.1.conv.weight", &[128, 128, 1, 7]),
        ("repeat_2.9.branch1.2.conv.weight", &[128, 128, 7, 1]),
        ("mixed_7a.branch2.2.conv.weight", &[256, 256, 3, 3]),
        ("block8.conv2d.bias", &[1792]),
        ("last_linear.weight", &[512, 1792]),
    ];
    for (name, shape) in expected {
        assert_eq!(state[name].dims(), shape, "{name}");
    }
    // Stem 6, 5 x 6 in block35, 4, 10 x 4 in block17, 7, 6 x 4 in block8; each block one more
    // with bias; last_linear and last_bn.
    let convolutions = 6 + 30 + 4 + 40 + 7 + 24;
    assert_eq!(state.len(), convolutions * 5 + 21 * 2 + 1 + 4);
}

#[test]
fn decay_pulls_on_convolutions_and_linear_layers_only() {
    let model = small(1);
    for Parameter { name, decays, .. } in model.parameters() {
        let is_weight = name.ends_with("conv.weight") || name == "last_linear.weight";
        assert_eq!(decays, is_weight, "{name}");
        assert!(!name.contains("running_"), "{name}");
    }
    let names: Vec<_> = model
        .parameters()
        .iter()
        .map(|parameter| parameter.name)
        .collect();
    assert!(names.is_sorted());
}

#[test]
fn untrained_weights_are_a_function_of_the_seed() {
    let bytes = |seed| facenet_model::tensors_to_bytes(&small(seed).state()).expect("encodable");
    assert_eq!(bytes(7), bytes(7));
    assert_ne!(bytes(7), bytes(8));
    let state = small(7).state();
    let all = |name: &str, value: f64| {
        values(&state[name])
            .iter()
            .all(|&x| (x - value).abs() < 1e-9)
    };
    assert!(all("conv1.bn.weight", 1.0) && all("conv1.bn.bias", 0.0));
    assert!(all("conv1.bn.running_mean", 0.0) && all("conv1.bn.running_var", 1.0));
    assert!(all("conv1.prelu.weight", 0.25));
}

#[test]
fn kept_weights_give_the_same_bits_and_new_ones_see_what_changed() {
    let (model, images) = (small(1), pictures(2, 1));
    let kept = KeptWeights::default();
    let with = |kept: &KeptWeights| values(&model.embed_with(&images, kept).expect("fits"));
    let first = with(&kept);
    assert_eq!(first, values(&model.embed(&images).expect("fits")));
    assert_eq!(first, with(&kept));
    let parameters = model.parameters();
    let weight = parameters.iter().find(|p| p.name == "conv1.conv.weight");
    let var = weight.expect("the first layer's").var;
    let others = Tensor::ones(var.shape(), DType::F32, &Device::Cpu).expect("as large");
    var.set(&others).expect("of its shape");
    assert_ne!(first, with(&KeptWeights::default()));
}

#[test]
fn the_smallest_images_pass_through() {
    let config = ModelConfig::new(Architecture::InceptionResnetV1, 75, 4);
    let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("the smallest size");
    let images = Tensor::ones((1, 3, 75, 75), DType::F32, &Device::Cpu).expect("small");
    assert_eq!(model.embed(&images).expect("fits").dims(), [1, 4]);
    assert_eq!(
        small(1).embed(&pictures(3, 1)).expect("fits").dims(),
        [3, 8]
    );
}

#[track_caller]
fn check_refused(shape: &[usize], dtype: DType, mode: &Mode, expected: &str) {
    let images = Tensor::zeros(shape, dtype, &Device::Cpu).expect("small");
    let message = small(1)
        .forward(&images, mode)
        .expect_err("unfit")
        .to_string();
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let expected = "[n, 3, 16, 16] of F32, n from 1";
    check_refused(&[1, 3, 16, 32], DType::F32, &Mode::Eval, expected);
    check_refused(&[1, 1, 16, 16], DType::F32, &Mode::Eval, expected);
    check_refused(&[3, 16, 16], DType::F32, &Mode::Eval, expected);
    check_refused(
        &[0, 3, 16, 16],
        DType::F32,
        &Mode::Eval,
        "found [0, 3, 16, 16]",
    );
    check_refused(&[1, 3, 16, 16], DType::F64, &Mode::Eval, "of F64, expected");
    check_refused(&[1, 3, 16, 16], DType::F32, &training(true), "n from 2");
}

#[test]
fn dropout_is_of_its_key_and_of_training_only() {
    let mut config = ModelConfig::new(Architecture::MobileFaceNet, 16, 8);
    config.keep_probability = 0.5;
    let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("a size it can have");
    let images = pictures(4, 1);
    let run = |step: Option<u64>| {
        let dropout = step.map(|step| DropoutKey {
            seed: 1,
            epoch: 0,
            step,
        });
        let mode = Mode::Train(TrainPass {
            dropout,
            ..TrainPass::default()
        });
        values(&model.forward(&images, &mode).expect("fits"))
    };
    assert_eq!(run(Some(3)), run(Some(3)));
    assert_ne!(run(Some(3)), run(Some(4)));
    assert_ne!(run(Some(3)), run(None));
    let eval = |model: &Model| values(&model.embed(&images).expect("fits"));
    assert_eq!(eval(&model), eval(&small(1)));
}

#[test]
fn a_training_pass_without_a_graph_gives_the_same_bits() {
    let mode = Mode::Train(TrainPass::default());
    let networks = [
        (Architecture::MobileFaceNet, 16),
        (Architecture::InceptionResnetV1, 80),
        (Architecture::Tiny, 9),
    ];
    for (architecture, side) in networks {
        let config = ModelConfig::new(architecture, side, 8);
        let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("a size it can have");
        let images = pictures(3, 1).upsample_nearest2d(side, side);
        let images = images.expect("larger");
        let tracked = model.forward(&images, &mode).expect("fits");
        let plain = model.embed_as(&images, &mode).expect("fits");
        assert!(tracked.track_op() && !plain.track_op());
        let bits = |rows: &Tensor| -> Vec<u64> {
            let values = values(rows);
            values.into_iter().map(f64::to_bits).collect()
        };
        assert_eq!(bits(&plain), bits(&tracked), "{architecture}");
    }
}

#[test]
fn every_parameter_has_a_gradient_and_embed_has_no_graph() {
    let model = small(1);
    let images = pictures(6, 2);
    let embeddings = model.forward(&images, &training(false)).expect("fits");
    let loss = triplet_loss(&embeddings, 2.0).expect("triplets").loss;
    assert_eq!(gradients(&model, &loss).len(), model.parameters().len());
    let eval = model.embed(&images).expect("fits");
    let store = eval
        .sum_all()
        .and_then(|sum| sum.backward())
        .expect("nothing to do");
    assert!(
        model
            .parameters()
            .iter()
            .all(|parameter| store.get(parameter.var).is_none())
    );
}

#[test]
fn given_tensors_are_copied_and_strays_named() {
    let model = small(1);
    let mut state: BTreeMap<_, _> = model.state();
    let stray = Tensor::new(&[5i64], &Device::Cpu).expect("small");
    state.insert("conv1.bn.num_batches_tracked".to_owned(), stray.clone());
    state.insert("logits.weight".to_owned(), stray.clone());
    let given =
        |state| Model::from_tensors(model.config().clone(), state, DType::F32, &Device::Cpu);
    let (copy, report) = given(state.clone()).expect("whole");
    assert_eq!(
        report.tolerated,
        ["conv1.bn.num_batches_tracked", "logits.weight"]
    );
    model.set_state(&small(2).state()).expect("the same names");
    let images = pictures(2, 1);
    let of = |model: &Model| values(&model.embed(&images).expect("fits"));
    assert_eq!(of(&copy), of(&small(1)));
    assert_eq!(of(&model), of(&small(2)));
    state.insert("classifier".to_owned(), stray);
    state.remove("gdc.bn.bias");
    let message = given(state).expect_err("not whole").to_string();
    assert!(
        message.contains("gdc.bn.bias is missing, classifier is not part of it"),
        "{message}"
    );
}

/// Asserts that a NaN in one of the first weights reaches every embedding.
#[track_caller]
fn check_not_hidden(architecture: Architecture, side: usize, route: Route, mode: &Mode) {
    let config = ModelConfig::new(architecture, side, 4);
    let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("its smallest size");
    let model = model.with_route(route);
    let mut state = model.state();
    let first = [
        "conv1.conv.weight",
        "conv2d_1a.conv.weight",
        "stem.conv.weight",
    ];
    let mut first = first.into_iter().filter(|name| state.contains_key(*name));
    let first = first.next().expect("each begins with a convolution");
    let weight = state.get_mut(first).expect("just found");
    *weight = (weight.ones_like().expect("small") * f64::NAN).expect("small");
    model.set_state(&state).expect("its own names");
    let images = Tensor::ones((2, 3, side, side), DType::F32, &Device::Cpu).expect("small");
    let embeddings = values(&model.forward(&images, mode).expect("fits"));
    assert!(
        embeddings.iter().all(|x| x.is_nan()),
        "{architecture} {route:?} {mode:?}: {embeddings:?}"
    );
}

#[test]
fn not_a_number_is_not_hidden_by_any_layer() {
    for route in [Route::Own, Route::Native] {
        for mode in [Mode::Eval, training(false)] {
            check_not_hidden(Architecture::InceptionResnetV1, 75, route, &mode);
            check_not_hidden(Architecture::MobileFaceNet, 16, route, &mode);
            check_not_hidden(Architecture::Tiny, 8, route, &mode);
        }
    }
}

#[test]
fn a_models_own_state_can_be_put_back() {
    let model = small(1);
    let before = facenet_model::tensors_to_bytes(&model.state()).expect("encodable");
    model.set_state(&model.state()).expect("it fits");
    assert_eq!(
        facenet_model::tensors_to_bytes(&model.state()).expect("encodable"),
        before
    );
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let model = small(1);
    let before = facenet_model::tensors_to_bytes(&model.state()).expect("encodable");
    let mut state = small(2).state();
    let bias = state.remove("conv1.bn.bias").expect("there");
    assert!(model.set_state(&state).is_err(), "missing");
    state.insert(
        "conv1.bn.bias".to_owned(),
        bias.narrow(0, 0, 3).expect("shorter"),
    );
    assert!(model.set_state(&state).is_err(), "misshapen");
    state.insert("conv1.bn.bias".to_owned(), bias.clone());
    state.insert("another".to_owned(), bias);
    assert!(model.set_state(&state).is_err(), "left over");
    assert_eq!(
        facenet_model::tensors_to_bytes(&model.state()).expect("encodable"),
        before
    );
}
