//! Loss and gradients of a step by the rows of a network, in closed form.

use candle_core::{DType, Result, Tensor, bail};
use facenet_model::l2_normalise;

use super::Head;

/// Loss and gradients of a step, chunk after chunk.
///
/// The loss is a mean over rows: a chunk goes forward and back once, and no row waits for another.
#[derive(Debug)]
pub(crate) struct HeadSum<'a> {
    head: &'a Head,
    /// The weights that outputs are products with, in the graph of the parameter.
    weight: Tensor,
    /// Rows of the whole step.
    n: usize,
    loss: f64,
    n_right: usize,
    /// By weights and biases.
    gradients: Vec<Tensor>,
}

/// What a step's rows come to.
#[derive(Debug)]
pub(crate) struct HeadMean {
    /// Mean cross-entropy.
    pub(crate) loss: f64,
    /// Share of the rows whose own identity has the largest output.
    pub(crate) accuracy: f64,
    /// In order of [`Head::parameters`].
    pub(crate) gradients: Vec<Tensor>,
}

impl<'a> HeadSum<'a> {
    pub(super) fn new(head: &'a Head, n: usize) -> Result<Self> {
        let weight = head.weight.as_tensor();
        let weight = if head.is_cosine() {
            l2_normalise(weight)?
        } else {
            weight.clone()
        };
        Ok(Self {
            head,
            weight,
            n,
            loss: 0.0,
            n_right: 0,
            gradients: Vec::new(),
        })
    }

    /// Adds rows; gives the gradient of the mean loss by them, `[n, dim]`.
    ///
    /// - `rows`: `[n, dim]`, without a graph
    /// - `labels`: identity of each
    ///
    /// # Errors
    /// candle's own, and where a label is no identity of the head.
    pub(crate) fn add(&mut self, rows: &Tensor, labels: &[u32]) -> Result<Tensor> {
        let identities = self.weight.dim(0)?;
        if let Some(label) = labels.iter().find(|&&label| label as usize >= identities) {
            bail!("head: found identity {label}, expected one below {identities}");
        }
        if rows.dim(0)? != labels.len() {
            bail!("head: found {} labels for {:?}", labels.len(), rows.dims());
        }
        let weight = self.weight.detach();
        let outputs = self.outputs(rows, &weight)?.to_dtype(DType::F64)?;
        let mut values = outputs.flatten_all()?.to_vec1::<f64>()?;
        drop(outputs);
        let share = 1.0 / self.n as f64;
        for row in self.head.logits.differentiate(&mut values, labels, share) {
            self.loss += row.loss;
            self.n_right += usize::from(row.is_right);
        }
        let gradient = Tensor::from_vec(values, (labels.len(), identities), rows.device())?;
        let gradient = gradient.to_dtype(rows.dtype())?;
        self.note(&gradient, rows)?;
        gradient.matmul(&weight)
    }

    /// Outputs by identity, `[n, identities]`.
    fn outputs(&self, rows: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let products = rows.matmul(&weight.t()?)?;
        match &self.head.bias {
            Some(bias) => products.broadcast_add(&bias.as_detached_tensor()),
            None => Ok(products),
        }
    }

    /// Adds a chunk's part of the parameters' gradients.
    fn note(&mut self, gradient: &Tensor, rows: &Tensor) -> Result<()> {
        let mut of_chunk = vec![gradient.t()?.matmul(rows)?];
        if self.head.bias.is_some() {
            of_chunk.push(gradient.sum(0)?);
        }
        if self.gradients.is_empty() {
            self.gradients = of_chunk;
            return Ok(());
        }
        for (total, more) in self.gradients.iter_mut().zip(of_chunk) {
            *total = (&*total + more)?;
        }
        Ok(())
    }

