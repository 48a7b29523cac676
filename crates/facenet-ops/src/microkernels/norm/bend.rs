//! What an activation does to vectors, and to their gradients on the way back.

use crate::microkernels::lanes::Lanes;

/// An activation, in vectors; each keeps NaN.
pub(super) trait Bend: Copy {
    /// Of what is negative, one a channel, where there are any.
    fn slopes(&self) -> Option<&[f32]>;

    fn forward<V: Lanes>(self, y: V, slope: V) -> V;

    /// The gradient before the activation, of `y`, from that after it.
    fn backward<V: Lanes>(self, y: V, grad: V, slope: V) -> V;
}

/// The identity.
#[derive(Clone, Copy)]
pub(super) struct Straight;

impl Bend for Straight {
    #[inline(always)]
    fn slopes(&self) -> Option<&[f32]> {
        None
    }

    #[inline(always)]
    fn forward<V: Lanes>(self, y: V, _: V) -> V {
        y
    }

    #[inline(always)]
    fn backward<V: Lanes>(self, _: V, grad: V, _: V) -> V {
        grad
    }
}

/// `max(y, 0)`.
#[derive(Clone, Copy)]
pub(super) struct Rectified;

impl Bend for Rectified {
    #[inline(always)]
    fn slopes(&self) -> Option<&[f32]> {
        None
    }

    #[inline(always)]
    fn forward<V: Lanes>(self, y: V, _: V) -> V {
        y.where_less(V::zero(), V::zero(), y)
    }

    #[inline(always)]
    fn backward<V: Lanes>(self, y: V, grad: V, _: V) -> V {
        V::zero().where_less(y, grad, V::zero())
    }
}

/// A slope for what is negative.
#[derive(Clone, Copy)]
pub(super) struct Bent<'a>(pub(super) &'a [f32]);

impl Bend for Bent<'_> {
    #[inline(always)]
    fn slopes(&self) -> Option<&[f32]> {
        Some(self.0)
    }

    #[inline(always)]
    fn forward<V: Lanes>(self, y: V, slope: V) -> V {
        y.where_less(V::zero(), slope.times(y), y)
    }

    #[inline(always)]
    fn backward<V: Lanes>(self, y: V, grad: V, slope: V) -> V {
        V::zero().where_less(y, grad, slope.times(grad))
    }
}
