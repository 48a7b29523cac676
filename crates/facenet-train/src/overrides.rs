//! What a resumed run may be given.

use crate::config::TrainConfig;

/// Settings that a resumed run may change: but for `config`, none of them changes a step already
/// made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResumeOverrides {
    /// A whole configuration in place of the run's own, before the other fields go over it: the run
    /// is then no longer the one that it was. What its tensors do not fit is refused.
    pub config: Option<Box<TrainConfig>>,
    /// Epochs in all.
    pub max_nrof_epochs: Option<u64>,
    /// Learning rate of the steps to come; zero or negative reads the schedule file.
    pub learning_rate: Option<f64>,
    /// `cpu` or `cuda:N`.
    pub device: Option<String>,
    /// Threads that compute.
    pub threads: Option<usize>,
    /// Threads that decode images.
    pub loader_threads: Option<usize>,
    /// Steps between checkpoints.
    pub checkpoint_every: Option<u64>,
}

impl ResumeOverrides {
    /// Puts what is given into a configuration.
    pub(crate) fn apply(&self, config: &mut TrainConfig) {
        if let Some(other) = &self.config {
            config.clone_from(other);
        }
        if let Some(epochs) = self.max_nrof_epochs {
            config.max_nrof_epochs = epochs;
        }
        if let Some(rate) = self.learning_rate {
            config.learning_rate = rate;
        }
        if let Some(device) = &self.device {
            config.device.clone_from(device);
        }
        if self.threads.is_some() {
            config.threads = self.threads;
        }
        if let Some(threads) = self.loader_threads {
            config.loader_threads = threads;
        }
        if self.checkpoint_every.is_some() {
            config.checkpoint_every = self.checkpoint_every;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_settings_go_over_a_whole_configuration() {
        let other = TrainConfig {
            seed: 7,
            max_nrof_epochs: 3,
            ..TrainConfig::demo()
        };
        let overrides = ResumeOverrides {
            config: Some(Box::new(other)),
            max_nrof_epochs: Some(9),
            ..ResumeOverrides::default()
        };
        let mut config = TrainConfig::demo();
        overrides.apply(&mut config);
        assert_eq!((config.seed, config.max_nrof_epochs), (7, 9));
        let before = config.clone();
        ResumeOverrides::default().apply(&mut config);
        assert_eq!(config, before);
    }
}