    /// The means, of at least one row.
    ///
    /// # Errors
    /// candle's own.
    pub(crate) fn mean(mut self) -> Result<HeadMean> {
        if self.head.is_cosine() {
            // From the weights of unit length to those that they are made of.
            let product = (&self.weight * &self.gradients[0])?.sum_all()?;
            let of_weight = product.backward()?.remove(&self.head.weight);
            self.gradients[0] = of_weight.expect("it is in its own graph");
        }
        Ok(HeadMean {
            loss: self.loss / self.n as f64,
            accuracy: self.n_right as f64 / self.n as f64,
            gradients: self.gradients,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::compute::on_threads;
    use crate::head::rows::Logits;
    use crate::head::tests::{ARCFACE, SOFTMAX, head_of, values};

    const IDENTITIES: usize = 7;
    const DIM: usize = 5;

    fn head(logits: Logits) -> Head {
        head_of(logits, (IDENTITIES, DIM), DType::F64)
    }

    /// Rows that nothing is special about, the last two as the first, of unit length for cosines.
    fn rows(logits: Logits, n: usize, dim: usize) -> Tensor {
        let number = |i: usize| ((i * 2_654_435_761) % 1009) as f64 / 504.5 - 1.0;
        let values: Vec<_> = (0..n * dim).map(|i| number(i % (dim * (n - 2)))).collect();
        let rows = Tensor::from_vec(values, (n, dim), &Device::Cpu).expect("whole rows");
        if logits.margin.is_some() {
            l2_normalise(&rows).expect("two dimensions")
        } else {
            rows
        }
    }

    fn labels(n: usize, identities: usize) -> Vec<u32> {
        (0..n).map(|row| (row * 3 % identities) as u32).collect()
    }

    /// The loss, and gradients by rows and parameters, in chunks.
    fn ours(head: &Head, rows: &Tensor, labels: &[u32], chunk: usize) -> (f64, Vec<Vec<f64>>) {
        let mut sum = head.begin(labels.len()).expect("numbers");
        let mut of_rows = Vec::new();
        for (at, labels) in labels.chunks(chunk).enumerate() {
            let part = rows.narrow(0, at * chunk, labels.len()).expect("rows");
            of_rows.extend(values(&sum.add(&part, labels).expect("bounded labels")));
        }
        let mean = sum.mean().expect("rows");
        let of_parameters = mean.gradients.iter().map(values);
        let all = std::iter::once(of_rows).chain(of_parameters).collect();
        (mean.loss, all)
    }

    /// 1 where a column is the row's label, elsewhere 0.
    fn own_class(labels: &[u32], identities: usize) -> Result<Tensor> {
        let of =
            |label: u32| (0..identities as u32).map(move |at| f64::from(u8::from(at == label)));
        let values: Vec<_> = labels.iter().copied().flat_map(of).collect();
        Tensor::from_vec(values, (labels.len(), identities), &Device::Cpu)
    }

    /// The loss by its definition, in candle's graph; angles are below π less the margin.
    pub(crate) fn candles_loss(head: &Head, rows: &Tensor, labels: &[u32]) -> Result<Tensor> {
        let is_own = own_class(labels, head.weight.dim(0)?)?.to_dtype(rows.dtype())?;
        let logits = match (head.logits.margin, &head.bias) {
            (Some(margin), _) => {
                let cosines = rows.matmul(&l2_normalise(&head.weight)?.t()?)?;
                let sines = cosines.sqr()?.affine(-1.0, 1.0)?.sqrt()?;
                let moved = ((&cosines * margin.cos())? - (sines * margin.sin())?)?;
                let shift = ((moved - &cosines)? * &is_own)?;
                ((cosines + shift)? * head.logits.scale)?
            }
            (None, Some(bias)) => rows.matmul(&head.weight.t()?)?.broadcast_add(bias)?,
            (None, None) => bail!("a softmax has biases"),
        };
        let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
        let own = (&shifted * is_own)?.sum(1)?;
        (shifted.exp()?.sum(1)?.log()? - own)?.mean_all()
    }

    /// candle's loss and gradients of the same.
    fn candles(head: &Head, rows: &Var, labels: &[u32]) -> Result<(f64, Vec<Vec<f64>>)> {
        let loss = candles_loss(head, rows, labels)?;
        let gradients = loss.backward()?;
        let of = |var: &Var| values(gradients.get(var).expect("in the graph"));
        let of_parameters = head.parameters().into_iter().map(|(_, var)| of(var));
        let all = std::iter::once(of(rows)).chain(of_parameters).collect();
        Ok((loss.to_scalar()?, all))
    }

    #[track_caller]
    fn check_close(found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < tolerance, "{found} {expected}");
            }
        }
    }

