//! What a tape takes from its memory, found without computing: the same buffers, taken and
//! dropped in the same order, as numbers of lines.
//!
//! **Invariant:** what [`super::layers`] takes, holds and drops, this does too; a test compares
//! what both keep in the end.

use std::cell::RefCell;
use std::rc::Rc;

use candle_core::Result;

use crate::config::ConvConfig;
use crate::microkernels::buffer::LINE_BYTES;
use crate::microkernels::pool::Pool;
use crate::{Bf16, Precision};

/// The account of a [`crate::Memory`]: what passes would make it hold.
#[derive(Clone, Debug, Default)]
pub struct Account(Rc<RefCell<Balance>>);

#[derive(Debug, Default)]
struct Balance {
    pool: Pool<()>,
    /// Lines in use.
    live: usize,
    /// Most lines in use and kept at once.
    peak: usize,
}

impl Account {
    /// Most bytes in use and kept at once so far.
    pub fn peak_bytes(&self) -> usize {
        self.0.borrow().peak * LINE_BYTES
    }

    /// [`crate::Memory::kept_bytes`].
    pub fn kept_bytes(&self) -> usize {
        self.0.borrow().pool.lines() * LINE_BYTES
    }

    /// A buffer of so many bytes, as [`crate::Memory`] would give it.
    fn take(&self, bytes: usize) -> Claim {
        let wanted = bytes.div_ceil(LINE_BYTES);
        let mut balance = self.0.borrow_mut();
        let lines = balance
            .pool
            .take(wanted)
            .map_or(wanted, |((), lines)| lines);
        balance.live += lines;
        balance.peak = balance.peak.max(balance.live + balance.pool.lines());
        Claim {
            account: self.clone(),
            lines,
        }
    }
}

/// A buffer that is not there.
#[derive(Debug)]
struct Claim {
    account: Account,
    lines: usize,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut balance = self.account.0.borrow_mut();
        balance.live -= self.lines;
        balance.pool.give_back((), self.lines);
    }
}

/// Activations `[n, h, w, c]` that are not there.
#[derive(Clone, Debug)]
pub struct Planned {
    claim: Rc<Claim>,
    dims: [usize; 4],
    place: usize,
}

impl Planned {
    /// `[n, h, w, c]`.
    pub fn dims(&self) -> [usize; 4] {
        self.dims
    }
}

/// A convolution as far as it takes memory.
#[derive(Clone, Copy, Debug)]
pub struct PlannedConv {
    /// Channels that it gives.
    pub c_out: usize,
    /// Height and width of its kernel.
    pub kernel: (usize, usize),
    /// Stride and padding.
    pub config: ConvConfig,
    /// Whether each channel has a kernel of its own.
    pub is_depthwise: bool,
}

/// A pass as far as it takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedPass {
    /// Images that go through at once.
    pub images: usize,
    /// Whether layers are normalised by the statistics of the batch.
    pub is_training: bool,
    /// Whether the pass goes back: [`crate::Setting::is_tracked`].
    pub is_tracked: bool,
    /// Format of its activations.
    pub precision: Precision,
}

type Back = Box<dyn FnOnce(&mut Gradients, Claim)>;

/// A [`crate::Tape`] that computes nothing.
pub struct Ledger {
    account: Account,
    pass: PlannedPass,
    activations: usize,
    nodes: Vec<(usize, Back)>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("pass", &self.pass)
            .finish_non_exhaustive()
    }
}

/// Gradients of activations, where there are any.
struct Gradients {
    account: Account,
    size: usize,
    of: Vec<Option<Claim>>,
}

impl Gradients {
    fn take(&self, len: usize) -> Claim {
        self.account.take(len * self.size)
    }

    fn add(&mut self, place: usize, grad: Claim) {
        self.of[place].get_or_insert(grad);
    }
}

/// Plans a pass as [`crate::run_nhwc`] makes it, there and, where it is tracked, back.
///
/// - `size`: height, width and channels of an image
/// - `f`: the network, on the images
///
/// # Errors
/// `f`'s own.
pub fn plan(
    account: &Account,
    pass: PlannedPass,
    size: (usize, usize, usize),
    f: impl FnOnce(&mut Ledger, Planned) -> Result<Planned>,
) -> Result<()> {
    account.0.borrow_mut().pool.begin_pass();
    let mut ledger = Ledger {
        account: account.clone(),
        pass,
        activations: 0,
        nodes: Vec::new(),
    };
    let input = ledger.activation([pass.images, size.0, size.1, size.2]);
    let output = f(&mut ledger, input)?;
    if pass.is_tracked {
        ledger.go_back(output);
    }
    Ok(())
}

impl Ledger {
    /// Bytes of a number.
    fn size(&self) -> usize {
        match self.pass.precision {
            Precision::F32 => size_of::<f32>(),
            Precision::Bf16 => size_of::<Bf16>(),
        }
    }

    fn take(&self, dims: [usize; 4]) -> Claim {
        self.account
            .take(dims.iter().product::<usize>() * self.size())
    }

    fn activation(&mut self, dims: [usize; 4]) -> Planned {
        self.activations += 1;
        Planned {
            claim: Rc::new(self.take(dims)),
            dims,
            place: self.activations - 1,
        }
    }

