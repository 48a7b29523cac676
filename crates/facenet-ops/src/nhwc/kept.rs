//! Packed weights that passes share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor};

use crate::isa::Isa;
use crate::nhwc::panels::Panels;
use crate::nhwc::plan::ConvShape;
use crate::nhwc::winograd::weights::PointWeights;
use crate::number::Number;
use crate::own::element::with_elements;

/// Convolution weights as the kernels read them, kept from pass to pass: for one image, packing
/// them costs as much as computing.
///
/// A weight is known by where it lies. One that changes in place is not packed again: whoever
/// changes weights begins with a new `KeptWeights`.
#[derive(Clone, Default)]
pub struct KeptWeights(Arc<Mutex<HashMap<Key, Kept>>>);

/// Where a weight lies, its dimensions, for which kernels it is packed, and as what.
type Key = (usize, [usize; 4], Isa, TypeId);

struct Kept {
    /// Of the type that the key names.
    packed: Arc<dyn Any + Send + Sync>,
    /// Holds the memory, so that no other weight comes to lie there.
    _weight: Tensor,
}

impl KeptWeights {
    /// The panels of `weight`, `[c_out, c_in, kh, kw]`, packed at the first call.
    pub(crate) fn forward<T: Number>(
        &self,
        shape: &ConvShape,
        weight: &Tensor,
    ) -> Result<Arc<Panels<T>>> {
        self.packed(weight, |values, isa| Panels::forward(shape, values, isa))
    }

    /// The same for Winograd's algorithm.
    pub(crate) fn points(&self, shape: &ConvShape, weight: &Tensor) -> Result<Arc<PointWeights>> {
        self.packed(weight, |values, isa| {
            PointWeights::forward(shape, values, isa)
        })
    }

    fn packed<P: Any + Send + Sync>(
        &self,
        weight: &Tensor,
        pack: impl FnOnce(&[f32], Isa) -> P,
    ) -> Result<Arc<P>> {
        let (isa, (c_out, c_in, kh, kw)) = (Isa::current(), weight.dims4()?);
        let dims = [c_out, c_in, kh, kw];
        with_elements(weight, |values: &[f32]| {
            let key = (values.as_ptr() as usize, dims, isa, TypeId::of::<P>());
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = kept.entry(key).or_insert_with(|| Kept {
                packed: Arc::new(pack(values, isa)),
                _weight: weight.clone(),
            });
            let packed = kept.packed.clone().downcast::<P>();
            Ok(packed.expect("the key names the type"))
        })
    }
}

impl std::fmt::Debug for KeptWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("KeptWeights")
            .field("weights", &kept.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::config::ConvConfig;
    use crate::number::Bf16;

    #[test]
    fn a_weight_is_packed_once_and_another_apart() -> Result<()> {
        let shape = ConvShape::new(1, (1, 1), (2, 1), (1, 1), ConvConfig::default())?;
        let weight = |value: f32| Tensor::from_vec(vec![value, 2.0], (1, 2, 1, 1), &Device::Cpu);
        let (kept, first) = (KeptWeights::default(), weight(1.0)?);
        let panels = kept.forward::<f32>(&shape, &first)?;
        assert!(Arc::ptr_eq(
            &panels,
            &kept.forward(&shape, &first.detach())?
        ));
        // Dropped, yet held: the next one lies elsewhere.
        drop(first);
        let second = kept.forward::<f32>(&shape, &weight(3.0)?)?;
        // Rounded to half the bits, so packed apart.
        let narrow = kept.forward::<Bf16>(&shape, &weight(3.0)?)?;
        assert_eq!(narrow.values.len(), second.values.len() / 2);
        assert_eq!((panels.values[0], second.values[0]), (1.0, 3.0));
        Ok(())
    }
}
