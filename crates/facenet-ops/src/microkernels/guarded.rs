//! Memory whose neighbours cannot be touched, for tests of the kernels.
#![expect(unsafe_code, reason = "pages are mapped and protected")]

use std::ffi::c_void;
use std::ptr::null_mut;

use super::buffer::Plain;

/// A page of x86-64 and most others; a multiple of the page where it is larger would fail to map.
const PAGE: usize = 4096;

/// Which end of the numbers lies at the page that cannot be touched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flush {
    Start,
    End,
}

/// Numbers between two pages that cannot be touched, flush with one of them.
pub(crate) struct Guarded<T: Plain> {
    map: *mut c_void,
    bytes: usize,
    first: *mut T,
    len: usize,
}

impl<T: Plain> Guarded<T> {
    pub(crate) fn new(values: &[T], flush: Flush) -> Self {
        let inner = size_of_val(values).next_multiple_of(PAGE);
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
            Flush::End => inner - size_of_val(values),
        };
        let first = inside.wrapping_byte_add(offset).cast::<T>();
        let mut guarded = Self {
            map,
            bytes,
            first,
            len: values.len(),
        };
        guarded.as_mut().copy_from_slice(values);
        guarded
    }

    pub(crate) fn as_ref(&self) -> &[T] {
        // SAFETY: `len` numbers from `first` lie inside the open pages, which begin as zeros.
        unsafe { std::slice::from_raw_parts(self.first, self.len) }
    }

    pub(crate) fn as_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `as_ref`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.len) }
    }
}

impl<T: Plain> Drop for Guarded<T> {
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
    use crate::nhwc::norm::{self, Lines};
    use crate::nhwc::plan::ConvShape;
    use crate::nhwc::winograd;
    use crate::nhwc::{conv, depthwise, pool};
    use crate::number::{Bf16, Number};

    /// Few bits each, so that every number type holds them.
    fn values<T: Number>(n: usize) -> Vec<T> {
        (0..n).map(|i| T::of((i % 17) as f32 - 8.0)).collect()
    }

    fn is_same<T: Number>(a: &[T], b: &[T]) -> bool {
        let bits = |values: &[T]| -> Vec<u32> {
            values
                .iter()
                .map(|value| value.widened().to_bits())
                .collect()
        };
        bits(a) == bits(b)
    }

