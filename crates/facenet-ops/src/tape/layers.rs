//! The layers of a tape.

use candle_core::{Result, Tensor, bail};

use super::backward::Backward;
use super::{Act, Filter, Nhwc, Norm, Residual, Tape, statistics, vector};
use crate::config::ConvConfig;
use crate::microkernels::buffer::Buffer;
use crate::microkernels::{Activation, Added, Epilogue};
use crate::nhwc::algorithm::{self, Algorithm};
use crate::nhwc::kept::KeptWeights;
use crate::nhwc::norm::{self, Lines};
use crate::nhwc::plan::ConvShape;
use crate::nhwc::{conv, depthwise, pool, rows, winograd};
use crate::norm::BatchStatistics;
use crate::number::Format;
use crate::own::element::with_elements;

/// What a layer's normalisation does, with its vectors read.
struct Normal {
    lines: Lines,
    inverse_std: Vec<f64>,
    is_batch: bool,
    slopes: Option<Vec<f32>>,
    is_rectified: bool,
}

impl Normal {
    /// By the moments given, or those of `x`.
    fn new(norm: &Norm<'_>, act: Act<'_>, c: usize, moments: &[(f64, f64)]) -> Result<Self> {
        let (weight, bias) = (
            vector("batch norm", norm.weight, c)?,
            vector("batch norm", norm.bias, c)?,
        );
        let slopes = match act {
            Act::Prelu(slopes) => Some(vector("prelu", slopes, c)?),
            _ => None,
        };
        Ok(Self {
            lines: Lines::new(&weight, &bias, moments, norm.eps),
            inverse_std: moments
                .iter()
                .map(|m| 1.0 / (m.1 + norm.eps).sqrt())
                .collect(),
            is_batch: norm.given.is_none(),
            slopes,
            is_rectified: matches!(act, Act::Relu),
        })
    }

    fn activation(&self) -> Activation<'_> {
        match &self.slopes {
            Some(slopes) => Activation::Prelu(slopes),
            None if self.is_rectified => Activation::Relu,
            None => Activation::Identity,
        }
    }
}

/// Mean and variance of a normalisation that has them given.
fn given_moments(norm: &Norm<'_>, c: usize) -> Result<Option<Vec<(f64, f64)>>> {
    let Some((mean, variance)) = norm.given else {
        return Ok(None);
    };
    let (mean, variance) = (
        vector("batch norm", mean, c)?,
        vector("batch norm", variance, c)?,
    );
    let pairs = mean.into_iter().zip(variance);
    Ok(Some(
        pairs
            .map(|(mean, variance)| (mean.into(), variance.into()))
            .collect(),
    ))
}

impl Filter<'_> {
    fn shape<T: Format>(&self, x: &Nhwc<T>) -> Result<ConvShape> {
        let (c_out, c_in, kh, kw) = self.weight.dims4()?;
        let [n, h, w, c] = x.dims();
        let expected = if self.is_depthwise { c_out } else { c_in };
        if c != expected || (self.is_depthwise && c_in != 1) {
            bail!(
                "convolution: weight {:?} does not take {c} channels",
                self.weight.shape()
            );
        }
        ConvShape::new(n, (h, w), (c, c_out), (kh, kw), self.config)
    }
}

/// A filter's passes, dense or depthwise.
struct Passes {
    shape: ConvShape,
    weight: Tensor,
    is_depthwise: bool,
    is_winograd: bool,
    kept: Option<KeptWeights>,
}

impl Passes {
    /// Winograd's algorithm, where this pass is to go by it.
    fn winograd<T: Format>(&self, pass: algorithm::Pass) -> Option<winograd::Passes<T>> {
        let is_allowed = self.is_winograd && !self.is_depthwise;
        let chosen = Algorithm::chosen(is_allowed, &self.shape, pass);
        T::WINOGRAD.filter(|_| chosen == Algorithm::Winograd)
    }

    fn forward<T: Format>(
        &self,
        x: &Nhwc<T>,
        epilogue: &Epilogue<'_, T>,
        y: &mut [T],
    ) -> Result<()> {
        let winograd = self.winograd(algorithm::Pass::Forward);
        if let (Some(kept), false) = (&self.kept, self.is_depthwise) {
            if let Some(winograd) = winograd {
                let weights = kept.points(&self.shape, &self.weight)?;
                (winograd.forward_packed)(&self.shape, &x.values, &weights, epilogue, y);
                return Ok(());
            }
            let panels = kept.forward(&self.shape, &self.weight)?;
            conv::forward_packed(&self.shape, &x.values, &panels, epilogue, y);
            return Ok(());
        }
        with_elements(&self.weight, |weight| {
            if self.is_depthwise {
                depthwise::forward(&self.shape, &x.values, weight, y);
            } else if let Some(winograd) = winograd {
                (winograd.forward)(&self.shape, &x.values, weight, epilogue, y);
            } else {
                conv::forward(&self.shape, &x.values, weight, epilogue, y);
            }
            Ok(())
        })
    }

