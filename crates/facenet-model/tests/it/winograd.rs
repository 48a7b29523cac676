//! Golden values with Winograd's algorithm, in bounds of its own.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use facenet_model::{Architecture, Arithmetic, Route, triplet_loss};

use crate::case::{ARCHITECTURES, Case, Run, cases, one_at_a_time, values};
use crate::tolerance::{assert_near, distance, norm};
use crate::train::{gradients, training};

const RUN: Run = Run {
    dtype: DType::F32,
    route: Route::Own,
};
/// What embeddings may be off by, relative to their norm: a layer of 3 x 3 is off by up to 1e-5 of
/// its largest value, of which later layers average most away. Measured: 5e-7 at most.
const EMBEDDINGS: f64 = 5e-6;
/// The same for all gradients together, where it counts which rectifiers and maxima flip. Measured:
/// 2.4e-3 and 8.3e-3 by the direct algorithm, 9.0e-3 and 5.8e-3 by this one.
const GRADIENT: f64 = 3e-2;

#[test]
fn golden_embeddings_by_winograd() {
    let _turn = one_at_a_time();
    for case in ARCHITECTURES.into_iter().flat_map(|a| cases(a, "eval")) {
        let model = case.model(RUN).with_arithmetic(Arithmetic::of_inference());
        let found = values(&model.embed(&case.input(RUN)).expect("pictures of its size"));
        let expected = case.pair("embeddings").0;
        let what = format!("{} embeddings by Winograd", case.name());
        let (off, scale) = (distance(&found, expected), norm(expected));
        assert_near(&what, RUN, off, scale, EMBEDDINGS * scale);
    }
}

/// L2 norms of the error of all gradients' heads, and of the heads.
fn off(case: &Case, gradients: &BTreeMap<String, Tensor>) -> (f64, f64) {
    let (mut off, mut scale) = (0.0, 0.0);
    for name in case.tensor_names() {
        let Some(name) = name.strip_prefix("grad.") else {
            continue;
        };
        let head = case.pair(&format!("grad.{name}")).0;
        let parameter = name.strip_suffix(".head").expect("a head");
        let ours = values(&gradients[parameter]);
        off += distance(&ours[..head.len()], head).powi(2);
        scale += norm(head).powi(2);
    }
    (off.sqrt(), scale.sqrt())
}

#[test]
fn golden_gradients_by_winograd() {
    let _turn = one_at_a_time();
    for case in cases(Architecture::InceptionResnetV1, "train") {
        let direct = Arithmetic::default();
        let winograd = Arithmetic {
            is_winograd: true,
            ..direct
        };
        for arithmetic in [direct, winograd] {
            let model = case.model(RUN).with_arithmetic(arithmetic);
            let images = case.input(RUN);
            let embeddings = model.forward(&images, &training(false)).expect("its size");
            let made = triplet_loss(&embeddings, case.number("alpha")).expect("triplets");
            let (off, scale) = off(&case, &gradients(&model, &made.loss));
            let what = format!("{} gradient, {arithmetic:?}", case.name());
            assert_near(&what, RUN, off, scale, GRADIENT * scale);
        }
    }
}
