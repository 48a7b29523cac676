//! What a model expects of a picture.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::DatasetError;

/// The largest crop or size that a recipe may ask for, in pixels.
pub(crate) const MAX_SIDE: u32 = 8192;
/// No recipe is as long as this, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// How pixel levels become network input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standardisation {
    /// `(x - mean) / max(std, 1 / sqrt(count))` over all values of the picture together, as TF's
    /// `per_image_standardization`: population std, padding included.
    PerImage,
    /// `(x - 127.5) / 128`, as facenet's `fixed_image_standardization`.
    Fixed,
}

/// Preprocessing that belongs to a model: it is stored with it, and scoring with another is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Cut the centred square of so many pixels a side; a picture smaller than that on either
    /// side stays whole.
    #[serde(default)]
    pub centre_crop: Option<u32>,
    /// Then resize to a square of so many pixels, whatever the proportions, bilinear with
    /// antialiasing as Pillow's `BILINEAR`.
    #[serde(default)]
    pub resize: Option<u32>,
    /// Last, after the cut to the network's size.
    pub standardisation: Standardisation,
}

impl Recipe {
    /// Names that [`Recipe::named`] knows.
    pub const NAMES: [&str; 3] = ["reference", "facenet-fixed-160", "facenet-prewhiten-160"];

    /// The recipe of this name, or `None`.
    ///
    /// - `reference`: no crop, no resize, per-image: what the reference's training does
    /// - `facenet-fixed-160`: centre crop 150, resize 160, fixed: the published 2018 models on LFW
    /// - `facenet-prewhiten-160`: the same, per-image
    pub fn named(name: &str) -> Option<Self> {
        let with = |crop_and_size: Option<(u32, u32)>, standardisation| Self {
            centre_crop: crop_and_size.map(|(crop, _)| crop),
            resize: crop_and_size.map(|(_, size)| size),
            standardisation,
        };
        match name {
            "reference" => Some(with(None, Standardisation::PerImage)),
            "facenet-fixed-160" => Some(with(Some((150, 160)), Standardisation::Fixed)),
            "facenet-prewhiten-160" => Some(with(Some((150, 160)), Standardisation::PerImage)),
            _ => None,
        }
    }

    /// The recipe of this name, or in the file of this name.
    ///
    /// # Errors
    /// [`DatasetError::Recipe`] when it is neither, and as [`Recipe::load`].
    pub fn from_name_or_file(name_or_file: &str) -> Result<Self, DatasetError> {
        if let Some(recipe) = Self::named(name_or_file) {
            return Ok(recipe);
        }
        let path = Path::new(name_or_file);
        if path.exists() {
            return Self::load(path);
        }
        let names = Self::NAMES.join(", ");
        Err(wrong(
            name_or_file,
            format!("no recipe and no file of this name, expected {names}, or a TOML or JSON file"),
        ))
    }

    /// Reads a recipe file: JSON when it starts with `{`, TOML otherwise.
    ///
    /// # Errors
    /// [`DatasetError::Read`] when it cannot be read; [`DatasetError::Recipe`] as
    /// [`Recipe::parse`].
    pub fn load(path: &Path) -> Result<Self, DatasetError> {
        let read = |source| DatasetError::Read {
            path: path.to_owned(),
            source,
        };
        let origin = path.display().to_string();
        if std::fs::metadata(path).map_err(read)?.len() > MAX_FILE {
            return Err(wrong(&origin, "far too long for a recipe".to_owned()));
        }
        let text = std::fs::read(path).map_err(read)?;
        let text = String::from_utf8(text).map_err(|_| {
            wrong(
                &origin,
                "no UTF-8 text; write the recipe as TOML or JSON".into(),
            )
        })?;
        Self::parse(&text, &origin)
    }