    /// Adds `factor` times the data gradient to that of activation `place`; depthwise passes know
    /// factor 1 only.
    fn add_data_gradient<T: Format>(
        &self,
        backward: &mut Backward<T>,
        place: usize,
        grad: &[T],
        factor: f32,
    ) -> Result<()> {
        let mut dx = backward.memory.take(self.shape.n * self.shape.image());
        if self.is_depthwise {
            with_elements(&self.weight, |weight| {
                depthwise::data_gradient(&self.shape, weight, grad, &mut dx);
                Ok(())
            })?;
            backward.add(place, dx);
            return Ok(());
        }
        let (sum, factors) = (backward.take(place), vec![factor; self.shape.c_in]);
        let mut epilogue = Epilogue::default();
        if let Some(sum) = &sum {
            let (values, scale) = (&**sum, factor);
            epilogue.added = Some(Added { values, scale });
        } else if factor != 1.0 {
            epilogue.scale = Some(&factors);
        }
        with_elements(&self.weight, |weight| {
            let winograd = self.winograd(algorithm::Pass::DataGradient);
            let pass = winograd.map_or(conv::data_gradient::<T> as _, |w| w.data_gradient);
            pass(&self.shape, weight, grad, &epilogue, &mut dx);
            Ok(())
        })?;
        backward.set(place, dx);
        Ok(())
    }

    fn weight_gradient<T: Format>(&self, x: &Nhwc<T>, grad: &[T]) -> Vec<f32> {
        if self.is_depthwise {
            depthwise::weight_gradient(&self.shape, &x.values, grad)
        } else {
            let winograd = self.winograd(algorithm::Pass::WeightGradient);
            let pass = winograd.map_or(conv::weight_gradient::<T> as _, |w| w.weight_gradient);
            pass(&self.shape, &x.values, grad)
        }
    }

    fn dims(&self) -> [usize; 4] {
        let ConvShape { n, out, c_out, .. } = self.shape;
        [n, out.0, out.1, c_out]
    }
}

impl<T: Format> Tape<T> {
    fn passes(&self, shape: ConvShape, filter: &Filter<'_>) -> Passes {
        Passes {
            shape,
            weight: filter.weight.clone(),
            is_depthwise: filter.is_depthwise,
            is_winograd: self.is_winograd,
            kept: self.kept.clone(),
        }
    }

    /// Convolution, batch normalisation and activation; the batch's statistics where it was
    /// normalised by its own.
    ///
    /// # Errors
    /// Where shapes disagree, the window does not fit, or a channel to be normalised by its own
    /// statistics has a single value.
    pub fn conv_norm(
        &mut self,
        x: &Nhwc<T>,
        filter: &Filter<'_>,
        norm: &Norm<'_>,
        act: Act<'_>,
    ) -> Result<(Nhwc<T>, Option<BatchStatistics>)> {
        let shape = filter.shape(x)?;
        let (c, passes) = (shape.c_out, self.passes(shape, filter));
        let given = given_moments(norm, c)?;
        if let (Some(moments), false) = (&given, self.is_recording) {
            let normal = Normal::new(norm, act, c, moments)?;
            return Ok((self.fused(x, &passes, &normal)?, None));
        }
        let mut y = self.memory.take(passes.dims().iter().product());
        passes.forward(x, &Epilogue::default(), &mut y)?;
        let (moments, batch) = if let Some(moments) = given {
            (moments, None)
        } else {
            let moments = batch_moments(&y, c)?;
            let batch = statistics(&moments, y.len() / c, norm.weight)?;
            (moments, Some(batch))
        };
        let normal = Normal::new(norm, act, c, &moments)?;
        let z = self.activation(passes.dims(), |z| {
            norm::normalise(&y, &normal.lines, &normal.activation(), z);
        });
        if self.is_recording {
            self.record_conv_norm(x, &z, (passes, y), (norm, act, normal));
        }
        Ok((z, batch))
    }

