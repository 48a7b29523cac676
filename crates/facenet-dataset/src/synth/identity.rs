//! Who somebody is: every trait that all pictures of a person share.

use super::dice::Dice;
use super::geometry::{Colour, Point, mix, scale};

/// Skin from deep to pale.
const SKINS: [Colour; 6] = [
    [0.30, 0.18, 0.12],
    [0.46, 0.29, 0.19],
    [0.62, 0.42, 0.28],
    [0.78, 0.56, 0.40],
    [0.89, 0.70, 0.55],
    [0.97, 0.82, 0.71],
];

/// Hair: black, browns, red, blonds, grey, white, and some from a bottle.
const HAIRS: [Colour; 12] = [
    [0.06, 0.05, 0.06],
    [0.17, 0.10, 0.07],
    [0.32, 0.18, 0.09],
    [0.48, 0.26, 0.12],
    [0.66, 0.26, 0.08],
    [0.80, 0.60, 0.26],
    [0.93, 0.82, 0.52],
    [0.55, 0.55, 0.57],
    [0.92, 0.92, 0.93],
    [0.16, 0.38, 0.72],
    [0.85, 0.32, 0.58],
    [0.20, 0.58, 0.42],
];

/// Irises: brown, hazel, green, blue, grey.
const IRISES: [Colour; 5] = [
    [0.25, 0.13, 0.06],
    [0.48, 0.33, 0.12],
    [0.22, 0.52, 0.26],
    [0.18, 0.42, 0.78],
    [0.5, 0.56, 0.6],
];

/// How the hair is worn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HairStyle {
    /// None at all.
    Bald,
    /// A thin even cap.
    Buzz,
    /// Short, swept to a side.
    Parted,
    /// A straight fringe down to the brows, chin-long at the sides.
    Bob,
    /// Down to the shoulders.
    Long,
    /// A ball around the head.
    Afro,
    /// Tied on top.
    Bun,
    /// A strip along the middle.
    Mohawk,
    /// Spikes all around.
    Spiky,
    /// Tied at both sides.
    Pigtails,
    /// Bald on top, hair at the sides.
    Crown,
}

const STYLES: [HairStyle; 11] = [
    HairStyle::Bald,
    HairStyle::Buzz,
    HairStyle::Parted,
    HairStyle::Bob,
    HairStyle::Long,
    HairStyle::Afro,
    HairStyle::Bun,
    HairStyle::Mohawk,
    HairStyle::Spiky,
    HairStyle::Pigtails,
    HairStyle::Crown,
];

/// What hair looks like from near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texture {
    /// No pattern.
    Plain,
    /// Streaks down from the crown.
    Strands,
    /// Waves across.
    Bands,
    /// Dots.
    Curls,
}

const TEXTURES: [Texture; 4] = [
    Texture::Plain,
    Texture::Strands,
    Texture::Bands,
    Texture::Curls,
];

/// Where the face has hair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beard {
    /// Shaved.
    None,
    /// Upper lip only.
    Moustache,
    /// Chin only.
    Goatee,
    /// Cheeks, chin and upper lip.
    Full,
}

const BEARDS: [Beard; 8] = [
    Beard::None,
    Beard::None,
    Beard::None,
    Beard::None,
    Beard::Moustache,
    Beard::Goatee,
    Beard::Full,
    Beard::Full,
];

/// Hair of the head.
#[derive(Debug, Clone)]
pub(super) struct Hair {
    pub style: HairStyle,
    pub colour: Colour,
    pub texture: Texture,
    /// Periods of the texture per head unit.
    pub frequency: f32,
    /// Swing of the texture's brightness, of the colour's.
    pub contrast: f32,
    /// Height of the hairline on the forehead.
    pub line: f32,
    /// Slant of the hairline; its sign is the side of the parting.
    pub slant: f32,
    /// How far the hair stands off the head.
    pub volume: f32,
}

/// Both eyes.
#[derive(Debug, Clone)]
pub(super) struct Eyes {
    /// From the middle of the face to a pupil.
    pub spacing: f32,
    pub height: f32,
    pub half_width: f32,
    /// Opening over width.
    pub roundness: f32,
    /// Unit vector of the slant, outer corners down where the sine is positive.
    pub tilt: Point,
    pub iris: Colour,
    /// Radius over half width.
    pub iris_size: f32,
    /// Thickness of the lash line.
    pub lash: f32,
}

/// Both brows.
#[derive(Debug, Clone)]
pub(super) struct Brows {
    /// Over the eye.
    pub gap: f32,
    pub half_width: f32,
    pub thickness: f32,
    /// Unit vector of the slant.
    pub tilt: Point,
    pub arch: f32,
    pub colour: Colour,
}

/// The nose.
#[derive(Debug, Clone)]
pub(super) struct Nose {
    /// From the eyes' height downwards.
    pub length: f32,
    pub half_width: f32,
    pub ridge: f32,
}

/// The mouth at rest.
#[derive(Debug, Clone)]
pub(super) struct Mouth {
    /// Below the nose's tip.
    pub gap: f32,
    pub half_width: f32,
    pub upper: f32,
    pub lower: f32,
    pub colour: Colour,
}

/// A small dark spot on the face.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    pub at: Point,
    pub radius: f32,
}

/// A person. Lengths are in head units (half the head's height).
#[derive(Debug, Clone)]
pub(super) struct Face {
    /// Half the head's width.
    pub head_width: f32,
    /// How much the jaw narrows towards the chin; negative is square.
    pub jaw: f32,
    pub skin: Colour,
    /// Red of the cheeks, as an opacity.
    pub blush: f32,
    pub ear: f32,
    pub hair: Hair,
    pub eyes: Eyes,
    pub brows: Brows,
    pub nose: Nose,
    pub mouth: Mouth,
    pub beard: Beard,
    pub beard_colour: Colour,
    pub moles: Vec<Spot>,
    pub freckles: Vec<Spot>,
}