    #[test]
    fn loss_and_gradients_are_candles_however_rows_are_cut() {
        for logits in [SOFTMAX, ARCFACE] {
            let (head, rows) = (head(logits), rows(logits, 12, DIM));
            let labels = labels(12, IDENTITIES);
            let var = Var::from_tensor(&rows).expect("numbers");
            let (loss, gradients) = candles(&head, &var, &labels).expect("f64 on the CPU");
            assert!(
                gradients
                    .iter()
                    .all(|one| one.iter().any(|g| g.abs() > 1e-3))
            );
            for chunk in [12, 5, 1] {
                let (found, of) = ours(&head, &rows, &labels, chunk);
                // Sums of a few dozen numbers of size up to 8, each rounded by 2^-53 of itself.
                assert!((found - loss).abs() < 1e-13, "{found} {loss}");
                check_close(&of, &gradients, 1e-13);
            }
        }
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        for logits in [SOFTMAX, ARCFACE] {
            let (head, rows) = (head(logits), rows(logits, 6, DIM));
            let labels = labels(6, IDENTITIES);
            let (_, found) = ours(&head, &rows, &labels, 4);
            let var = Var::from_tensor(&rows).expect("numbers");
            let parameters = head.parameters().into_iter().map(|(_, var)| var);
            let vars: Vec<_> = std::iter::once(&var).chain(parameters).collect();
            for (moved, found) in vars.into_iter().zip(found) {
                check_differences(moved, &found, &|| ours(&head, &var, &labels, 4).0);
            }
        }
    }

    /// Holds a gradient by a variable against differences of the loss.
    fn check_differences(var: &Var, gradient: &[f64], loss: &dyn Fn() -> f64) {
        let start = values(var);
        let loss_at = |at: usize, offset: f64| {
            let mut moved = start.clone();
            moved[at] += offset;
            let moved = Tensor::from_vec(moved, var.shape(), &Device::Cpu).expect("as many");
            var.set(&moved).expect("as many");
            loss()
        };
        for (at, gradient) in gradient.iter().enumerate() {
            let difference = (loss_at(at, 1e-5) - loss_at(at, -1e-5)) / 2e-5;
            // Losses of up to 10, rounded by 2^-53 of themselves, over the step; and the step's
            // square times a third derivative of up to 8^3.
            assert!(
                (difference - gradient).abs() < 1e-7,
                "{difference} {gradient}"
            );
        }
        loss_at(0, 0.0);
    }

    #[test]
    fn a_label_beyond_the_identities_is_refused_and_so_is_one_too_few() {
        let (head, rows) = (head(SOFTMAX), rows(SOFTMAX, 3, DIM));
        let add = |labels: &[u32]| head.begin(3).expect("numbers").add(&rows, labels);
        let message = |labels: &[u32]| add(labels).expect_err("no such labels").to_string();
        assert!(message(&[0, 7, 6]).contains("found identity 7, expected one below 7"));
        assert!(message(&[0, u32::MAX, 6]).contains("expected one below 7"));
        assert!(message(&[0, 1]).contains("found 2 labels"));
        assert!(add(&[0, 6, 6]).is_ok());
    }

    #[test]
    fn huge_weights_give_finite_numbers_and_none_that_is_no_number_is_hidden() {
        let mean = |weight: f32| {
            let head = head_of(SOFTMAX, (2, 2), DType::F32);
            let weights = Tensor::new(&[[weight, 0.0], [0.0, weight]], &Device::Cpu);
            head.weight
                .set(&weights.expect("numbers"))
                .expect("as many");
            let rows = Tensor::new(&[[1.0f32, 0.0], [1.0, 0.0]], &Device::Cpu).expect("numbers");
            let mut sum = head.begin(2).expect("numbers");
            let of_rows = values(&sum.add(&rows, &[0, 1]).expect("bounded labels"));
            (sum.mean().expect("rows"), of_rows)
        };
        let (huge, of_rows) = mean(1e30);
        assert!(huge.loss.is_finite() && huge.loss > 1e29, "{huge:?}");
        assert_eq!(huge.accuracy.to_bits(), 0.5f64.to_bits());
        assert!(of_rows.iter().all(|g| g.is_finite()), "{of_rows:?}");
        for wrong in [f32::NAN, f32::INFINITY] {
            assert!(!mean(wrong).0.loss.is_finite());
        }
    }

    #[test]
    fn no_bit_depends_on_the_number_of_threads() {
        let (n, identities, dim) = (64, 500, 128);
        for logits in [SOFTMAX, ARCFACE] {
            let head = head_of(logits, (identities, dim), DType::F32);
            let rows = rows(logits, n, dim).to_dtype(DType::F32).expect("a cast");
            let labels = labels(n, identities);
            let with = |threads| {
                let made = on_threads(Some(threads), || Ok(ours(&head, &rows, &labels, 40)));
                let (loss, gradients) = made.expect("threads");
                let bits = gradients.concat().into_iter().map(f64::to_bits);
                (loss.to_bits(), bits.collect::<Vec<_>>())
            };
            assert!(with(1) == with(2));
            assert!(with(1) == with(3));
        }
    }
}
