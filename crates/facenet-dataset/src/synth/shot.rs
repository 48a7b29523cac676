//! How somebody was photographed: everything that differs between pictures of a person.

use super::dice::Dice;
use super::geometry::{Colour, Point, direction};
use std::f32::consts::PI;

/// Glasses are worn in some pictures and not in others, by anybody.
#[derive(Debug, Clone)]
pub(super) struct Glasses {
    pub round: bool,
    pub frame: Colour,
    pub lens: Colour,
    /// Opacity of the lenses.
    pub tint: f32,
}

/// A stain of colour: behind the person, or in front.
#[derive(Debug, Clone)]
pub(super) struct Blot {
    /// In the picture, `[-1, 1]` per axis.
    pub at: Point,
    pub half: Point,
    /// Unit vector of its own axis.
    pub turn: Point,
    /// A box where true, else an ellipse.
    pub square: bool,
    pub colour: Colour,
}

/// What is behind the person.
#[derive(Debug, Clone)]
pub(super) struct Backdrop {
    pub near: Colour,
    pub far: Colour,
    pub gradient: Point,
    /// Stripes across the picture, 0 for none.
    pub stripes: f32,
    pub blots: Vec<Blot>,
}

/// Light on the scene.
#[derive(Debug, Clone)]
pub(super) struct Light {
    /// Where it comes from, `z` towards the viewer.
    pub from: [f32; 3],
    /// What the unlit side keeps.
    pub ambient: f32,
    /// Gain of each channel.
    pub cast: Colour,
    /// A second cast which takes over across the picture along `ramp`.
    pub far_cast: Colour,
    /// Direction over the picture.
    pub ramp: Point,
    /// Edge of a shadow over the picture: direction, offset and what it leaves of the light.
    pub shadow: (Point, f32, f32),
}

/// What the face does.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    /// Corners up where positive.
    pub smile: f32,
    /// Opening of the mouth, head units.
    pub open: f32,
    /// Opening of the eyes, of that at rest.
    pub lids: f32,
    /// Brows up where positive, head units.
    pub brows: f32,
    /// Shift of the irises, of the eyes' half width.
    pub gaze: Point,
}

/// What the camera makes of it.
#[derive(Debug, Clone)]
pub(super) struct Film {
    pub contrast: f32,
    pub brightness: f32,
    pub saturation: f32,
    /// Standard deviation of the blur, of the picture's side.
    pub blur: f32,
    /// Standard deviation of the grain.
    pub noise: f32,
}

/// One picture's circumstances.
#[derive(Debug, Clone)]
pub(super) struct Shot {
    pub zoom: f32,
    pub shift: Point,
    /// Unit vector of the in-plane turn.
    pub roll: Point,
    /// Shift of the middle of the face against its outline, of the head's half width.
    pub yaw: f32,
    pub pitch: f32,
    pub expression: Expression,
    pub light: Light,
    pub backdrop: Backdrop,
    pub clothes: Colour,
    pub glasses: Option<Glasses>,
    pub occluder: Option<Blot>,
    pub film: Film,
}

impl Shot {
    /// Picture `index` of person `number` of `seed`.
    pub(super) fn draw(seed: u64, number: u64, index: u64) -> Self {
        let dice = &mut Dice::new(seed, *b"picture\0", number, index);
        Self {
            zoom: dice.within(0.9, 1.13),
            shift: [dice.signed(0.17), dice.within(-0.08, 0.22)],
            roll: direction(dice.signed(0.2)),
            yaw: dice.signed(0.2),
            pitch: dice.signed(0.1),
            expression: expression(dice),
            light: light(dice),
            backdrop: backdrop(dice),
            clothes: dice.colour(0.05, 0.95),
            glasses: glasses(dice),
            occluder: occluder(dice),
            film: film(dice),
        }
    }
}

/// The draws of the grain, apart from the scene's, so that the scene is the same at any size.
pub(super) fn grain(seed: u64, number: u64, index: u64) -> Dice {
    Dice::new(seed, *b"grain\0\0\0", number, index)
}

