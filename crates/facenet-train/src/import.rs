//! A published model as a model folder of ours.

use std::path::{Path, PathBuf};

use facenet_dataset::Recipe;
use facenet_model::{FORMAT, Imported, SavedConfig, import_file, save_model};
use serde::Serialize;
use serde_json::json;

use crate::error::TrainError;

/// Recipe of published models where none is given: that of the 2018 ones.
pub const PUBLISHED_RECIPE: &str = "facenet-fixed-160";
/// Side of the input where neither a flag nor the recipe says it.
const PUBLISHED_SIDE: usize = 160;

/// A file to import.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The published file.
    pub file: PathBuf,
    /// The model folder to write.
    pub output: PathBuf,
    /// What the model expects of a picture: no file says it.
    pub recipe: Recipe,
    /// Side of the input; `None` takes the recipe's, or 160.
    pub image_size: Option<usize>,
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
    /// Tensors of the file that an embedder has no use for.
    pub ignored: Vec<String>,
}

/// Reads a published model and writes it as a model folder: whole, or not at all.
///
/// # Errors
/// [`TrainError::Model`] for a file that is none, or another network than those here, and where
/// the folder's name is taken.
pub fn import(request: &ImportRequest) -> Result<ImportReport, TrainError> {
    let of_recipe = request.recipe.resize.map(|side| side as usize);
    let side = request.image_size.or(of_recipe).unwrap_or(PUBLISHED_SIDE);
    let imported = import_file(&request.file, side)?;
    let (report, config) = describe(request, imported_parts(&imported))?;
    let card = card(&report, &request.recipe);
    save_model(&request.output, &imported.model.state(), &config, &card)?;
    Ok(report)
}

/// The report on an imported model, but for where it went.
fn imported_parts(imported: &Imported) -> (ImportReport, &facenet_model::ModelConfig) {
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
    let recipe = serde_json::to_value(&request.recipe).map_err(|error| {
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
fn card(report: &ImportReport, recipe: &Recipe) -> String {
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
        in_words(recipe)
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
    use facenet_model::{Architecture, ModelConfig};

    #[test]
    fn a_card_and_a_configuration_say_where_a_model_came_from_and_name_no_folder() {
        let recipe = Recipe::named(PUBLISHED_RECIPE).expect("a known name");
        let request = ImportRequest {
            file: "secret/place/graph.pb".into(),
            output: "models/a".into(),
            recipe: recipe.clone(),
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
            ignored: Vec::new(),
        };
        let (report, config) = describe(&request, (report, &model)).expect("plain values");
        assert_eq!(config.recipe["centre_crop"], 150);
        assert_eq!(config.training["imported"]["file"], "graph.pb");
        let card = card(&report, &recipe);
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
