//! A model's tensors by name: reading them, and putting values into them.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use crate::config::{Architecture, ModelConfig};
use crate::error::ModelError;
use crate::model::Model;
use crate::store::{Entry, problem};

/// A tensor that training moves.
#[derive(Clone, Copy, Debug)]
pub struct Parameter<'a> {
    /// Its name.
    pub name: &'a str,
    /// The variable.
    pub var: &'a Var,
    /// Whether weight decay pulls on it: weights of convolutions and linear layers.
    pub decays: bool,
}

impl Model {
    /// The tensors that training moves, by name.
    pub fn parameters(&self) -> Vec<Parameter<'_>> {
        let trained = self.entries.iter().filter(|(_, entry)| entry.is_trained);
        trained
            .map(|(name, entry)| Parameter {
                name,
                var: &entry.var,
                decays: entry.decays,
            })
            .collect()
    }

    /// All tensors by name: parameters and running statistics. They share memory with the
    /// model: what training changes is seen through them.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let tensors = self.entries.iter();
        tensors
            .map(|(name, entry)| (name.clone(), entry.var.as_detached_tensor()))
            .collect()
    }

    /// Copies values into all tensors.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] unless names and shapes are exactly this model's, and
    /// [`ModelError::Candle`] where the device has no memory for the copies. Nothing is changed
    /// before all is known to fit.
    pub fn set_state(&self, state: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        self.assign(state, |_| true)
    }

    /// A copy of the running statistics, by name.
    ///
    /// # Errors
    /// [`ModelError::Candle`] where the device has no memory for it.
    pub fn running_statistics(&self) -> Result<BTreeMap<String, Tensor>, ModelError> {
        let statistics = self.entries.iter().filter(|(_, entry)| !entry.is_trained);
        statistics
            .map(|(name, entry)| Ok((name.clone(), entry.var.as_detached_tensor().copy()?)))
            .collect()
    }

    /// Copies values into the running statistics.
    ///
    /// # Errors
    /// As [`Model::set_state`].
    pub fn set_running_statistics(
        &self,
        statistics: &BTreeMap<String, Tensor>,
    ) -> Result<(), ModelError> {
        self.assign(statistics, |entry| !entry.is_trained)
    }

    /// Copies `values` into exactly those tensors that `is_meant`.
    fn assign(
        &self,
        values: &BTreeMap<String, Tensor>,
        is_meant: impl Fn(&Entry) -> bool,
    ) -> Result<(), ModelError> {
        let meant = || self.entries.iter().filter(|(_, entry)| is_meant(entry));
        let strangers = values
            .keys()
            .filter(|name| !self.entries.get(*name).is_some_and(&is_meant));
        let mut problems: Vec<_> = strangers.map(|name| stranger(name)).collect();
        problems.extend(
            meant().filter_map(|(name, entry)| problem(name, entry.var.shape(), values.get(name))),
        );
        if !problems.is_empty() {
            return Err(misfit(&self.config, None, &problems));
        }
        // Copies first: a value may be a view of the very tensor that it is put into.
        let copy = |(name, entry): (&String, &Entry)| {
            let value = values[name].to_device(&self.device)?;
            value.to_dtype(entry.var.dtype())?.force_contiguous()
        };
        let copies: candle_core::Result<Vec<_>> = meant().map(copy).collect();
        for ((_, entry), value) in meant().zip(copies?) {
            entry.var.set(&value)?;
        }
        Ok(())
    }
}

/// The problem of a tensor that the network does not have.
pub(crate) fn stranger(name: &str) -> String {
    // The name is the file's: it may hold a line break or what a terminal obeys.
    format!("{} is not part of it", name.escape_debug())
}

/// A tensor that each network alone has.
const MARKS: [(Architecture, &str); 3] = [
    (Architecture::InceptionResnetV1, "conv2d_1a.conv.weight"),
    (Architecture::MobileFaceNet, "conv2_dw.conv.weight"),
    (Architecture::Tiny, "stem.conv.weight"),
];

/// What the tensors seem to be instead of the network that `config` describes.
pub(crate) fn diagnosis(
    config: &ModelConfig,
    tensors: &BTreeMap<String, Tensor>,
) -> Option<String> {
    let others = MARKS
        .into_iter()
        .filter(|(of, _)| *of != config.architecture);
    let mut found = others.filter(|(_, mark)| tensors.contains_key(*mark));
    if let Some((other, _)) = found.next() {
        return Some(format!("these are tensors of {other}"));
    }
    let found = tensors.get("last_linear.weight")?.dims().first()?;
    (*found != config.embedding_size).then(|| format!("these tensors make embeddings of {found}"))
}

/// The most problems that a message lists of tensors of our own, whose model is known.
const LISTED: usize = 5;
/// The most problems that are listed of a foreign file: one for each tensor of the larger network, and
/// as many left over.
pub(crate) const FOREIGN_LISTED: usize = 2048;

pub(crate) fn misfit(
    config: &ModelConfig,
    diagnosis: Option<String>,
    problems: &[String],
) -> ModelError {
    ModelError::Tensors {
        architecture: config.architecture,
        embedding_size: config.embedding_size,
        problem: listed(diagnosis, problems, LISTED),
    }
}

/// A guess and the first `most` problems.
pub(crate) fn listed(diagnosis: Option<String>, problems: &[String], most: usize) -> String {
    let listed = problems.iter().take(most).cloned();
    let mut parts: Vec<_> = diagnosis.into_iter().chain(listed).collect();
    if problems.len() > most {
        parts.push(format!("and {} more", problems.len() - most));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_lists_five_problems_and_counts_the_rest() {
        let config = ModelConfig::new(Architecture::MobileFaceNet, 112, 128);
        let problems: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].map(stranger).into();
        let message = misfit(&config, Some("a guess".to_owned()), &problems).to_string();
        let expected = "mobilefacenet with 128 numbers: a guess, a is not part of it, b is";
        assert!(message.starts_with(expected), "{message}");
        assert!(
            message.contains("e is not part of it, and 2 more"),
            "{message}"
        );
        let message = misfit(&config, None, &problems[..5]).to_string();
        assert!(!message.contains("more"), "{message}");
    }
}
