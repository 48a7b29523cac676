//! Which implementation of an operation runs.

use candle_core::Device;

/// An implementation of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Compositions of candle operations; differentiates on every device.
    Native,
    /// Custom operations for the CPU.
    Own,
}

impl Route {
    /// [`Route::Own`] on the CPU, [`Route::Native`] elsewhere.
    pub fn for_device(device: &Device) -> Self {
        if device.is_cpu() {
            Self::Own
        } else {
            Self::Native
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_takes_its_own_route() {
        assert_eq!(Route::for_device(&Device::Cpu), Route::Own);
    }
}
