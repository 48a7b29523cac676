//! Memory whose neighbours cannot be touched, for tests of the kernels.
#![expect(unsafe_code, reason = "pages are mapped and protected")]

use std::ffi::c_void;
use std::ptr::null_mut;

/// A page of x86-64 and most others; a multiple of the page where it is larger would fail to map.
const PAGE: usize = 4096;

/// Which end of the floats lies at the page that cannot be touched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flush {
    Start,
    End,
}

/// Floats between two pages that cannot be touched, flush with one of them.
pub(crate) struct Guarded {
    map: *mut c_void,
    bytes: usize,
    first: *mut f32,
    len: usize,
}

impl Guarded {
    pub(crate) fn new(values: &[f32], flush: Flush) -> Self {
        let inner = (values.len() * 4).next_multiple_of(PAGE);
        let bytes = inner + 2 * PAGE;
        let (access, flags) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping at an address of the system's choice.
        let map = unsafe { libc::mmap(null_mut(), bytes, access, flags, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED, "memory to map");
        let inside = map.wrapping_byte_add(PAGE);
        // SAFETY: the pages between the first and the last of this mapping.
        let done = unsafe { libc::mprotect(inside, inner, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(done, 0, "pages to open");
        let offset = match flush {
            Flush::Start => 0,
            Flush::End => inner - values.len() * 4,
        };
        let first = inside.wrapping_byte_add(offset).cast::<f32>();
        let mut guarded = Self {
            map,
            bytes,
            first,
            len: values.len(),
        };
        guarded.as_mut().copy_from_slice(values);
        guarded
    }

    pub(crate) fn as_ref(&self) -> &[f32] {
        // SAFETY: `len` floats from `first` lie inside the open pages, which begin as zeros.
        unsafe { std::slice::from_raw_parts(self.first, self.len) }
    }

    pub(crate) fn as_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `as_ref`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole of this mapping, which nothing borrows any more.
        unsafe { libc::munmap(self.map, self.bytes) };
    }
}

mod tests {
    use super::*;
    use crate::config::ConvConfig;
    use crate::isa::{Isa, with_isa};
    use crate::microkernels::{Activation, Added, Epilogue};
    use crate::nhwc::conv;
    use crate::nhwc::plan::ConvShape;

    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i % 17) as f32 - 8.0).collect()
    }

    /// All passes with every tensor at a page that cannot be touched; the results are those of
    /// ordinary memory.
    fn check(shape: &ConvShape, flush: Flush) {
        let guard = |values: &[f32]| Guarded::new(values, flush);
        let (x, grad) = (
            values(shape.n * shape.image()),
            values(shape.n * shape.out_image()),
        );
        let weight = guard(&values(shape.c_out * shape.c_in * shape.taps()));
        let (guarded_x, guarded_grad) = (guard(&x), guard(&grad));
        let (vector, added) = (guard(&values(shape.c_out)), guard(&grad));
        let epilogue = Epilogue {
            scale: Some(vector.as_ref()),
            bias: Some(vector.as_ref()),
            added: Some(Added {
                values: added.as_ref(),
                scale: 0.5,
            }),
            activation: Activation::Prelu(vector.as_ref()),
        };
        let mut y = guard(&grad);
        conv::forward(
            shape,
            guarded_x.as_ref(),
            weight.as_ref(),
            &epilogue,
            y.as_mut(),
        );
        let mut expected = grad.clone();
        conv::forward(shape, &x, weight.as_ref(), &epilogue, &mut expected);
        assert!(y.as_ref() == expected);

        let mut dx = guard(&x);
        let none = Epilogue::default();
        conv::data_gradient(
            shape,
            weight.as_ref(),
            guarded_grad.as_ref(),
            &none,
            dx.as_mut(),
        );
        let mut expected = x.clone();
        conv::data_gradient(shape, weight.as_ref(), &grad, &none, &mut expected);
        assert!(dx.as_ref() == expected);

        let dw = conv::weight_gradient(shape, guarded_x.as_ref(), guarded_grad.as_ref());
        assert!(dw == conv::weight_gradient(shape, &x, &grad));
    }

    #[test]
    fn no_pass_touches_what_lies_beside_its_tensors() {
        let config = |stride, padding| ConvConfig {
            stride: (stride, stride),
            padding,
        };
        let shapes = [
            (2, (5, 7), (3, 1), (3, 3), config(1, (1, 1))),
            (1, (9, 8), (17, 33), (3, 3), config(2, (0, 0))),
            (3, (4, 4), (33, 15), (1, 7), config(1, (0, 3))),
            (2, (13, 1), (1, 47), (7, 1), config(2, (3, 0))),
            (5, (3, 3), (31, 65), (1, 1), config(1, (0, 0))),
            (1, (20, 20), (7, 9), (5, 5), config(2, (2, 2))),
        ];
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (n, size, channels, kernel, config) in shapes {
                let shape = ConvShape::new(n, size, channels, kernel, config).expect("it fits");
                for flush in [Flush::Start, Flush::End] {
                    let run = || {
                        check(&shape, flush);
                        Ok(())
                    };
                    with_isa(isa, run).expect("it is available");
                }
            }
        }
    }
}
