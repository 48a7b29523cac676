//! A published model as a model folder of ours.

use std::path::{Path, PathBuf};

use facenet_dataset::Recipe;
use facenet_model::{FORMAT, Imported, PublishedFile, SavedConfig, save_model};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::TrainError;

/// Recipe of published models where none is given: that of the 2018 ones.
pub const PUBLISHED_RECIPE: &str = "facenet-fixed-160";
/// Side of the input where neither a flag nor the recipe says it.
const PUBLISHED_SIDE: usize = 160;

/// Longest note of a recipe that is read, in bytes, and characters of what is wrong with it that are
/// told.
const MAX_NOTE: usize = 1 << 16;
const MAX_REASON: usize = 200;

/// A file to import.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The published file.
    pub file: PathBuf,
    /// The model folder to write.
    pub output: PathBuf,
    /// What the model expects of a picture; `None` takes what the file says, as ours
    /// do, or [`PUBLISHED_RECIPE`] for a network of its size.
    pub recipe: Option<Recipe>,
    /// Side of the input; `None` takes the file's, the recipe's, or 160.
    pub image_size: Option<usize>,
}

/// What a `.pt` or safetensors file of ours says of the network's input, in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InputNote {
    /// Side, in pixels.
    pub(crate) image_size: usize,
    pub(crate) recipe: Recipe,
}

impl InputNote {
    /// That of the file at `path`, if it has one.
    fn of(file: &PublishedFile, path: &Path) -> Result<Option<Self>, TrainError> {
        let Some(note) = file.note() else {
            return Ok(None);
        };
        let other = |problem: String| {
            // It may hold a piece of the file.
            let problem: String = problem.chars().take(MAX_REASON).collect();
            TrainError::checkpoint(
                path,
                format!(
                    "found a recipe of another form ({})",
                    problem.escape_debug()
                ),
                "give --recipe, and export the model anew",
            )
        };
        if note.len() > MAX_NOTE {
            let problem = format!("{} bytes, expected at most {MAX_NOTE}", note.len());
            return Err(other(problem));
        }
        let note: Self = serde_json::from_slice(&note).map_err(|error| other(error.to_string()))?;
        let checked = note.recipe.check("recipe");
        checked.map_err(|error| other(error.to_string()))?;
        Ok(Some(note))
    }
}

/// Where the recipe of an imported model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecipeOrigin {
    /// It was given.
    Given,
    /// The file says it.
    File,
    /// Neither: it is [`PUBLISHED_RECIPE`].
    Assumed,
}

/// What an imported network is to be given.
struct Input {
    recipe: Recipe,
    origin: RecipeOrigin,
    /// What the file says in words of ours.
    noted_side: Option<usize>,
}

impl Input {
    fn of(request: &ImportRequest, file: &PublishedFile) -> Result<Self, TrainError> {
        // A recipe that was given is the way out for a file whose own cannot be read.
        let note = match (&request.recipe, InputNote::of(file, &request.file)) {
            (Some(_), note) => note.unwrap_or(None),
            (None, note) => note?,
        };
        let noted_side = note.as_ref().map(|note| note.image_size);
        let of_file = note.map(|note| (note.recipe, RecipeOrigin::File));
        let given = request.recipe.clone();
        let known = given
            .map(|recipe| (recipe, RecipeOrigin::Given))
            .or(of_file);
        let (recipe, origin) = known.unwrap_or((published(), RecipeOrigin::Assumed));
        Ok(Self {
            recipe,
            origin,
            noted_side,
        })
    }

    /// The side that a network is taken to have whose tensors do not say it.
    fn side(&self, asked: Option<usize>) -> usize {
        let of_recipe = self.recipe.resize.map(|side| side as usize);
        let known = asked.or(self.noted_side).or(of_recipe);
        known.unwrap_or(PUBLISHED_SIDE)
    }

