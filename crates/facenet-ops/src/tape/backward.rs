//! Gradients on their way back.

use candle_core::Result;

use super::Tape;
use crate::nhwc::rows;

/// A gradient, where one has come so far.
pub(super) type Gradient = Option<Vec<f32>>;

/// Gradients of activations and parameters by place.
#[derive(Debug)]
pub(super) struct Backward {
    activations: Vec<Gradient>,
    parameters: Vec<Gradient>,
}

impl Backward {
    /// Adds to an activation's gradient; the first is moved there.
    pub(super) fn add(&mut self, place: usize, grad: Vec<f32>) {
        match &mut self.activations[place] {
            Some(sum) => rows::add(sum, &grad),
            empty => *empty = Some(grad),
        }
    }

    pub(super) fn set_parameter(&mut self, place: usize, grad: Vec<f32>) {
        self.parameters[place] = Some(grad);
    }
}

impl Tape {
    /// The gradients of all parameters by place, and of the images, from that of activation
    /// `place`.
    pub(super) fn backward(
        &self,
        place: usize,
        grad: Vec<f32>,
    ) -> Result<(Vec<Gradient>, Gradient)> {
        let mut backward = Backward {
            activations: vec![None; self.activations],
            parameters: vec![None; self.parameters.len()],
        };
        backward.add(place, grad);
        for node in self.nodes.iter().rev() {
            if let Some(grad) = backward.activations[node.output].take() {
                (node.back)(&mut backward, grad)?;
            }
        }
        let images = backward.activations.swap_remove(0);
        Ok((backward.parameters, images))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_of_one_activation_add_up() {
        let mut backward = Backward {
            activations: vec![None],
            parameters: vec![],
        };
        backward.add(0, vec![1.0, 2.0]);
        backward.add(0, vec![10.0, 20.0]);
        assert_eq!(backward.activations[0].as_deref(), Some(&[11.0, 22.0][..]));
    }
}