    /// Without a gradient to come: the normalisation is the convolution's epilogue.
    fn fused(&mut self, x: &Nhwc<T>, passes: &Passes, normal: &Normal) -> Result<Nhwc<T>> {
        let (shifts, activation) = (normal.lines.shifts(), normal.activation());
        if passes.is_depthwise {
            let mut y = self.memory.take(passes.dims().iter().product());
            passes.forward(x, &Epilogue::default(), &mut y)?;
            return Ok(self.activation(passes.dims(), |z| {
                norm::normalise(&y, &normal.lines, &activation, z);
            }));
        }
        let epilogue = Epilogue {
            scale: Some(&normal.lines.scale),
            bias: Some(&shifts),
            added: None,
            activation,
        };
        self.made(passes.dims(), |z| passes.forward(x, &epilogue, z))
    }

    fn record_conv_norm(
        &mut self,
        x: &Nhwc<T>,
        z: &Nhwc<T>,
        (passes, y): (Passes, Buffer<T>),
        (norm, act, normal): (&Norm<'_>, Act<'_>, Normal),
    ) {
        let (weight, norm_weight) = (self.parameter(&passes.weight), self.parameter(norm.weight));
        let norm_bias = self.parameter(norm.bias);
        let slopes = match act {
            Act::Prelu(slopes) => Some(self.parameter(slopes)),
            _ => None,
        };
        let (x, is_needed) = (x.clone(), self.is_needed(x));
        self.record(z, move |backward, mut grad| {
            let Normal {
                lines,
                inverse_std,
                is_batch,
                ..
            } = &normal;
            let activation = normal.activation();
            let made = norm::gradient(&y, lines, inverse_std, *is_batch, &activation, &mut grad);
            backward.set_parameter(norm_weight, made.weight);
            backward.set_parameter(norm_bias, made.bias);
            if let Some(slopes) = slopes {
                backward.set_parameter(slopes, made.slopes);
            }
            drop(y);
            backward.set_parameter(weight, passes.weight_gradient(&x, &grad));
            let place = x.place;
            drop(x);
            if is_needed {
                passes.add_data_gradient(backward, place, &grad, 1.0)?;
            }
            Ok(())
        });
    }

    /// The end of a residual block, see [`Residual`].
    ///
    /// # Errors
    /// Where shapes disagree.
    pub fn residual(
        &mut self,
        x: &Nhwc<T>,
        branch: &Nhwc<T>,
        end: &Residual<'_>,
    ) -> Result<Nhwc<T>> {
        let (weight, config) = (end.weight, ConvConfig::default());
        let filter = Filter {
            weight,
            config,
            is_depthwise: false,
        };
        let shape = filter.shape(branch)?;
        let passes = self.passes(shape, &filter);
        if passes.dims() != x.dims {
            bail!("residual: {:?} and {:?} disagree", x.dims, passes.dims());
        }
        let (bias, scale) = (vector("residual", end.bias, shape.c_out)?, end.scale as f32);
        let epilogue = Epilogue {
            scale: None,
            bias: Some(&bias),
            added: Some(Added {
                values: &x.values,
                scale,
            }),
            activation: if end.relu {
                Activation::Relu
            } else {
                Activation::Identity
            },
        };
        let y = self.made(x.dims, |y| passes.forward(branch, &epilogue, y))?;
        if self.is_recording {
            self.record_residual((x, branch, &y), passes, end);
        }
        Ok(y)
    }

    fn record_residual(
        &mut self,
        (x, branch, y): (&Nhwc<T>, &Nhwc<T>, &Nhwc<T>),
        passes: Passes,
        end: &Residual<'_>,
    ) {
        let (weight, bias) = (self.parameter(end.weight), self.parameter(end.bias));
        let (scale, relu) = (end.scale as f32, end.relu);
        let (x, branch, values) = (x.place, branch.clone(), y.values.clone());
        self.record(y, move |backward, mut grad| {
            if relu {
                rows::mask(&mut grad, &values);
            }
            drop(values);
            let scaled = |mut sums: Vec<f32>| {
                rows::scale(&mut sums, scale);
                sums
            };
            backward.set_parameter(bias, scaled(rows::column_sums(&grad, passes.shape.c_out)));
            backward.set_parameter(weight, scaled(passes.weight_gradient(&branch, &grad)));
            let place = branch.place;
            drop(branch);
            passes.add_data_gradient(backward, place, &grad, scale)?;
            backward.add(x, grad);
            Ok(())
        });
    }