    /// Refuses what contradicts the side that was found.
    fn check(&self, request: &ImportRequest, found: usize) -> Result<(), TrainError> {
        let file = request.file.display();
        let said = self.noted_side.unwrap_or(found);
        if let Some(asked) = request.image_size
            && (asked != found || asked != said)
        {
            let problem =
                format!("found {asked}, but {file} is a network for {said} pixels; drop it");
            return Err(TrainError::config("--image-size", problem));
        }
        if said != found {
            let what =
                format!("found a network for {found} pixels that calls itself one for {said}");
            return Err(TrainError::checkpoint(
                &request.file,
                what,
                "export the model anew",
            ));
        }
        let made = self.recipe.resize.map(|side| side as usize);
        if self.origin == RecipeOrigin::Assumed && made != Some(found) {
            let problem = format!(
                "{file} does not say it and is a network for {found} pixels, expected {PUBLISHED_SIDE} \
                 for {PUBLISHED_RECIPE}, which is taken where none is given; give the recipe that the \
                 model was trained with, by name or as a file"
            );
            return Err(TrainError::config("--recipe", problem));
        }
        Ok(())
    }
}

/// What was imported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImportReport {
    /// The model folder.
    pub output: PathBuf,
    /// The kind of file.
    pub form: &'static str,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The network.
    pub architecture: &'static str,
    /// Side of the input, in pixels.
    pub image_size: usize,
    /// Numbers of an embedding.
    pub embedding_size: usize,
    /// Numbers that training moves.
    pub parameters: usize,
    /// Whether batch norms came folded into convolutions.
    pub has_folded_norms: bool,
    /// What it expects of a picture.
    pub recipe: Recipe,
    /// Who says so.
    pub recipe_origin: RecipeOrigin,
    /// Tensors of the file that an embedder has no use for.
    pub ignored: Vec<String>,
}

/// Reads a published model and writes it as a model folder: whole, or not at all.
///
/// # Errors
/// [`TrainError::Model`] for a file that is none, or another network than those here, and where
/// the folder's name is taken; [`TrainError::Config`] for a side that the file contradicts, and where a
/// recipe must be given.
pub fn import(request: &ImportRequest) -> Result<ImportReport, TrainError> {
    let file = PublishedFile::open(&request.file)?;
    let input = Input::of(request, &file)?;
    let imported = file.import(input.side(request.image_size))?;
    drop(file);
    input.check(request, imported.model.config().image_size)?;
    let (report, config) = describe(request, imported_parts(&imported, input))?;
    let card = card(&report);
    save_model(&request.output, &imported.model.state(), &config, &card)?;
    Ok(report)
}

/// [`PUBLISHED_RECIPE`].
fn published() -> Recipe {
    Recipe::named(PUBLISHED_RECIPE).expect("a name of `Recipe`'s, as a test here says")
}

/// The report on an imported model, but for where it went.
fn imported_parts(
    imported: &Imported,
    input: Input,
) -> (ImportReport, &facenet_model::ModelConfig) {
    let config = imported.model.config();
    let parameters = imported.model.parameters();
    let report = ImportReport {
        output: PathBuf::new(),
        form: imported.form.name(),
        sha256: imported.sha256.clone(),
        architecture: config.architecture.name(),
        image_size: config.image_size,
        embedding_size: config.embedding_size,
        parameters: parameters.iter().map(|p| p.var.elem_count()).sum(),
        has_folded_norms: config.has_folded_norms,
        recipe: input.recipe,
        recipe_origin: input.origin,
        ignored: imported.report.tolerated.clone(),
    };
    (report, config)
}

/// The report, and what `config.json` says.
fn describe(
    request: &ImportRequest,
    (report, model): (ImportReport, &facenet_model::ModelConfig),
) -> Result<(ImportReport, SavedConfig), TrainError> {
    let report = ImportReport {
        output: request.output.clone(),
        ..report
    };
    let recipe = serde_json::to_value(&report.recipe).map_err(|error| {
        let what = format!("the recipe cannot be written ({error})");
        TrainError::checkpoint(&request.output, what, "give another recipe")
    })?;
    let config = SavedConfig {
        format: FORMAT,
        model: model.clone(),
        recipe,
        training: json!({ "imported": {
            "file": file_name(&request.file),
            "form": report.form,
            "sha256": report.sha256,
        } }),
    };
    Ok((report, config))
}

