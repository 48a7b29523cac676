//! One batch on one device.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;

use super::launch::{Anchors, Batch, Launch, MAX_GRID_Y};
use super::{Device, Element, Slice, Values, hardest, pairs};
use crate::problem::Problem;
use crate::statistics::Tally;
use crate::{Draw, Embeddings, Hardest, MineError, MinerConfig, Triplet};

/// Most rows that a device is given: indices of tiles beyond the last row stay in 32 bits.
const MAX_ROWS: usize = 1 << 31;

/// Opens sessions; every [`Device`] does.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    /// Copies what the kernels need of the problem.
    fn session<'e>(&'e self, problem: &Problem<'_>) -> Result<Box<dyn Session + 'e>, MineError>;
}

/// A problem on a device, for the rules to ask.
///
/// Nothing here fails at once: after the first failure results are empty or 0, and
/// [`Session::finish`] says what it was.
pub(crate) trait Session: fmt::Debug + Send + Sync {
    /// Distances of `rows` to all rows, `[rows.len(), stride]`, each within the problem's slack;
    /// infinity from the last row to the stride.
    fn fill(&self, rows: &[u32], strip: &mut [f32]);

    /// The triplets of a pair rule, by anchor, then positive.
    fn pair_rule(
        &self,
        problem: &Problem<'_>,
        config: &MinerConfig,
        draw: Draw,
        visitor: &mut dyn FnMut(Triplet),
    ) -> Tally;

    /// The hardest rows of every row, in order.
    fn each_hardest(&self, problem: &Problem<'_>, consume: &mut dyn FnMut(usize, Hardest));

    /// The first failure, if there was one.
    fn finish(&self) -> Result<(), MineError>;
}

impl<D: Device> Engine for D {
    fn session<'e>(&'e self, problem: &Problem<'_>) -> Result<Box<dyn Session + 'e>, MineError> {
        Ok(Box::new(On::new(self, problem)?))
    }
}

/// A batch on a device.
#[derive(Debug)]
pub(super) struct On<'d, D: Device> {
    pub(super) device: &'d D,
    /// `None` where there is no row.
    batch: Option<Batch<D::Buffer>>,
    failure: Mutex<Option<MineError>>,
}

impl<'d, D: Device> On<'d, D> {
    fn new(device: &'d D, problem: &Problem<'_>) -> Result<Self, MineError> {
        let n = problem.len();
        if n > MAX_ROWS {
            return Err(MineError::TooManyRows { found: n });
        }
        let batch = (n > 0).then(|| upload(device, problem)).transpose()?;
        Ok(Self {
            device,
            batch,
            failure: Mutex::new(None),
        })
    }

    /// The batch; there is a row.
    pub(super) fn batch(&self) -> &Batch<D::Buffer> {
        self.batch
            .as_ref()
            .expect("asked for only where a row is an anchor")
    }

    /// Anchors that one launch takes at most.
    pub(super) fn max_anchors(&self) -> usize {
        (MAX_GRID_Y * self.device.tile()) as usize
    }

    /// Copies the numbers of some anchors.
    pub(super) fn anchors(&self, rows: &[u32]) -> Result<Anchors<D::Buffer>, MineError> {
        Ok(Anchors {
            rows: self.device.upload(Slice::U32(rows))?,
            n: rows.len() as u32,
            tile: self.device.tile(),
        })
    }

    fn distances(&self, rows: &[u32]) -> Result<Vec<f32>, MineError> {
        let (batch, anchors) = (self.batch(), self.anchors(rows)?);
        let mut out = self
            .device
            .zeros(Element::F32, rows.len() * batch.n as usize)?;
        self.device
            .launch(Launch::pairwise_sq_l2(batch, &anchors, &mut out))?;
        typed(self.device.download(&out)?.into_f32())
    }

    /// Keeps the first failure for [`Session::finish`].
    fn keep<T>(&self, result: Result<T, MineError>) -> Option<T> {
        result
            .map_err(|error| {
                let mut failure = self.failure.lock().expect("no holder panics");
                failure.get_or_insert(error);
            })
            .ok()
    }
}

impl<D: Device> Session for On<'_, D> {
    fn fill(&self, rows: &[u32], strip: &mut [f32]) {
        let (n, stride) = (self.batch().n as usize, strip.len() / rows.len());
        let distances = self.keep(self.distances(rows)).unwrap_or_default();
        for (row, to) in strip.chunks_exact_mut(stride).enumerate() {
            let (known, beyond) = to.split_at_mut(n);
            match distances.get(row * n..(row + 1) * n) {
                Some(distances) => known.copy_from_slice(distances),
                None => known.fill(0.0),
            }
            beyond.fill(f32::INFINITY);
        }
    }

    fn pair_rule(
        &self,
        problem: &Problem<'_>,
        config: &MinerConfig,
        draw: Draw,
        visitor: &mut dyn FnMut(Triplet),
    ) -> Tally {
        let mut tally = Tally::default();
        self.keep(pairs::visit(
            self, problem, config, draw, &mut tally, visitor,
        ));
        tally
    }

    fn each_hardest(&self, problem: &Problem<'_>, consume: &mut dyn FnMut(usize, Hardest)) {
        self.keep(hardest::each(self, problem, consume));
    }

    fn finish(&self) -> Result<(), MineError> {
        let failure = self.failure.lock().expect("no holder panics").take();
        failure.map_or(Ok(()), Err)
    }
}

/// The f32 distances of `rows` to all rows, `[rows.len(), n]`, as the kernel gives them; the rows
/// are finite.
///
/// # Errors
/// [`MineError::Device`] where the device refuses.
pub fn distances<D: Device>(
    device: &D,
    embeddings: Embeddings<'_>,
    rows: Range<usize>,
) -> Result<Vec<f32>, MineError> {
    let labels = vec![0; embeddings.len()];
    let problem = Problem::new(embeddings, &labels)?;
    let rows: Vec<u32> = (rows.start as u32..rows.end as u32).collect();
    On::new(device, &problem)?.distances(&rows)
}

/// Values of the type that was asked for.
pub(super) fn typed<T>(values: Option<T>) -> Result<T, MineError> {
    values.ok_or_else(|| MineError::device("values of another type came back"))
}

fn upload<D: Device>(device: &D, problem: &Problem<'_>) -> Result<Batch<D::Buffer>, MineError> {
    let (n, slack) = (problem.len(), problem.slack());
    let slacks = problem
        .sq_norms()
        .iter()
        .map(|&sq_norm| slack.of_row(sq_norm));
    let slacks: Vec<f64> = slacks.collect();
    let groups: Vec<u32> = (0..n).map(|row| problem.group(row)[0]).collect();
    Ok(Batch {
        values: device.upload_rows(&problem.rows())?,
        sq_norms: device.upload(Slice::F32(problem.sq_norms()))?,
        slacks: device.upload(Slice::F64(&slacks))?,
        groups: device.upload(Slice::U32(&groups))?,
        n: n as u32,
        dim: problem.dim() as u32,
        is_bounded: slack.is_finite(),
    })
}

/// Copies values back as u32.
pub(super) fn u32s<D: Device>(device: &D, buffer: &D::Buffer) -> Result<Vec<u32>, MineError> {
    typed(device.download(buffer).map(Values::into_u32)?)
}

/// Copies values back as f64.
pub(super) fn f64s<D: Device>(device: &D, buffer: &D::Buffer) -> Result<Vec<f64>, MineError> {
    typed(device.download(buffer).map(Values::into_f64)?)
}
