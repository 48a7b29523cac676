//! A model as an ONNX file, for other runtimes.

use candle_core::{DType, Result, Tensor};
use facenet_formats::{Axis, OnnxWriter, Setting};

use crate::engine::Engine;
use crate::error::ModelError;
use crate::layers::{Activation, BatchNorm, ConvNorm, ResidualEnd, Window};
use crate::loss::MIN_SQ_NORM;
use crate::model::Model;

/// What the file calls its input.
pub const ONNX_INPUT: &str = "images";
/// What the file calls its output.
pub const ONNX_OUTPUT: &str = "embeddings";
/// What the file calls the axis that is as long as the batch.
const BATCH: &str = "n";
/// What the file says wrote it.
const PRODUCER: &str = "facenet";

/// Describes layers as nodes, and computes nothing: activations are their names.
pub(crate) struct Described {
    writer: OnnxWriter,
    bn_eps: f64,
}

impl Model {
    /// The model as an ONNX file of operator set 17, for inference: batch norms folded into
    /// convolutions, rows of unit length.
    ///
    /// Its input `images` is `[n, 3, side, side]` in f32, standardised as the model expects; its
    /// output `embeddings` is `[n, dim]`. Any `n` will do.
    ///
    /// - `metadata`: what the file is to say of itself, beside architecture and sizes; no more
    ///   is written of where the model came from
    ///
    /// # Errors
    /// [`ModelError::Candle`] where tensors cannot be read back from their device.
    pub fn to_onnx(&self, metadata: &[(&str, &str)]) -> std::result::Result<Vec<u8>, ModelError> {
        let config = self.config();
        let mut described = Described {
            writer: OnnxWriter::default(),
            bn_eps: config.bn_eps,
        };
        let side = Axis::Of(config.image_size);
        let input = [Axis::Any(BATCH), Axis::Of(3), side, side];
        described.writer.input(ONNX_INPUT, &input);
        self.describe(&mut described)?;
        let mut writer = described.writer;
        let output = [Axis::Any(BATCH), Axis::Of(config.embedding_size)];
        writer.output(ONNX_OUTPUT, &output);
        let sizes = [
            ("architecture", config.architecture.name().to_owned()),
            ("image_size", config.image_size.to_string()),
            ("embedding_size", config.embedding_size.to_string()),
        ];
        for (key, value) in &sizes {
            writer.metadata(key, value);
        }
        for (key, value) in metadata {
            writer.metadata(key, value);
        }
        Ok(writer.finish(config.architecture.name(), PRODUCER))
    }
}

impl Described {
    /// What follows the trunk: the matrix with its norm, and unit length.
    pub(crate) fn bottleneck(&mut self, xs: &str, weight: &Tensor, norm: &BatchNorm) -> Result<()> {
        let flat = self
            .writer
            .node("Flatten", &[xs], &[("axis", Setting::Int(1))]);
        let (weight, bias) = folded(weight, norm, self.bn_eps)?;
        let names = self.constants("Gemm", &[("weight", &weight), ("bias", &bias)])?;
        let turned = [("transB", Setting::Int(1))];
        let rows = self
            .writer
            .node("Gemm", &[&flat, &names[0], &names[1]], &turned);
        self.unit_length(&rows);
        Ok(())
    }

    /// `x / sqrt(max(Σ x², floor))`, as [`crate::l2_normalise`].
    fn unit_length(&mut self, rows: &str) {
        let writer = &mut self.writer;
        writer.integers("unit.axes", &[1]);
        writer.floats("unit.floor", &[1], &[MIN_SQ_NORM as f32]);
        let squares = writer.node("Mul", &[rows, rows], &[]);
        let sum = writer.node("ReduceSum", &[&squares, "unit.axes"], &[]);
        let floored = writer.node("Max", &[&sum, "unit.floor"], &[]);
        let norm = writer.node("Sqrt", &[&floored], &[]);
        writer.named_node(ONNX_OUTPUT, "Div", &[rows, &norm], &[]);
    }

    /// Constants of the next node of `operator`, by its name and theirs.
    fn constants(&mut self, operator: &str, tensors: &[(&str, &Tensor)]) -> Result<Vec<String>> {
        let node = self.writer.next_name(operator);
        let mut names = Vec::with_capacity(tensors.len());
        for (part, tensor) in tensors {
            let name = format!("{node}.{part}");
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?;
            self.writer
                .floats(&name, tensor.dims(), &values.to_vec1::<f32>()?);
            names.push(name);
        }
        Ok(names)
    }

