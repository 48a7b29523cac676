//! A parameter's optimizer state, where its device wants it.

use candle_core::{DType, Device, Result, Tensor, Var, bail};

use super::fused::{FusedStep, HostSlots};
use super::rule::Rule;

/// The state tensors of one parameter.
#[derive(Debug)]
pub(super) enum Slots {
    /// Plain memory, for the fused pass.
    Host {
        /// The numbers.
        slots: HostSlots,
        /// The parameter's shape.
        dims: Vec<usize>,
    },
    /// Tensors on the parameter's device.
    Device(Vec<Tensor>),
}

impl Slots {
    /// State before the first step: one constant per slot.
    pub(super) fn fresh(kinds: &[(&str, f64)], var: &Var, fused: bool) -> Result<Self> {
        let filled = kinds.iter().map(|(_, value)| {
            let one = Tensor::new(*value, var.device())?.to_dtype(var.dtype())?;
            one.broadcast_as(var.shape())?.contiguous()
        });
        Self::new(&filled.collect::<Result<Vec<_>>>()?, var, fused)
    }

    /// State from tensors of the parameter's shape and type.
    pub(super) fn new(tensors: &[Tensor], var: &Var, fused: bool) -> Result<Self> {
        if !(fused && var.device().is_cpu()) {
            let own = tensors.iter().map(|t| t.to_device(var.device())?.copy());
            return Ok(Self::Device(own.collect::<Result<_>>()?));
        }
        let slots = match var.dtype() {
            DType::F32 => HostSlots::F32(read_two(tensors)?),
            DType::F64 => HostSlots::F64(read_two(tensors)?),
            other => bail!("an optimizer cannot update {} parameters", other.as_str()),
        };
        Ok(Self::Host {
            slots,
            dims: var.dims().to_vec(),
        })
    }

    /// One step of `rule` on `var`.
    pub(super) fn apply(
        &mut self,
        rule: &Rule,
        var: &Var,
        grad: &Tensor,
        decay: f64,
    ) -> Result<()> {
        match self {
            Self::Host { slots, .. } => FusedStep::new(rule, decay, slots).run(var, grad),
            Self::Device(tensors) => {
                let (w, g) = (var.as_detached_tensor(), grad.detach());
                var.set(&rule.apply_tensors(&w, &g, tensors, decay)?)
            }
        }
    }

    /// Copies of the state tensors.
    pub(super) fn tensors(&self) -> Result<Vec<Tensor>> {
        match self {
            Self::Device(tensors) => tensors.iter().map(Tensor::copy).collect(),
            Self::Host {
                slots: HostSlots::F32(slots),
                dims,
            } => write_used(slots, dims),
            Self::Host {
                slots: HostSlots::F64(slots),
                dims,
            } => write_used(slots, dims),
        }
    }
}

fn read_two<T: candle_core::WithDType>(tensors: &[Tensor]) -> Result<[Vec<T>; 2]> {
    let read = |index: usize| match tensors.get(index) {
        Some(tensor) => tensor
            .to_device(&Device::Cpu)?
            .flatten_all()?
            .to_vec1::<T>(),
        None => Ok(Vec::new()),
    };
    Ok([read(0)?, read(1)?])
}

fn write_used<T: candle_core::WithDType>(slots: &[Vec<T>], dims: &[usize]) -> Result<Vec<Tensor>> {
    let n_elements: usize = dims.iter().product();
    let used = slots.iter().filter(|slot| slot.len() == n_elements);
    used.map(|slot| Tensor::from_slice(slot, dims, &Device::Cpu))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fused: bool) {
        let var = Var::new(&[[1.0f32, 2.0]], &Device::Cpu).expect("two numbers");
        let slots = Slots::fresh(&[("m", 0.5), ("v", 1.0)], &var, fused).expect("f32 on the CPU");
        let tensors = slots.tensors().expect("on the CPU");
        let values: Vec<_> = tensors
            .iter()
            .map(|t| t.to_vec2::<f32>().expect("f32 rows"))
            .collect();
        assert_eq!(values, [vec![vec![0.5f32; 2]], vec![vec![1.0; 2]]]);
    }

    #[test]
    fn fresh_state_has_the_parameters_shape_on_either_route() {
        check(true);
        check(false);
    }

    #[test]
    fn integers_have_no_state() {
        let var = Var::new(&[1u32], &Device::Cpu).expect("one number");
        assert!(Slots::fresh(&[("m", 0.0)], &var, true).is_err());
    }
}
