//! Gradients on their way back.

use candle_core::Result;

use super::Node;
use crate::microkernels::buffer::{Buffer, Memory};
use crate::nhwc::rows;
use crate::number::Format;

/// A parameter's gradient, where there is one.
pub(super) type Gradient = Option<Vec<f32>>;

/// Gradients of activations and parameters by place, where any have come so far.
#[derive(Debug)]
pub(super) struct Backward<T: Format> {
    pub(super) memory: Memory,
    activations: Vec<Option<Buffer<T>>>,
    parameters: Vec<Gradient>,
}

impl<T: Format> Backward<T> {
    pub(super) fn new(memory: Memory, activations: usize, parameters: usize) -> Self {
        Self {
            memory,
            activations: (0..activations).map(|_| None).collect(),
            parameters: vec![None; parameters],
        }
    }

    /// Adds to an activation's gradient, and rounds the sum; the first is moved there.
    pub(super) fn add(&mut self, place: usize, grad: Buffer<T>) {
        match &mut self.activations[place] {
            Some(sum) => rows::add(sum, &grad),
            empty => *empty = Some(grad),
        }
    }

    /// An activation's gradient so far, for one who will put the sum in its place.
    pub(super) fn take(&mut self, place: usize) -> Option<Buffer<T>> {
        self.activations[place].take()
    }

    /// Puts the whole of an activation's gradient so far in its place.
    pub(super) fn set(&mut self, place: usize, grad: Buffer<T>) {
        self.activations[place] = Some(grad);
    }

    pub(super) fn set_parameter(&mut self, place: usize, grad: Vec<f32>) {
        self.parameters[place] = Some(grad);
    }

    /// Goes back through all nodes, each of which is dropped with all it holds; gives the
    /// gradients of the parameters by place, and of the first activation, the images.
    pub(super) fn run(
        mut self,
        mut nodes: Vec<Node<T>>,
    ) -> Result<(Vec<Gradient>, Option<Buffer<T>>)> {
        while let Some(node) = nodes.pop() {
            if let Some(grad) = self.take(node.output) {
                (node.back)(&mut self, grad)?;
            }
        }
        let images = self.take(0);
        Ok((self.parameters, images))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_of_one_activation_add_up() {
        let memory = Memory::default();
        let buffer = |values: [f32; 2]| {
            let mut buffer = memory.take(2);
            buffer.copy_from_slice(&values);
            buffer
        };
        let mut backward = Backward::new(memory.clone(), 1, 0);
        backward.add(0, buffer([1.0, 2.0]));
        backward.add(0, buffer([10.0, 20.0]));
        assert_eq!(backward.take(0).as_deref(), Some(&[11.0, 22.0][..]));
    }
}