    /// A convolution with bias.
    ///
    /// - `weight`: `[c_out, c_in / groups, kh, kw]`
    fn convolution(
        &mut self,
        xs: &str,
        (weight, bias): (&Tensor, &Tensor),
        window: Window,
        groups: usize,
    ) -> Result<String> {
        let names = self.constants("Conv", &[("weight", weight), ("bias", bias)])?;
        let (kernel, config) = (window.kernel, window.config);
        let (top, left) = config.padding;
        let settings = [
            ("kernel_shape", Setting::Ints(&pair(kernel))),
            ("strides", Setting::Ints(&pair(config.stride))),
            (
                "pads",
                Setting::Ints(&[pair((top, left)), pair((top, left))].concat()),
            ),
            ("group", Setting::Int(groups as i64)),
        ];
        let inputs = [xs, &names[0], &names[1]];
        Ok(self.writer.node("Conv", &inputs, &settings))
    }
}

impl Engine for Described {
    type Value = String;

    fn conv_norm(&mut self, xs: &String, layer: &ConvNorm) -> Result<String> {
        let (weight, bias) = folded(layer.weight.as_tensor(), &layer.norm, self.bn_eps)?;
        let groups = if layer.is_depthwise { bias.dims1()? } else { 1 };
        let ys = self.convolution(xs, (&weight, &bias), layer.window, groups)?;
        Ok(match &layer.activation {
            Activation::Identity => ys,
            Activation::Relu => self.writer.node("Relu", &[&ys], &[]),
            Activation::Prelu(slope) => {
                let slope = slope.as_tensor().reshape(((), 1, 1))?;
                let names = self.constants("PRelu", &[("slope", &slope)])?;
                self.writer.node("PRelu", &[&ys, &names[0]], &[])
            }
        })
    }

    fn residual(&mut self, xs: &String, branch: &String, end: &ResidualEnd) -> Result<String> {
        let scaled = |tensor: &Tensor| tensor.detach().to_dtype(DType::F64)? * end.scale;
        let parts = (&scaled(&end.weight)?, &scaled(&end.bias)?);
        let ys = self.convolution(branch, parts, Window::square(1, 1, 0), 1)?;
        let sum = self.writer.node("Add", &[xs, &ys], &[]);
        Ok(if end.relu {
            self.writer.node("Relu", &[&sum], &[])
        } else {
            sum
        })
    }

    fn add(&mut self, a: &String, b: &String) -> Result<String> {
        Ok(self.writer.node("Add", &[a, b], &[]))
    }

    fn concat(&mut self, parts: &[String]) -> Result<String> {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Ok(self
            .writer
            .node("Concat", &parts, &[("axis", Setting::Int(1))]))
    }

    fn max_pool(&mut self, xs: &String, kernel: usize, stride: usize) -> Result<String> {
        let settings = [
            ("kernel_shape", Setting::Ints(&pair((kernel, kernel)))),
            ("strides", Setting::Ints(&pair((stride, stride)))),
        ];
        Ok(self.writer.node("MaxPool", &[xs], &settings))
    }

    fn global_average_pool(&mut self, xs: &String) -> Result<String> {
        Ok(self.writer.node("GlobalAveragePool", &[xs], &[]))
    }

    fn tell(&mut self, _: &str, _: &String) -> Result<()> {
        Ok(())
    }
}

fn pair((a, b): (usize, usize)) -> [i64; 2] {
    [a as i64, b as i64]
}

/// Weights and bias that do what weights and norm do by running statistics, in f64: the first
/// axis of the weights is the norm's.
fn folded(weight: &Tensor, norm: &BatchNorm, eps: f64) -> Result<(Tensor, Tensor)> {
    let wide = |tensor: &Tensor| tensor.detach().to_dtype(DType::F64);
    let deviation = (wide(&norm.variance)? + eps)?.sqrt()?;
    let scale = (wide(&norm.weight)? / deviation)?;
    let bias = (wide(&norm.bias)? - (wide(&norm.mean)? * &scale)?)?;
    let mut by_row = vec![1; weight.rank()];
    by_row[0] = scale.dims1()?;
    let weight = wide(weight)?.broadcast_mul(&scale.reshape(by_row)?)?;
    Ok((weight, bias))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Origin, Store};
    use candle_core::Device;

    #[test]
    fn folded_weights_do_what_weights_and_norm_did() -> Result<()> {
        let store = Store::new(Origin::Seed(0));
        let norm = BatchNorm::new(2, &store.builder(DType::F32, &Device::Cpu))?;
        let set = |var: &candle_core::Var, values: [f32; 2]| {
            var.set(&Tensor::new(&values, &Device::Cpu)?)
        };
        set(&norm.weight, [2.0, 3.0])?;
        set(&norm.bias, [1.0, -1.0])?;
        set(&norm.mean, [0.5, 4.0])?;
        set(&norm.variance, [3.75, 0.0])?;
        let weight = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
        // Deviations by eps 0.25 are 2 and 0.5, hence scales 1 and 6.
        let (weight, bias) = folded(&weight, &norm, 0.25)?;
        assert_eq!(weight.to_vec2::<f64>()?, [[1.0, 2.0], [18.0, 24.0]]);
        assert_eq!(bias.to_vec1::<f64>()?, [0.5, -25.0]);
        Ok(())
    }
}
