//! Thresholds that were measured for a model, in its folder.

use std::fmt::Write as _;
use std::path::Path;

use facenet_files::{Disk, FileSystem, read_regular, replace};
use facenet_gallery::Source;
use facenet_lfw::OperatingPoint;
use facenet_model::CALIBRATION_FILE;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// The format that is written, and the only one that is read.
const FORMAT: u32 = 1;
/// Longest file that is read, in bytes: a point has some 500.
const MAX_FILE: u64 = 1 << 20;

/// What `calibration.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// 1.
    pub format: u32,
    /// SHA-256 of the model's weights, in hexadecimal.
    pub model: String,
    /// How pictures were prepared.
    pub recipe: String,
    /// People whose images were compared.
    pub people: usize,
    /// Their images.
    pub images: usize,
    /// Level of the intervals.
    pub confidence: f64,
    /// The thresholds, as they were asked for: the first is used where nobody says which.
    pub points: Vec<OperatingPoint>,
}

impl Calibration {
    /// A calibration of the model that made the embeddings.
    pub(super) fn new(
        made_by: &Source,
        (people, images): (usize, usize),
        points: Vec<OperatingPoint>,
    ) -> Self {
        Self {
            format: FORMAT,
            model: hexadecimal(&made_by.model),
            recipe: made_by.recipe.clone(),
            people,
            images,
            confidence: 0.95,
            points,
        }
    }

    /// Reads the calibration of the model in `dir`; `None` where it has none.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] for a file that is damaged, of another format, or about other weights
    /// or pictures prepared otherwise: its thresholds would mean nothing.
    pub fn load(dir: &Path, made_by: &Source) -> Result<Option<Self>, TrainError> {
        let path = dir.join(CALIBRATION_FILE);
        let wrong = |what: String| TrainError::checkpoint(&path, what, "calibrate the model anew");
        let bytes = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Ok(meta) if meta.len() > MAX_FILE => {
                return Err(wrong(format!(
                    "found {} bytes, expected {MAX_FILE} at most",
                    meta.len()
                )));
            }
            _ => read_regular(&path).map_err(|e| wrong(format!("cannot be read ({e})")))?,
        };
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|e| wrong(format!("is no JSON ({e})")))?;
        if value["format"] != FORMAT {
            let found = &value["format"];
            return Err(wrong(format!("found format {found}, expected {FORMAT}")));
        }
        let found: Self =
            serde_json::from_value(value).map_err(|e| wrong(format!("is no calibration ({e})")))?;
        found.check(made_by).map_err(wrong)?;
        Ok(Some(found))
    }

    /// Whether it is about these embeddings, and has what is used of it.
    fn check(&self, made_by: &Source) -> Result<(), String> {
        if self.model != hexadecimal(&made_by.model) {
            return Err("was measured for other weights than the folder holds now".to_owned());
        }
        if self.recipe != made_by.recipe {
            return Err(format!(
                "was measured on pictures prepared by {}, expected {}",
                self.recipe, made_by.recipe
            ));
        }
        if self.points.is_empty() {
            return Err("has no threshold".to_owned());
        }
        let is_sound = |point: &OperatingPoint| {
            (0.0..=16.0).contains(&point.threshold) && point.far_target > 0.0
        };
        match self.points.iter().find(|point| !is_sound(point)) {
            Some(point) => Err(format!("has a threshold of {}", point.threshold)),
            None => Ok(()),
        }
    }

    /// Puts it into the model folder `dir`, whole or not at all.
    ///
    /// # Errors
    /// [`TrainError::File`] where the folder cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), TrainError> {
        self.save_on(&Disk, dir)
    }

    /// As [`save`](Self::save), on a file system of the caller's.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_on(&self, files: &dyn FileSystem, dir: &Path) -> Result<(), TrainError> {
        let path = dir.join(CALIBRATION_FILE);
        Ok(replace(files, &path, self.text().as_bytes())?)
    }

    fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("numbers and texts are JSON");
        text + "\n"
    }

    /// The lowest FAR that it has a threshold for.
    pub fn rarest(&self) -> Option<f64> {
        let rates = self.points.iter().map(|point| point.far_target);
        rates.min_by(f64::total_cmp)
    }

    /// The threshold for a FAR that was asked for, or the first.
    pub fn at(&self, far: Option<f64>) -> Option<&OperatingPoint> {
        match far {
            None => self.points.first(),
            Some(far) => self.points.iter().find(|point| point.far_target == far),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(model: u8) -> Source {
        Source {
            model: [model; 32],
            recipe: "32 pixels".to_owned(),
        }
    }

    fn point(far_target: f64, threshold: f64) -> OperatingPoint {
        OperatingPoint {
            far_target,
            threshold,
            threshold_interval: [threshold, threshold],
            far: far_target,
            far_interval: [0.0, 1.0],
            accepted_different: 10,
            n_different: 1000,
            n_people_pairs: 1000,
            val: None,
            val_interval: None,
            accepted_same: 0,
            n_same: 0,
        }
    }

    #[test]
    fn a_calibration_is_read_as_it_was_written_and_for_its_model_only() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let load = |by: &Source| Calibration::load(dir.path(), by);
        assert_eq!(load(&source(1)).expect("none is fine"), None);
        let points = vec![point(0.01, 1.1), point(0.001, 0.7)];
        let written = Calibration::new(&source(1), (50, 100), points);
        written.save(dir.path()).expect("writable");
        let found = load(&source(1)).expect("as written").expect("there");
        assert_eq!(found, written);
        let threshold = |far| found.at(far).map(|point| point.threshold);
        assert_eq!(threshold(None), Some(1.1));
        assert_eq!(
            (threshold(Some(0.001)), threshold(Some(0.5))),
            (Some(0.7), None)
        );
        assert_eq!(found.rarest(), Some(0.001));
        let other = load(&source(2)).expect_err("other weights").to_string();
        assert!(other.contains("other weights"), "{other}");
        let recipe = "64 pixels".to_owned();
        let other = load(&Source {
            recipe,
            ..source(1)
        })
        .expect_err("another recipe");
        assert!(
            other.to_string().contains("pictures prepared by 32 pixels"),
            "{other}"
        );
    }

    #[test]
    fn a_damaged_calibration_is_refused() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let good = Calibration::new(&source(1), (50, 100), vec![point(0.01, 1.1)]);
        let good = serde_json::to_string(&good).expect("JSON");
        for (text, says) in [
            ("{", "is no JSON"),
            ("{}", "found format null, expected 1"),
            (
                &good.replace("\"format\":1", "\"format\":2"),
                "found format 2",
            ),
            (
                &good.replace("\"people\"", "\"persons\""),
                "is no calibration",
            ),
            (&good.replace("1.1", "-1.0"), "has a threshold of -1"),
            (&" ".repeat(2 << 20), "expected 1048576 at most"),
        ] {
            std::fs::write(dir.path().join(CALIBRATION_FILE), text).expect("writable");
            let error = Calibration::load(dir.path(), &source(1)).expect_err(says);
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(error.exit_class().code(), 5);
        }
    }
}
