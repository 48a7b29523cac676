//! Gradients of parameters beside candle's graph.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

use super::backward::Gradient;

/// Where a tape's pass leaves the gradients of its parameters, so that they are moved and not
/// added to zeros.
///
/// Give it to a pass as [`crate::Setting::gradients`]; after candle's `backward`,
/// [`ParameterGradients::move_into`] completes what that gave.
#[derive(Clone, Debug, Default)]
pub struct ParameterGradients(Arc<Mutex<Vec<Left>>>);

/// A parameter and its gradient.
type Left = (Tensor, Vec<f32>);

impl ParameterGradients {
    /// Puts all gradients that passes have left among candle's, added to those that are there.
    ///
    /// # Errors
    /// candle's own.
    pub fn move_into(&self, store: &mut GradStore) -> Result<()> {
        let left = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (parameter, grad) in left {
            let grad = Tensor::from_vec(grad, parameter.shape(), parameter.device())?;
            let sum = match store.remove(&parameter) {
                Some(other) => (other + grad)?,
                None => grad,
            };
            store.insert(&parameter, sum);
        }
        Ok(())
    }

    /// Keeps what a pass gives; a parameter that nothing came to has none.
    pub(super) fn put(&self, parameters: Vec<Tensor>, gradients: Vec<Gradient>) {
        let pairs = parameters.into_iter().zip(gradients);
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.extend(pairs.filter_map(|(parameter, grad)| Some((parameter, grad?))));
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn what_is_left_is_added_to_candles_own_once() -> Result<()> {
        let var = Var::from_vec(vec![1.0_f32, 2.0], 2, &Device::Cpu)?;
        let (apart, parameter) = (ParameterGradients::default(), var.as_tensor().clone());
        apart.put(
            vec![parameter.clone(), parameter.clone()],
            vec![Some(vec![1.0, 0.0]), None],
        );
        let mut store = var.sum_all()?.backward()?;
        for _ in 0..2 {
            apart.move_into(&mut store)?;
            let grad = store.get(&var).expect("of the sum").to_vec1::<f32>()?;
            assert_eq!(grad, [2.0, 1.0]);
        }
        Ok(())
    }
}