/// The last part of a path: no folder of this machine goes into a model.
fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The README of an imported model.
fn card(report: &ImportReport) -> String {
    let norms = if report.has_folded_norms {
        "Its batch norms came folded into convolutions: a norm adds a bias and has no statistics of \
         data.\n"
    } else {
        ""
    };
    let ImportReport {
        architecture,
        image_size: side,
        embedding_size: dim,
        form,
        sha256,
        ..
    } = report;
    format!(
        "# {architecture} face embedder\n\n\
         Maps a {side} x {side} RGB face crop to a unit vector of {dim} numbers; two faces are \
         compared by squared L2 distance, 0 to 4.\n\n\
         ## Origin\n\n\
         Imported from a {form} with SHA-256 `{sha256}`; its licence is its authors'.\n{norms}\n\
         ## Input\n\n\
         {}; scoring with another recipe is refused unless asked for.\n\n\
         ## Limits\n\nA model reflects the people it was trained on and says nothing about others \
         until it is measured on them. Embeddings of faces are biometric data: keep them as \
         carefully as the pictures.\n",
        in_words(&report.recipe)
    )
}

fn in_words(recipe: &Recipe) -> String {
    let crop = recipe
        .centre_crop
        .map(|side| format!("centre crop {side}, "));
    let resize = recipe.resize.map(|side| format!("resize {side}, "));
    let standardisation = match recipe.standardisation {
        facenet_dataset::Standardisation::PerImage => "per-image standardisation",
        facenet_dataset::Standardisation::Fixed => "(x - 127.5) / 128",
    };
    let (crop, resize) = (crop.unwrap_or_default(), resize.unwrap_or_default());
    format!("{crop}{resize}{standardisation}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use facenet_model::{
        Architecture, Model, ModelConfig, tensors_to_bytes, tensors_to_torch, tensors_with_note,
        torch_with_note,
    };

    /// What importing a network for 32 pixels gives: its recipe and who said so, of either form of
    /// file.
    fn imported(
        note: Option<&str>,
        recipe: Option<&str>,
        image_size: Option<usize>,
    ) -> Result<(Recipe, RecipeOrigin), String> {
        let config = ModelConfig::new(Architecture::MobileFaceNet, 32, 8);
        let state = Model::new(config, 1, DType::F32, &Device::Cpu).map(|model| model.state());
        let state = state.expect("a size it can have");
        let forms = match note {
            Some(note) => [
                tensors_with_note(&state, note),
                torch_with_note(&state, note),
            ],
            None => [tensors_to_bytes(&state), tensors_to_torch(&state)],
        };
        let [found, other] = forms.map(|bytes| {
            let bytes = bytes.expect("encodable");
            imported_from(&bytes, recipe, image_size)
        });
        assert_eq!(found, other, "one form and the other");
        found
    }

    fn imported_from(
        bytes: &[u8],
        recipe: Option<&str>,
        image_size: Option<usize>,
    ) -> Result<(Recipe, RecipeOrigin), String> {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let file = scratch.path().join("file");
        std::fs::write(&file, bytes).expect("writable");
        let output = scratch.path().join("model");
        let report = import(&ImportRequest {
            file,
            output: output.clone(),
            recipe: recipe.map(|name| Recipe::named(name).expect("a known name")),
            image_size,
        });
        assert_eq!(report.is_ok(), output.exists(), "whole, or not at all");
        let folder = scratch.path().display().to_string();
        let report = report.map_err(|error| error.to_string().replace(&folder, ""))?;
        Ok((report.recipe, report.recipe_origin))
    }

    const NOTE: &str = r#"{"image_size":32,"recipe":{"resize":40,"standardisation":"per-image"}}"#;

    #[track_caller]
    fn check_refused(found: Result<(Recipe, RecipeOrigin), String>, expected: &[&str]) {
        let message = found.expect_err("refused");
        for part in expected {
            assert!(message.contains(part), "{message:?} lacks {part:?}");
        }
    }

    #[test]
    fn a_recipe_is_the_one_given_or_the_files_own() {
        let (recipe, origin) = imported(Some(NOTE), None, Some(32)).expect("its own");
        assert_eq!((recipe.resize, recipe.centre_crop), (Some(40), None));
        assert_eq!(origin, RecipeOrigin::File);
        let given = Recipe::named("reference").expect("a known name");
        for note in [Some(NOTE), Some("no JSON"), None] {
            let found = imported(note, Some("reference"), None).expect("given");
            assert_eq!(found, (given.clone(), RecipeOrigin::Given));
        }
    }

    #[test]
    fn a_recipe_that_would_be_wrong_is_asked_for() {
        check_refused(
            imported(None, None, None),
            &[
                "--recipe: ",
                "a network for 32 pixels, expected 160",
                "give the recipe",
            ],
        );
        let broken = NOTE.replace("per-image", "a\\u001b");
        check_refused(
            imported(Some(&broken), None, None),
            &[
                "found a recipe of another form",
                "a\\u{1b}",
                "give --recipe",
            ],
        );
        let long = " ".repeat(MAX_NOTE) + NOTE;
        check_refused(
            imported(Some(&long), None, None),
            &["65606 bytes, expected at most 65536"],
        );
        let told = NOTE.replace("per-image", &"a".repeat(1000));
        let message = imported(Some(&told), None, None).expect_err("refused");
        assert!(message.len() < 400, "{message}");
    }

    #[test]
    fn a_side_that_the_file_contradicts_is_refused() {
        for (note, recipe) in [(Some(NOTE), None), (None, Some("reference"))] {
            check_refused(
                imported(note, recipe, Some(48)),
                &[
                    "--image-size: found 48",
                    "is a network for 32 pixels; drop it",
                ],
            );
        }
        let lie = NOTE.replace(":32", ":48");
        check_refused(
            imported(Some(&lie), None, None),
            &["a network for 32 pixels that calls itself one for 48"],
        );
    }

    #[test]
    fn a_file_that_says_nothing_is_taken_for_the_published_kind() {
        let request = ImportRequest {
            file: "nowhere.pt".into(),
            output: "models/a".into(),
            recipe: None,
            image_size: None,
        };
        let scratch = tempfile::NamedTempFile::new().expect("a scratch file");
        std::fs::write(scratch.path(), "no note").expect("writable");
        let file = PublishedFile::open(scratch.path()).expect("readable");
        let input = Input::of(&request, &file).expect("no note");
        assert_eq!(input.side(None), PUBLISHED_SIDE);
        assert_eq!(
            (input.recipe.clone(), input.origin),
            (published(), RecipeOrigin::Assumed)
        );
        input.check(&request, 160).expect("its side");
    }

    #[test]
    fn a_card_and_a_configuration_say_where_a_model_came_from_and_name_no_folder() {
        let request = ImportRequest {
            file: "secret/place/graph.pb".into(),
            output: "models/a".into(),
            recipe: None,
            image_size: None,
        };
        let mut model = ModelConfig::new(Architecture::InceptionResnetV1, 160, 512);
        model.has_folded_norms = true;
        let report = ImportReport {
            output: PathBuf::new(),
            form: "TensorFlow frozen graph",
            sha256: "704afe".to_owned(),
            architecture: model.architecture.name(),
            image_size: 160,
            embedding_size: 512,
            parameters: 7,
            has_folded_norms: true,
            recipe: published(),
            recipe_origin: RecipeOrigin::Assumed,
            ignored: Vec::new(),
        };
        let (report, config) = describe(&request, (report, &model)).expect("plain values");
        assert_eq!(config.recipe["centre_crop"], 150);
        assert_eq!(config.training["imported"]["file"], "graph.pb");
        let card = card(&report);
        for part in [
            "centre crop 150, resize 160, (x - 127.5) / 128",
            "704afe",
            "folded",
        ] {
            assert!(card.contains(part), "{card}");
        }
        let told = format!("{card}{}", config.training);
        assert!(
            !told.contains("secret") && !told.contains("models/a"),
            "{told}"
        );
    }
}