    type Forward<T> = fn(&ConvShape, &[T], &[f32], &Epilogue<'_, T>, &mut [T]);
    type DataGradient<T> = fn(&ConvShape, &[f32], &[T], &Epilogue<'_, T>, &mut [T]);

    /// The passes of an algorithm.
    struct Passes<T> {
        forward: Forward<T>,
        data_gradient: DataGradient<T>,
        weight_gradient: fn(&ConvShape, &[T], &[T]) -> Vec<f32>,
    }

    fn direct<T: Number>() -> Passes<T> {
        Passes {
            forward: conv::forward,
            data_gradient: conv::data_gradient,
            weight_gradient: conv::weight_gradient,
        }
    }

    const WINOGRAD: Passes<f32> = Passes {
        forward: winograd::forward,
        data_gradient: winograd::data_gradient,
        weight_gradient: winograd::weight_gradient,
    };

    /// All passes with every tensor at a page that cannot be touched; the results are those of
    /// ordinary memory.
    fn check<T: Number>(passes: &Passes<T>, shape: &ConvShape, flush: Flush) {
        fn guard<T: Plain>(values: &[T], flush: Flush) -> Guarded<T> {
            Guarded::new(values, flush)
        }
        let (x, grad) = (
            values::<T>(shape.n * shape.image()),
            values::<T>(shape.n * shape.out_image()),
        );
        let weight = values(shape.c_out * shape.c_in * shape.taps());
        let (weight, vector) = (guard(&weight, flush), guard(&values(shape.c_out), flush));
        let (guarded_x, guarded_grad) = (guard(&x, flush), guard(&grad, flush));
        let epilogue = Epilogue {
            scale: Some(vector.as_ref()),
            bias: Some(vector.as_ref()),
            added: Some(Added {
                values: guarded_grad.as_ref(),
                scale: 0.5,
            }),
            activation: Activation::Prelu(vector.as_ref()),
        };
        let (mut y, mut expected) = (guard(&grad, flush), grad.clone());
        let weight = weight.as_ref();
        (passes.forward)(shape, guarded_x.as_ref(), weight, &epilogue, y.as_mut());
        (passes.forward)(shape, &x, weight, &epilogue, &mut expected);
        assert!(is_same(y.as_ref(), &expected));

        let none = Epilogue::default();
        let (mut dx, mut expected) = (guard(&x, flush), x.clone());
        (passes.data_gradient)(shape, weight, guarded_grad.as_ref(), &none, dx.as_mut());
        (passes.data_gradient)(shape, weight, &grad, &none, &mut expected);
        assert!(is_same(dx.as_ref(), &expected));

        let dw = (passes.weight_gradient)(shape, guarded_x.as_ref(), guarded_grad.as_ref());
        assert!(dw == (passes.weight_gradient)(shape, &x, &grad));
    }

    /// As [`direct`], of channels that each have a kernel of their own.
    fn check_depthwise<T: Number>(shape: &ConvShape, flush: Flush) {
        let x = values::<T>(shape.n * shape.image());
        let grad = values::<T>(shape.n * shape.out_image());
        let weight = Guarded::new(&values(shape.c_in * shape.taps()), flush);
        let (guarded_x, guarded_grad) = (Guarded::new(&x, flush), Guarded::new(&grad, flush));
        let (mut y, mut expected) = (Guarded::new(&grad, flush), grad.clone());
        depthwise::forward(shape, guarded_x.as_ref(), weight.as_ref(), y.as_mut());
        depthwise::forward(shape, &x, weight.as_ref(), &mut expected);
        assert!(is_same(y.as_ref(), &expected));
        let (mut dx, mut expected) = (Guarded::new(&x, flush), x.clone());
        depthwise::data_gradient(shape, weight.as_ref(), guarded_grad.as_ref(), dx.as_mut());
        depthwise::data_gradient(shape, weight.as_ref(), &grad, &mut expected);
        assert!(is_same(dx.as_ref(), &expected));
        let dw = depthwise::weight_gradient(shape, guarded_x.as_ref(), guarded_grad.as_ref());
        assert!(dw == depthwise::weight_gradient(shape, &x, &grad));
    }

    /// As [`direct`], of the normalisation of a convolution's output.
    fn check_norm<T: Number>(shape: &ConvShape, flush: Flush) {
        let (c, x) = (shape.c_out, values::<T>(shape.n * shape.out_image()));
        let vector = Guarded::new(&values::<f32>(c), flush);
        let activation = Activation::Prelu(vector.as_ref());
        let lines = Lines::new(vector.as_ref(), vector.as_ref(), &norm::moments(&x, c), 1.0);
        let (guarded, mut grad) = (Guarded::new(&x, flush), Guarded::new(&x, flush));
        let (mut z, mut expected) = (Guarded::new(&x, flush), x.clone());
        assert_eq!(norm::moments(guarded.as_ref(), c), norm::moments(&x, c));
        norm::normalise(guarded.as_ref(), &lines, &activation, z.as_mut());
        norm::normalise(&x, &lines, &activation, &mut expected);
        assert!(is_same(z.as_ref(), &expected));
        let (inverse, mut expected) = (vec![1.0; c], x.clone());
        norm::gradient(
            guarded.as_ref(),
            &lines,
            &inverse,
            true,
            &activation,
            grad.as_mut(),
        );
        norm::gradient(&x, &lines, &inverse, true, &activation, &mut expected);
        assert!(is_same(grad.as_ref(), &expected));
    }

    /// As [`direct`], of the largest of each window.
    fn check_pool<T: Number>(shape: &ConvShape, flush: Flush) {
        let grad = values::<T>(shape.n * shape.out_image());
        let x = values::<T>(shape.n * shape.image());
        let (guarded, guarded_grad) = (Guarded::new(&x, flush), Guarded::new(&grad, flush));
        let (mut y, mut winners) = (Guarded::new(&grad, flush), Guarded::new(&grad, flush));
        let (mut expected, mut own) = (grad.clone(), grad.clone());
        pool::max_pool(shape, guarded.as_ref(), y.as_mut(), Some(winners.as_mut()));
        pool::max_pool(shape, &x, &mut expected, Some(&mut own));
        assert!(is_same(y.as_ref(), &expected) && is_same(winners.as_ref(), &own));
        let (mut dx, mut expected) = (Guarded::new(&x, flush), x.clone());
        let guarded_grad = guarded_grad.as_ref();
        pool::max_pool_gradient(shape, winners.as_ref(), guarded_grad, dx.as_mut());
        pool::max_pool_gradient(shape, &own, &grad, &mut expected);
        assert!(is_same(dx.as_ref(), &expected));
    }

    #[test]
    fn no_pass_touches_what_lies_beside_its_tensors() {
        let config = |stride, padding| ConvConfig {
            stride: (stride, stride),
            padding,
        };
        let shapes = [
            (2, (5, 7), (3, 1), (3, 3), config(1, (1, 1))),
            (3, (10, 9), (17, 33), (3, 3), config(1, (0, 2))),
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
                        check::<f32>(&direct(), &shape, flush);
                        check::<Bf16>(&direct(), &shape, flush);
                        if winograd::is_possible(&shape) {
                            check(&WINOGRAD, &shape, flush);
                        }
                        let c = shape.c_in;
                        let own = ConvShape { c_out: c, ..shape };
                        check_depthwise::<f32>(&own, flush);
                        check_depthwise::<Bf16>(&own, flush);
                        check_norm::<f32>(&shape, flush);
                        check_norm::<Bf16>(&shape, flush);
                        if shape.config.padding == (0, 0) {
                            check_pool::<f32>(&own, flush);
                            check_pool::<Bf16>(&own, flush);
                        }
                        Ok(())
                    };
                    with_isa(isa, run).expect("it is available");
                }
            }
        }
    }
}