fn any_direction(dice: &mut Dice) -> Point {
    direction(dice.signed(PI))
}

fn expression(dice: &mut Dice) -> Expression {
    Expression {
        smile: dice.within(-0.25, 1.0),
        open: if dice.chance(0.4) {
            dice.within(0.03, 0.16)
        } else {
            0.0
        },
        lids: if dice.chance(0.04) {
            0.12
        } else {
            dice.within(0.75, 1.12)
        },
        brows: dice.within(-0.03, 0.06),
        gaze: [dice.signed(0.3), dice.signed(0.12)],
    }
}

fn light(dice: &mut Dice) -> Light {
    let side = any_direction(dice);
    let slant = dice.within(0.4, 1.0);
    let tint = |dice: &mut Dice| {
        let strength = dice.within(0.65, 1.4);
        dice.colour(0.82, 1.2).map(|gain| gain * strength)
    };
    Light {
        from: [side[0] * slant, side[1] * slant, 1.1 - slant * 0.5],
        ambient: dice.within(0.35, 0.75),
        cast: tint(dice),
        far_cast: tint(dice),
        ramp: any_direction(dice),
        shadow: (any_direction(dice), dice.signed(0.9), shadow_gain(dice)),
    }
}

fn shadow_gain(dice: &mut Dice) -> f32 {
    if dice.chance(0.3) {
        dice.within(0.5, 0.8)
    } else {
        1.0
    }
}

fn backdrop(dice: &mut Dice) -> Backdrop {
    let n_blots = dice.pick(&[0, 1, 2, 3, 4]);
    Backdrop {
        near: dice.colour(0.0, 1.0),
        far: dice.colour(0.0, 1.0),
        gradient: any_direction(dice),
        stripes: if dice.chance(0.5) {
            dice.within(0.6, 3.0)
        } else {
            0.0
        },
        blots: (0..n_blots).map(|_| blot(dice, 0.7, 1.0)).collect(),
    }
}

fn blot(dice: &mut Dice, size: f32, reach: f32) -> Blot {
    Blot {
        at: [dice.signed(reach), dice.signed(reach)],
        half: [dice.within(0.1, size), dice.within(0.1, size)],
        turn: any_direction(dice),
        square: dice.chance(0.5),
        colour: dice.colour(0.0, 1.0),
    }
}

fn glasses(dice: &mut Dice) -> Option<Glasses> {
    dice.chance(0.12).then(|| Glasses {
        round: dice.chance(0.5),
        frame: dice.colour(0.02, 0.5),
        lens: dice.colour(0.0, 0.3),
        tint: if dice.chance(0.2) { 0.75 } else { 0.08 },
    })
}

fn occluder(dice: &mut Dice) -> Option<Blot> {
    dice.chance(0.12).then(|| blot(dice, 0.22, 0.9))
}

fn film(dice: &mut Dice) -> Film {
    Film {
        contrast: dice.within(0.75, 1.25),
        brightness: dice.signed(0.1),
        saturation: dice.within(0.75, 1.15),
        blur: if dice.chance(0.35) {
            dice.within(0.004, 0.009)
        } else {
            0.0
        },
        noise: dice.within(0.0, 0.03),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_has_its_own_circumstances() {
        let shot = |number, index| format!("{:?}", Shot::draw(1, number, index));
        assert_eq!(shot(0, 0), shot(0, 0));
        assert_ne!(shot(0, 0), shot(0, 1));
        assert_ne!(shot(0, 0), shot(1, 0));
    }

    #[test]
    fn glasses_come_and_go_with_the_picture() {
        for number in 0..5 {
            let shots = (0..200).map(|index| Shot::draw(1, number, index));
            let n_with = shots.filter(|shot| shot.glasses.is_some()).count();
            // 12 % of 200, and five standard deviations to either side.
            assert!((1..48).contains(&n_with), "{number}: {n_with}");
        }
    }
}