    /// Parses a recipe: JSON when it starts with `{`, TOML otherwise.
    ///
    /// - `origin`: what errors call it
    ///
    /// # Errors
    /// [`DatasetError::Recipe`] for a syntax error, an unknown or missing field, or a size
    /// outside `1..=8192`.
    pub fn parse(text: &str, origin: &str) -> Result<Self, DatasetError> {
        let recipe: Self = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| malformed(origin, &error.to_string()))?
        } else {
            toml::from_str(text).map_err(|error| malformed(origin, &in_line(text, &error)))?
        };
        recipe.check(origin)?;
        Ok(recipe)
    }

    /// Refuses sizes that no picture can be brought to.
    ///
    /// # Errors
    /// [`DatasetError::Recipe`] for a size outside `1..=8192`; `origin` is what it calls the
    /// recipe.
    pub fn check(&self, origin: &str) -> Result<(), DatasetError> {
        for (field, size) in [("centre_crop", self.centre_crop), ("resize", self.resize)] {
            if let Some(size) = size
                && !(1..=MAX_SIDE).contains(&size)
            {
                let problem = format!("{field} is {size}, expected 1 to {MAX_SIDE} pixels");
                return Err(wrong(origin, problem));
            }
        }
        Ok(())
    }
}

fn wrong(origin: &str, problem: String) -> DatasetError {
    DatasetError::Recipe {
        origin: origin.to_owned(),
        problem,
    }
}

fn malformed(origin: &str, problem: &str) -> DatasetError {
    wrong(
        origin,
        format!(
            "{problem}; a recipe has centre_crop, resize (pixels, optional) and \
             standardisation (\"per-image\" or \"fixed\")"
        ),
    )
}

/// TOML's message, which alone fits a line, and where it applies.
fn in_line(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', ", ");
    let line = error
        .span()
        .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    line.map_or(message.clone(), |line| format!("line {line}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Recipe, &str>) {
        let found = Recipe::parse(text, "r").map_err(|error| error.to_string());
        match (found, expected) {
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => assert_eq!(found, expected.map_err(str::to_owned)),
        }
    }

    fn fixed_160() -> Recipe {
        Recipe::named("facenet-fixed-160").expect("a known name")
    }

    #[test]
    fn toml_and_json_say_the_same() {
        check(
            "centre_crop = 150\nresize = 160\nstandardisation = \"fixed\"",
            Ok(fixed_160()),
        );
        check(
            r#" {"centre_crop": 150, "resize": 160, "standardisation": "fixed"}"#,
            Ok(fixed_160()),
        );
    }

    #[test]
    fn crop_and_size_are_optional() {
        let reference = || Ok(Recipe::named("reference").expect("a known name"));
        check("standardisation = \"per-image\"", reference());
        check(
            r#"{"resize": null, "standardisation": "per-image"}"#,
            reference(),
        );
    }

    #[test]
    fn a_misspelt_field_is_named_with_its_line() {
        let text = "standardisation = \"fixed\"\ncenter_crop = 150";
        check(text, Err("r: line 2: unknown field `center_crop`"));
        check(
            r#"{"standardization": "fixed"}"#,
            Err("unknown field `standardization`"),
        );
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        check("resize = 160", Err("missing field `standardisation`"));
        check(
            "standardisation = \"whiten\"",
            Err("unknown variant `whiten`"),
        );
        check("standardisation", Err("line 1"));
    }

    #[test]
    fn sizes_have_bounds() {
        let with = |size: &str| format!("resize = {size}\nstandardisation = \"fixed\"");
        check(&with("0"), Err("resize is 0, expected 1 to 8192"));
        check(&with("8193"), Err("resize is 8193"));
        check(&with("-1"), Err("line 1"));
        assert!(Recipe::parse(&with("8192"), "r").is_ok());
    }

    #[test]
    fn every_name_is_known_and_no_other() {
        for name in Recipe::NAMES {
            assert_eq!(Recipe::from_name_or_file(name).ok(), Recipe::named(name));
        }
        let error = Recipe::from_name_or_file("facenet").expect_err("not a name");
        assert_eq!(
            error.to_string(),
            "facenet: no recipe and no file of this name, expected reference, \
             facenet-fixed-160, facenet-prewhiten-160, or a TOML or JSON file"
        );
    }
}
