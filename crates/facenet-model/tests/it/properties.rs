//! Properties of the loss, the normalisation and the saved state.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use facenet_model::{MIN_SQ_NORM, l2_normalise, tensors_to_bytes, triplet_loss};
use proptest::prelude::*;

use crate::case::values;
use crate::tolerance::norm;

const CASES: u32 = 256;
/// f64 sums of up to 48 terms, relative above 1.
const F64_SUMS: f64 = 1e-12;
/// Central differences with steps of 1e-5 err by about the third derivative times 1e-10, and
/// by 1e-16 / 1e-5 of rounding.
const DIFFERENCES: f64 = 1e-6;
const STEP: f64 = 1e-5;

/// Rows of the same length, row-major, and that length.
fn arb_rows(rows: impl Strategy<Value = usize>) -> impl Strategy<Value = (Vec<f64>, usize)> {
    (rows, 1usize..9)
        .prop_flat_map(|(n, dim)| (prop::collection::vec(-2.0f64..2.0, n * dim), Just(dim)))
}

fn tensor(rows: &[f64], dim: usize) -> Tensor {
    let shape = (rows.len() / dim, dim);
    Tensor::from_slice(rows, shape, &Device::Cpu).expect("whole rows")
}

/// The loss by its definition, and how near any hinge is to its corner.
fn naive_loss(rows: &[f64], dim: usize, margin: f64) -> (f64, f64) {
    let sq_l2 = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let (mut sum, mut nearest) = (0.0, f64::INFINITY);
    let triplets = rows.chunks_exact(3 * dim);
    let n = triplets.len() as f64;
    for triplet in triplets {
        let role = |place: usize| &triplet[place * dim..(place + 1) * dim];
        let excess = sq_l2(role(0), role(1)) - sq_l2(role(0), role(2)) + margin;
        nearest = nearest.min(excess.abs());
        sum += excess.max(0.0);
    }
    (sum / n, nearest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn normalised_rows_have_unit_length_and_their_direction(
        (rows, dim) in arb_rows(1usize..6), scale in -12i32..12,
    ) {
        let rows: Vec<_> = rows.iter().map(|x| x * 10f64.powi(scale)).collect();
        let unit = values(&l2_normalise(&tensor(&rows, dim)).expect("rows"));
        for (row, unit) in rows.chunks(dim).zip(unit.chunks(dim)) {
            let length = norm(row).max(MIN_SQ_NORM.sqrt());
            for (x, u) in row.iter().zip(unit) {
                prop_assert!((x / length - u).abs() <= F64_SUMS, "{row:?} {unit:?}");
            }
        }
    }

    #[test]
    fn the_loss_is_its_definition(
        (rows, dim) in arb_rows((1usize..6).prop_map(|k| 3 * k)), margin in -1.0f64..3.0,
    ) {
        let made = triplet_loss(&tensor(&rows, dim), margin).expect("triplets");
        let (expected, _) = naive_loss(&rows, dim, margin);
        prop_assert!((values(&made.loss)[0] - expected).abs() <= F64_SUMS * expected.max(1.0));
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences(
        (rows, dim) in arb_rows((1usize..4).prop_map(|k| 3 * k)), margin in -1.0f64..3.0,
    ) {
        // No finite difference is taken across the corner of a hinge.
        prop_assume!(naive_loss(&rows, dim, margin).1 > 1e-3);
        let var = Var::from_tensor(&tensor(&rows, dim)).expect("small");
        let loss = triplet_loss(&var, margin).expect("triplets").loss;
        let store = loss.backward().expect("differentiable");
        let gradient = values(store.get(&var).expect("in the graph"));
        for (place, found) in gradient.iter().enumerate() {
            let at = |step: f64| {
                let mut moved = rows.clone();
                moved[place] += step;
                naive_loss(&moved, dim, margin).0
            };
            let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            prop_assert!((found - expected).abs() <= DIFFERENCES, "{place}: {found} {expected}");
        }
    }

    #[test]
    fn triplets_may_come_in_any_order(
        (rows, dim) in arb_rows((2usize..6).prop_map(|k| 3 * k)), turn in 0usize..6,
    ) {
        let loss = |rows: &[f64]| {
            values(&triplet_loss(&tensor(rows, dim), 0.2).expect("triplets").loss)[0]
        };
        let mut turned = rows.clone();
        turned.rotate_left(3 * dim * turn % rows.len());
        prop_assert!((loss(&turned) - loss(&rows)).abs() <= F64_SUMS * loss(&rows).max(1.0));
    }

    #[test]
    fn tensors_come_back_from_their_bytes(
        shapes in prop::collection::btree_map("[a-z]{1,3}(\\.[a-z0-9]{1,3}){0,2}",
            prop::collection::vec(0usize..4, 0..4), 0..6),
        bits in any::<u32>(),
    ) {
        let value = |i: usize| f32::from_bits(bits.wrapping_mul(2 * i as u32 + 1));
        let made = shapes.iter().map(|(name, shape)| {
            let values: Vec<_> = (0..shape.iter().product()).map(value).collect();
            let tensor = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu);
            (name.clone(), tensor.expect("as many values"))
        });
        let tensors: BTreeMap<_, _> = made.collect();
        let bytes = tensors_to_bytes(&tensors).expect("encodable");
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("t.safetensors");
        std::fs::write(&path, &bytes).expect("writable");
        let read = facenet_model::load_tensors(&path).expect("whole");
        prop_assert!(read.keys().eq(tensors.keys()));
        for (name, shape) in &shapes {
            prop_assert_eq!(read[name].dims(), shape.as_slice());
        }
        prop_assert_eq!(tensors_to_bytes(&read).expect("encodable"), bytes);
    }

    #[test]
    fn a_spoilt_file_is_read_or_refused_in_one_line(
        place in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..12),
    ) {
        let tensors = BTreeMap::from([
            ("a.b".to_owned(), tensor(&[1.0, 2.0, 3.0, 4.0], 2)),
            ("c".to_owned(), tensor(&[5.0], 1)),
        ]);
        let mut file = tensors_to_bytes(&tensors).expect("encodable");
        let at = place.index(file.len());
        let end = file.len().min(at + bytes.len());
        file.splice(at..end, bytes);
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("t.safetensors");
        std::fs::write(&path, &file).expect("writable");
        if let Err(error) = facenet_model::load_tensors(&path) {
            let message = error.to_string();
            prop_assert!(message.contains("t.safetensors: "), "{message}");
            prop_assert!(!message.chars().any(char::is_control), "{message:?}");
        }
    }
}