    /// `a + b`.
    ///
    /// # Errors
    /// Where shapes disagree.
    pub fn add(&mut self, a: &Nhwc<T>, b: &Nhwc<T>) -> Result<Nhwc<T>> {
        if a.dims != b.dims {
            bail!("add: {:?} and {:?} disagree", a.dims, b.dims);
        }
        let sum = self.activation(a.dims, |sum| rows::sum(&a.values, &b.values, sum));
        if self.is_recording {
            let (a, b) = (a.place, b.place);
            self.record(&sum, move |backward, grad| {
                let mut copy = backward.memory.take(grad.len());
                copy.copy_from_slice(&grad);
                backward.add(a, copy);
                backward.add(b, grad);
                Ok(())
            });
        }
        Ok(sum)
    }

    /// Activations side by side, channels after channels.
    ///
    /// # Errors
    /// Where images or pixels disagree, or there are none.
    pub fn concat(&mut self, parts: &[Nhwc<T>]) -> Result<Nhwc<T>> {
        let Some(first) = parts.first() else {
            bail!("concat: expected activations, found none")
        };
        let [n, h, w, _] = first.dims;
        if let Some(other) = parts.iter().find(|part| part.dims[..3] != first.dims[..3]) {
            bail!("concat: {:?} and {:?} disagree", first.dims, other.dims);
        }
        let widths: Vec<_> = parts.iter().map(Nhwc::channels).collect();
        let whole = widths.iter().sum();
        let values: Vec<&[T]> = parts.iter().map(|part| &**part.values).collect();
        let joined = self.activation([n, h, w, whole], |joined| {
            rows::join(&values, &widths, joined);
        });
        if self.is_recording {
            let places: Vec<_> = parts.iter().map(|part| part.place).collect();
            self.record(&joined, move |backward, grad| {
                let mut first = 0;
                for (place, width) in places.into_iter().zip(widths) {
                    let mut part = backward.memory.take(n * h * w * width);
                    rows::part(&grad, whole, first, width, &mut part);
                    backward.add(place, part);
                    first += width;
                }
                Ok(())
            });
        }
        Ok(joined)
    }

    /// Maximum of each window, without padding; a NaN is the maximum, and the gradient goes to
    /// the first of equals.
    ///
    /// # Errors
    /// Where the window does not fit, or has more than 256 pixels and a gradient is to come.
    pub fn max_pool(&mut self, x: &Nhwc<T>, kernel: usize, stride: usize) -> Result<Nhwc<T>> {
        let [n, h, w, c] = x.dims;
        let config = ConvConfig {
            stride: (stride, stride),
            padding: (0, 0),
        };
        let shape = ConvShape::new(n, (h, w), (c, c), (kernel, kernel), config)?;
        let dims = [n, shape.out.0, shape.out.1, c];
        if !self.is_recording {
            return Ok(self.activation(dims, |y| pool::max_pool(&shape, &x.values, y, None)));
        }
        if shape.taps() > pool::MOST_TAPS {
            bail!(
                "max_pool: expected a window of {} pixels at most, found {}",
                pool::MOST_TAPS,
                shape.taps()
            );
        }
        // Kept in place of the input, which is several times as large.
        let mut winners = self.memory.take(dims.iter().product());
        let y = self.activation(dims, |y| {
            pool::max_pool(&shape, &x.values, y, Some(&mut winners));
        });
        let (place, len) = (x.place, x.values.len());
        self.record(&y, move |backward, grad| {
            let mut dx = backward.memory.take(len);
            pool::max_pool_gradient(&shape, &winners, &grad, &mut dx);
            backward.add(place, dx);
            Ok(())
        });
        Ok(y)
    }

    /// Mean over the pixels of each channel: `[n, 1, 1, c]`.
    pub fn global_average_pool(&mut self, x: &Nhwc<T>) -> Nhwc<T> {
        let ([n, _, _, c], pixels) = (x.dims, x.pixels());
        let y = self.activation([n, 1, 1, c], |y| pool::mean(&x.values, pixels, c, y));
        if self.is_recording {
            let place = x.place;
            self.record(&y, move |backward, grad| {
                let mut dx = backward.memory.take(grad.len() * pixels);
                pool::mean_gradient(&grad, pixels, c, &mut dx);
                backward.add(place, dx);
                Ok(())
            });
        }
        y
    }
}

/// The moments of a batch that has two values a channel at least.
fn batch_moments<T: Format>(y: &[T], c: usize) -> Result<Vec<(f64, f64)>> {
    let count = y.len().checked_div(c).unwrap_or(0);
    if count < 2 {
        bail!(
            "batch norm in training needs two values a channel, found {count}: enlarge the batch"
        );
    }
    Ok(norm::moments(y, c))
}
