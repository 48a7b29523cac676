//! Tensors to test with.

use candle_core::{Device, Result, Tensor, Var};

/// Rounding of sums of a few hundred products of numbers below 1, in f64.
pub(crate) const EXACT: f64 = 1e-11;

/// Numbers in `[-1, 1)` that differ from each other and from 0, by a linear congruence.
pub(crate) fn numbers(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A variable of such numbers.
pub(crate) fn var(seed: u64, shape: &[usize]) -> Result<Var> {
    let values = numbers(seed, shape.iter().product());
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// All elements.
pub(crate) fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.flatten_all()?.to_vec1()
}

#[track_caller]
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let bound = tolerance * expected.abs().max(1.0);
        assert!(
            (found - expected).abs() <= bound,
            "{what}[{i}]: {found}, expected {expected}"
        );
    }
}

/// The scalar `Σ w y` with fixed weights, and its gradient by each variable.
pub(crate) fn gradients(
    vars: &[Var],
    f: &dyn Fn(&[Var]) -> Result<Tensor>,
) -> Result<(Tensor, Vec<Vec<f64>>)> {
    let y = f(vars)?;
    let weights = Tensor::from_vec(numbers(99, y.elem_count()), y.shape(), &Device::Cpu)?;
    let grads = (&y * weights)?.sum_all()?.backward()?;
    let of = |var: &Var| flat(grads.get(var).expect("every variable is in the graph"));
    let grads = vars.iter().map(of).collect::<Result<_>>()?;
    Ok((y, grads))
}

/// Runs `f`, which gives bits, on one thread and on more: none depends on their number.
#[track_caller]
pub(crate) fn assert_same_on_any_threads(what: &str, f: impl Fn() -> Result<Vec<u64>> + Sync) {
    let [one, two, four] = [1, 2, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let bits = pool.expect("threads").install(&f);
        bits.expect("valid shapes")
    });
    assert!(one == two && one == four, "{what}");
}