impl Face {
    /// Person `number` of `seed`.
    pub(super) fn draw(seed: u64, number: u64) -> Self {
        let dice = &mut Dice::new(seed, *b"identity", 0, number);
        let skin = skin(dice);
        let hair = hair(dice);
        Self {
            head_width: dice.within(0.66, 0.94),
            jaw: dice.within(-0.18, 0.42),
            skin,
            blush: if dice.chance(0.3) {
                dice.within(0.3, 0.6)
            } else {
                0.0
            },
            ear: dice.within(0.1, 0.24),
            eyes: eyes(dice),
            brows: brows(dice, hair.colour),
            nose: nose(dice),
            mouth: mouth(dice, skin),
            beard: dice.pick(&BEARDS),
            beard_colour: scale(hair.colour, dice.within(0.7, 1.0)),
            moles: moles(dice),
            freckles: freckles(dice),
            hair,
        }
    }
}

fn skin(dice: &mut Dice) -> Colour {
    let place = dice.within(0.0, (SKINS.len() - 1) as f32 - 1e-3);
    let below = place as usize;
    let tone = mix(SKINS[below], SKINS[below + 1], place - below as f32);
    [
        tone[0] * dice.within(0.95, 1.05),
        tone[1],
        tone[2] * dice.within(0.88, 1.1),
    ]
}

fn hair(dice: &mut Dice) -> Hair {
    Hair {
        style: dice.pick(&STYLES),
        colour: scale(dice.pick(&HAIRS), dice.within(0.85, 1.1)),
        texture: dice.pick(&TEXTURES),
        frequency: dice.within(2.0, 3.8),
        contrast: dice.within(0.25, 0.5),
        line: dice.within(-0.72, -0.42),
        slant: dice.signed(0.45),
        volume: dice.within(0.06, 0.22),
    }
}

fn eyes(dice: &mut Dice) -> Eyes {
    Eyes {
        spacing: dice.within(0.28, 0.46),
        height: dice.within(-0.2, 0.04),
        half_width: dice.within(0.14, 0.26),
        roundness: dice.within(0.38, 1.0),
        tilt: super::geometry::direction(dice.signed(0.35)),
        iris: dice.pick(&IRISES),
        iris_size: dice.within(0.42, 0.68),
        lash: dice.within(0.012, 0.05),
    }
}

fn brows(dice: &mut Dice, hair: Colour) -> Brows {
    Brows {
        gap: dice.within(0.1, 0.2),
        half_width: dice.within(0.13, 0.25),
        thickness: dice.within(0.018, 0.095),
        tilt: super::geometry::direction(dice.signed(0.4)),
        arch: dice.within(-0.02, 0.09),
        colour: scale(hair, dice.within(0.45, 0.85)),
    }
}

fn nose(dice: &mut Dice) -> Nose {
    Nose {
        length: dice.within(0.24, 0.5),
        half_width: dice.within(0.08, 0.21),
        ridge: dice.within(0.0, 1.0),
    }
}

fn mouth(dice: &mut Dice, skin: Colour) -> Mouth {
    let vivid = dice.pick(&[[0.78, 0.12, 0.18], [0.62, 0.14, 0.34], [0.72, 0.34, 0.30]]);
    Mouth {
        gap: dice.within(0.14, 0.26),
        half_width: dice.within(0.15, 0.44),
        upper: dice.within(0.02, 0.08),
        lower: dice.within(0.03, 0.1),
        colour: mix(scale(skin, 0.75), vivid, dice.within(0.25, 0.95)),
    }
}

fn moles(dice: &mut Dice) -> Vec<Spot> {
    let n_moles = dice.pick(&[0, 0, 1, 2]);
    (0..n_moles)
        .map(|_| Spot {
            at: [dice.signed(0.5), dice.within(-0.05, 0.6)],
            radius: dice.within(0.03, 0.055),
        })
        .collect()
}

fn freckles(dice: &mut Dice) -> Vec<Spot> {
    let n_freckles = if dice.chance(0.25) { 16 } else { 0 };
    (0..n_freckles)
        .map(|_| Spot {
            at: [dice.signed(0.5), dice.within(0.05, 0.32)],
            radius: dice.within(0.015, 0.03),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> impl Iterator<Item = Face> {
        (0..500).map(|number| Face::draw(1, number))
    }

    #[test]
    fn a_number_is_always_the_same_person() {
        let traits = |seed, number| format!("{:?}", Face::draw(seed, number));
        assert_eq!(traits(1, 2), traits(1, 2));
        assert_ne!(traits(1, 2), traits(1, 3));
        assert_ne!(traits(1, 2), traits(2, 2));
    }

    #[test]
    fn every_style_texture_and_beard_is_worn_by_somebody() {
        for style in STYLES {
            assert!(people().any(|face| face.hair.style == style), "{style:?}");
        }
        for texture in TEXTURES {
            assert!(
                people().any(|face| face.hair.texture == texture),
                "{texture:?}"
            );
        }
        for beard in BEARDS {
            assert!(people().any(|face| face.beard == beard), "{beard:?}");
        }
    }

    #[test]
    fn features_fit_on_the_face() {
        for face in people() {
            let mouth = face.eyes.height + face.nose.length + face.mouth.gap;
            assert!(mouth + face.mouth.lower < 0.95, "{face:?}");
            assert!(
                face.eyes.spacing + 0.5 * face.eyes.half_width < face.head_width,
                "{face:?}"
            );
        }
    }
}