    fn record(&mut self, output: &Planned, back: impl FnOnce(&mut Gradients, Claim) + 'static) {
        if self.pass.is_tracked {
            self.nodes.push((output.place, Box::new(back)));
        }
    }

    /// [`crate::Tape::conv_norm`].
    ///
    /// # Errors
    /// Where the window does not fit.
    pub fn conv_norm(&mut self, x: &Planned, conv: &PlannedConv) -> Result<Planned> {
        let [n, h, w, _] = x.dims;
        let (h, w) = conv.config.output((h, w), conv.kernel)?;
        let dims = [n, h, w, conv.c_out];
        let PlannedPass {
            is_training,
            is_tracked,
            ..
        } = self.pass;
        if !is_training && !is_tracked && !conv.is_depthwise {
            return Ok(self.activation(dims));
        }
        let y = self.take(dims);
        let z = self.activation(dims);
        let (x, is_depthwise) = (x.clone(), conv.is_depthwise);
        self.record(&z, move |gradients, grad| {
            drop(y);
            let (place, len) = (x.place, x.dims.iter().product());
            drop(x);
            // The images' gradient is not asked for.
            if place > 0 {
                data_gradient(gradients, (place, len), is_depthwise);
            }
            drop(grad);
        });
        Ok(z)
    }

    /// [`crate::Tape::residual`].
    pub fn residual(&mut self, x: &Planned, branch: &Planned) -> Planned {
        let y = self.activation(x.dims);
        let (x, branch, values) = (x.place, branch.clone(), y.claim.clone());
        self.record(&y, move |gradients, grad| {
            drop(values);
            let (place, len) = (branch.place, branch.dims.iter().product());
            drop(branch);
            data_gradient(gradients, (place, len), false);
            gradients.add(x, grad);
        });
        y
    }

    /// [`crate::Tape::add`].
    pub fn add(&mut self, a: &Planned, b: &Planned) -> Planned {
        let sum = self.activation(a.dims);
        let (a, b, len) = (a.place, b.place, a.dims.iter().product());
        self.record(&sum, move |gradients, grad| {
            let copy = gradients.take(len);
            gradients.add(a, copy);
            gradients.add(b, grad);
        });
        sum
    }

    /// [`crate::Tape::concat`], of one part at least.
    pub fn concat(&mut self, parts: &[Planned]) -> Planned {
        let [n, h, w, _] = parts[0].dims;
        let c = parts.iter().map(|part| part.dims[3]).sum();
        let joined = self.activation([n, h, w, c]);
        let each = parts
            .iter()
            .map(|part| (part.place, n * h * w * part.dims[3]));
        let each: Vec<(usize, usize)> = each.collect();
        self.record(&joined, move |gradients, grad| {
            for (place, len) in each {
                let part = gradients.take(len);
                gradients.add(place, part);
            }
            drop(grad);
        });
        joined
    }

    /// [`crate::Tape::max_pool`].
    ///
    /// # Errors
    /// Where the window does not fit.
    pub fn max_pool(&mut self, x: &Planned, kernel: usize, stride: usize) -> Result<Planned> {
        let [n, h, w, c] = x.dims;
        let config = ConvConfig {
            stride: (stride, stride),
            padding: (0, 0),
        };
        let (h, w) = config.output((h, w), (kernel, kernel))?;
        let winners = self.pass.is_tracked.then(|| self.take([n, h, w, c]));
        let y = self.activation([n, h, w, c]);
        if let Some(winners) = winners {
            let (place, len) = (x.place, x.dims.iter().product());
            self.record(&y, move |gradients, grad| {
                let dx = gradients.take(len);
                gradients.add(place, dx);
                drop((winners, grad));
            });
        }
        Ok(y)
    }

    /// [`crate::Tape::global_average_pool`].
    pub fn global_average_pool(&mut self, x: &Planned) -> Planned {
        let [n, _, _, c] = x.dims;
        let y = self.activation([n, 1, 1, c]);
        let (place, len) = (x.place, x.dims.iter().product());
        self.record(&y, move |gradients, grad| {
            let dx = gradients.take(len);
            gradients.add(place, dx);
            drop(grad);
        });
        y
    }

    fn go_back(self, output: Planned) {
        let (place, len) = (output.place, output.dims.iter().product());
        drop(output);
        let mut gradients = Gradients {
            size: self.size(),
            account: self.account,
            of: (0..self.activations).map(|_| None).collect(),
        };
        let own = gradients.take(len);
        gradients.add(place, own);
        for (output, back) in self.nodes.into_iter().rev() {
            if let Some(grad) = gradients.of[output].take() {
                back(&mut gradients, grad);
            }
        }
    }
}

/// A dense pass writes the sum with what was there to a buffer of its own; a depthwise one is
/// added to it.
fn data_gradient(gradients: &mut Gradients, (place, len): (usize, usize), is_depthwise: bool) {
    let dx = gradients.take(len);
    if is_depthwise {
        gradients.add(place, dx);
    } else {
        gradients.of[place] = Some(dx);
    }
}
