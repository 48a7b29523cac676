//! Synthetic identities: a procedural face renderer.
//!
//! What makes the identity is drawn from (seed, identity): head, skin, hair, eyes, brows, nose,
//! mouth, ears, beard, freckles. What hides it is drawn from (seed, identity, index): pose,
//! light, expression, background, clothes, glasses, occlusion, blur, noise.

mod background;
mod canvas;
mod dice;
mod features;
mod finish;
mod geometry;
mod hair;
mod head;
mod identity;
mod shot;

use crate::error::DatasetError;
use crate::picture::{ImageId, Pictures, Rgb8};
use canvas::Canvas;
use identity::Face;
use shot::Shot;

/// A set of people who do not exist, drawn on demand.
///
/// Each picture is a function of (`seed`, `first_identity + identity`, index) alone: the same
/// bytes on every run, thread and platform, since nothing but IEEE additions, products,
/// quotients and square roots goes into a pixel. Two sets with one seed and disjoint identity
/// ranges share nobody, so one may train and the other score. `side` changes the resolution,
/// not the scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthetic {
    /// How many people the set has.
    pub identities: u32,
    /// How many pictures there are of each.
    pub images_per_identity: u32,
    /// Number of the first person; person `i` of this set is number `first_identity + i`.
    pub first_identity: u32,
    /// Width and height of a picture, in pixels; 0 gives empty pictures.
    pub side: u32,
    /// Seed of everything.
    pub seed: u64,
}

impl Synthetic {
    /// Draws picture `index` of person `identity` of this set.
    ///
    /// - `identity`: counted from [`first_identity`](Self::first_identity); any number is
    ///   somebody, also one beyond [`identities`](Self::identities)
    /// - `index`: any number is a picture, also one beyond
    ///   [`images_per_identity`](Self::images_per_identity)
    pub fn render(&self, identity: u32, index: u32) -> Rgb8 {
        let number = self.number(identity);
        let face = Face::draw(self.seed, number);
        let shot = Shot::draw(self.seed, number, u64::from(index));
        let side = self.side as usize;
        let mut canvas = Canvas::new(side, &face, &shot);
        background::paint(&mut canvas, &shot);
        hair::paint_back(&mut canvas, &face, &shot);
        head::paint(&mut canvas, &face, &shot);
        features::paint(&mut canvas, &face, &shot);
        hair::paint_front(&mut canvas, &face);
        features::paint_glasses(&mut canvas, &face, &shot);
        let grain = shot::grain(self.seed, number, u64::from(index));
        Rgb8 {
            width: side,
            height: side,
            pixels: finish::develop(canvas, &shot, grain),
        }
    }

    /// The person's number among all people of this seed.
    fn number(&self, identity: u32) -> u64 {
        u64::from(self.first_identity) + u64::from(identity)
    }
}

impl Pictures for Synthetic {
    fn load(&self, image: ImageId) -> Result<Rgb8, DatasetError> {
        Ok(self.render(image.identity, image.image))
    }

    fn sizes(&self) -> Vec<u32> {
        vec![self.images_per_identity; self.identities as usize]
    }

    fn name(&self, image: ImageId) -> String {
        format!("synth:{}/{}", self.number(image.identity), image.image)
    }

    fn identity_name(&self, identity: u32) -> String {
        format!("synth:{}", self.number(identity))
    }
}
