//! Geometry and levels: crop, resize, rotation, standardisation.

mod levels;
mod part;
mod place;
mod resize;
mod rotate;

pub(crate) use levels::Sums;
pub(crate) use part::Part;
pub(crate) use place::Span;
pub use place::crop_or_pad;
pub use resize::resize;
pub(crate) use resize::resize_part;
pub use rotate::rotate;
pub(crate) use rotate::rotate_part;
