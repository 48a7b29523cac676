//! What a saved model says of itself.

use std::path::Path;

use facenet_dataset::Recipe;
use facenet_model::{CONFIG_FILE, LoadReport, ModelConfig, load_config};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::observer::{Event, Observer};

/// A saved model's network and the recipe it was trained with.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedModel {
    /// The network.
    pub model: ModelConfig,
    /// The preprocessing.
    pub recipe: Recipe,
}

/// Reads what the model folder `dir` says of itself, without its weights.
///
/// # Errors
/// [`TrainError::Model`] for a folder that is no model.
pub fn saved_model(dir: &Path) -> Result<SavedModel, TrainError> {
    let saved = load_config(dir)?;
    let other = |problem: String| {
        TrainError::checkpoint(
            &dir.join(CONFIG_FILE),
            format!("found a recipe of another form ({problem})"),
            "use the version that wrote it, or train again",
        )
    };
    let recipe: Recipe =
        serde_json::from_value(saved.recipe).map_err(|error| other(error.to_string()))?;
    recipe
        .check("recipe")
        .map_err(|error| other(error.to_string()))?;
    Ok(SavedModel {
        model: saved.model,
        recipe,
    })
}

/// Names the tensors of a model that nothing here uses.
pub(crate) fn warn_of_strays(dir: &Path, report: &LoadReport, observer: &mut dyn Observer) {
    if report.tolerated.is_empty() {
        return;
    }
    observer.event(&Event::Warning(&format!(
        "{}: ignored tensors of no use here: {}",
        dir.display(),
        report.tolerated.join(", ")
    )));
}

impl TrainConfig {
    /// Takes over a saved model's network, sizes, momentum of batch norms and recipe; folded batch norms
    /// are frozen, unless they are to be unfolded.
    pub fn take_model(&mut self, saved: &SavedModel) {
        self.model_def = saved.model.architecture;
        self.image_size = saved.model.image_size;
        self.embedding_size = saved.model.embedding_size;
        self.bn_momentum = saved.model.bn_momentum;
        self.centre_crop = saved.recipe.centre_crop;
        self.resize = saved.recipe.resize;
        self.standardisation = saved.recipe.standardisation;
        self.folded_bn = saved.model.has_folded_norms;
        self.freeze_bn |= self.folded_bn && !self.unfold_bn;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facenet_dataset::Standardisation;
    use facenet_model::Architecture;

    #[test]
    fn a_run_takes_over_a_models_sizes_and_recipe() {
        let mut saved = SavedModel {
            model: ModelConfig::new(Architecture::InceptionResnetV1, 160, 512),
            recipe: Recipe {
                centre_crop: Some(150),
                resize: Some(160),
                standardisation: Standardisation::Fixed,
            },
        };
        saved.model.bn_momentum = 0.005;
        let mut config = TrainConfig::demo();
        config.take_model(&saved);
        assert_eq!(config.model().bn_momentum, 0.005);
        assert_eq!(config.recipe(), saved.recipe);
        assert_eq!((config.image_size, config.embedding_size), (160, 512));
        assert_eq!(config.model_def, Architecture::InceptionResnetV1);
        let norms = |config: &TrainConfig| (config.folded_bn, config.freeze_bn);
        assert_eq!(norms(&config), (false, false));
        saved.model.has_folded_norms = true;
        config.take_model(&saved);
        assert_eq!(norms(&config), (true, true));
        let mut unfolding = TrainConfig {
            unfold_bn: true,
            ..TrainConfig::demo()
        };
        unfolding.take_model(&saved);
        assert_eq!(norms(&unfolding), (true, false));
    }
}
