//! The kernels on an NVIDIA GPU, through cudarc: no toolkit to build, no driver to start.
//!
//! Nothing here has run on a GPU yet. What has run is everything around it: the launches of
//! `device`, in this order and with these arguments, on the kernels compiled as C++.
#![expect(
    unsafe_code,
    reason = "asking for NVIDIA's libraries, and launching kernels"
)]

use std::fmt;
use std::sync::Arc;

pub use cudarc;
use cudarc::driver::sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, CudaView, DriverError, LaunchArgs,
    LaunchConfig, PushKernelArg,
};
use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};
use rayon::prelude::*;

use crate::device::{
    Arg, Device, Element, Kernel, Launch, Memory, Slice, TILE, Values, compile_options,
};
use crate::problem::Problem;
use crate::{Draw, Embeddings, MineError, Mined, Miner};

/// Blocks that a multiprocessor holds: 256 threads of at most 128 registers each (ROOFLINE.md).
const BLOCKS_PER_MULTIPROCESSOR: u32 = 2;

/// Architectures to compile for where NVRTC does not know the device's own, best first.
const KNOWN_ARCHITECTURES: [&str; 3] = ["compute_90", "compute_80", "compute_75"];

/// A GPU with the kernels compiled for it.
pub struct CudaDevice {
    stream: Arc<CudaStream>,
    /// By [`Kernel::ALL`].
    functions: Vec<CudaFunction>,
    blocks: u32,
}

/// A GPU working on a stream of the caller's, with embeddings that are there already.
#[derive(Debug)]
struct OnStream<'a> {
    cuda: &'a CudaDevice,
    stream: &'a Arc<CudaStream>,
    rows: &'a CudaView<'a, f32>,
}

/// Values in a GPU's memory.
#[derive(Debug)]
pub enum CudaBuffer<'a> {
    /// Own f32.
    F32(CudaSlice<f32>),
    /// Own f64.
    F64(CudaSlice<f64>),
    /// Own u32.
    U32(CudaSlice<u32>),
    /// The caller's f32.
    Rows(&'a CudaView<'a, f32>),
}

impl Miner {
    /// Mines embeddings that are in a GPU's memory: [`Miner::mine`] in all else.
    ///
    /// The kernels read `rows` where they are, on `stream`, after all that it was asked for
    /// before. A copy goes to the host too, `4 n dim` bytes. What is launched depends on it: the
    /// rows that are not finite and their absence from the groups, the squared norms, summed in
    /// f64, and from the largest of them whether f32 is of use. The statistics sample f64
    /// distances of it, and `batch-all`, `distance-weighted` and lists of hardest negatives decide
    /// their doubts by it, as the pair rules and `batch-hard` do on the device. For 1,800 rows of
    /// 128 it is 0.9 MB, 0.015 ms at the peak of PCI Express 5 (`ROOFLINE.md`). A miner on the CPU
    /// (see [`Miner::fallback`]) mines that copy.
    ///
    /// - `stream`: of the context that `rows` lie in
    /// - `rows`: `[n, dim]` row-major
    ///
    /// # Errors
    /// Those of [`Miner::mine`] and [`Embeddings::new`]; [`MineError::Device`] where the device
    /// fails, or where `stream` is of another context than the miner's.
    pub fn mine_on_device(
        &self,
        stream: &Arc<CudaStream>,
        (rows, dim): (&CudaView<'_, f32>, usize),
        labels: &[u32],
        draw: Draw,
    ) -> Result<Mined, MineError> {
        let host = stream.clone_dtoh(rows).map_err(MineError::device)?;
        stream.synchronize().map_err(MineError::device)?;
        let problem = Problem::new(Embeddings::new(&host, dim)?, labels)?;
        let Some(cuda) = self.cuda() else {
            return self.mine_problem(None, problem, draw);
        };
        if stream.context().cu_ctx() != cuda.stream.context().cu_ctx() {
            return Err(MineError::device(
                "the stream is of another context than the miner's",
            ));
        }
        let on_stream = OnStream { cuda, stream, rows };
        self.mine_problem(Some(&on_stream), problem, draw)
    }
}

impl CudaDevice {
    /// Opens GPU number `ordinal` and compiles the kernels for it.
    ///
    /// # Errors
    /// One line that says what is missing: the driver, NVRTC, or a device that works.
    pub fn open(ordinal: usize) -> Result<Self, String> {
        find_libraries()?;
        let context = CudaContext::new(ordinal).map_err(said)?;
        let capability = context.compute_capability().map_err(said)?;
        let multiprocessors = context
            .attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
            .map_err(said)?;
        let programs: Result<Vec<Ptx>, CompileError> = Kernel::ALL
            .par_iter()
            .map(|&kernel| compile_for(kernel, capability))
            .collect();
        let function = |(kernel, ptx): (Kernel, Ptx)| {
            let module = context.load_module(ptx)?;
            module.load_function(kernel.name())
        };
        let programs = programs.map_err(said)?.into_iter();
        let functions = Kernel::ALL.into_iter().zip(programs).map(function);
        Ok(Self {
            stream: context.new_stream().map_err(said)?,
            functions: functions
                .collect::<Result<_, DriverError>>()
                .map_err(said)?,
            blocks: BLOCKS_PER_MULTIPROCESSOR * multiprocessors.unsigned_abs(),
        })
    }
}

/// An error in its own words, for `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn said(error: impl ToString) -> String {
    error.to_string()
}

/// Compiles a kernel's program to PTX; `arch` is as `compute_90`. Needs NVRTC, no driver.
///
/// # Errors
/// NVRTC's log, or that there is no NVRTC.
pub fn compile(kernel: Kernel, arch: &str) -> Result<String, String> {
    find_nvrtc()?;
    let ptx = compile_ptx(kernel, arch).map_err(|error| error.to_string())?;
    Ok(ptx.to_src())
}

/// For the device's own architecture, or for the next that NVRTC knows: the driver translates
/// PTX forward.
fn compile_for(kernel: Kernel, (major, minor): (i32, i32)) -> Result<Ptx, CompileError> {
    let own = format!("compute_{major}{minor}");
    let number = |arch: &str| arch.trim_start_matches("compute_").parse::<i32>().ok();
    let older = KNOWN_ARCHITECTURES
        .iter()
        .filter(|arch| number(arch) < Some(10 * major + minor));
    let failed = match compile_ptx(kernel, &own) {
        Ok(ptx) => return Ok(ptx),
        Err(error) => error,
    };
    older
        .map(|arch| compile_ptx(kernel, arch))
        .find_map(Result::ok)
        .ok_or(failed)
}

fn compile_ptx(kernel: Kernel, arch: &str) -> Result<Ptx, CompileError> {
    let mut options = compile_options();
    options.push(format!("--gpu-architecture={arch}"));
    let options = CompileOptions {
        options,
        name: Some(format!("{}.cu", kernel.name())),
        ..Default::default()
    };
    compile_ptx_with_opts(kernel.program(), options)
}

/// cudarc panics where it finds no library, so it is asked first.
fn find_libraries() -> Result<(), String> {
    #[cfg(not(feature = "cuda-linked"))]
    {
        // SAFETY: loads the library that the driver has installed, if there is one, as every call
        // of cudarc does; its initialisers are NVIDIA's.
        if !unsafe { cudarc::driver::sys::is_culib_present() } {
            return Err("no NVIDIA driver".to_owned());
        }
    }
    find_nvrtc()
}

/// As [`find_libraries`], for the compiler.
#[cfg_attr(
    feature = "cuda-linked",
    expect(clippy::unnecessary_wraps, reason = "a linked library is there")
)]
fn find_nvrtc() -> Result<(), String> {
    #[cfg(not(feature = "cuda-linked"))]
    {
        // SAFETY: as above, for the library of the toolkit.
        if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
            return Err("no NVRTC library: libnvrtc.so or libnvrtc.so.12".to_owned());
        }
    }
    Ok(())
}

impl Device for CudaDevice {
    type Buffer = CudaBuffer<'static>;

    fn tile(&self) -> u32 {
        TILE
    }

    fn blocks(&self) -> u32 {
        self.blocks
    }

    fn upload(&self, values: Slice<'_>) -> Result<Self::Buffer, MineError> {
        upload(&self.stream, values)
    }

    fn zeros(&self, element: Element, len: usize) -> Result<Self::Buffer, MineError> {
        zeros(&self.stream, element, len)
    }

    fn download(&self, buffer: &Self::Buffer) -> Result<Values, MineError> {
        download(&self.stream, buffer)
    }

    fn launch(&self, launch: Launch<'_, Self::Buffer>) -> Result<(), MineError> {
        run(self, &self.stream, launch)
    }
}

impl<'a> Device for OnStream<'a> {
    type Buffer = CudaBuffer<'a>;

    fn tile(&self) -> u32 {
        TILE
    }

    fn blocks(&self) -> u32 {
        self.cuda.blocks
    }

    fn upload(&self, values: Slice<'_>) -> Result<Self::Buffer, MineError> {
        upload(self.stream, values)
    }

    /// Without masked rows those on the device are the ones to mine.
    fn upload_rows(&self, rows: &[f32]) -> Result<Self::Buffer, MineError> {
        if rows.len() == self.rows.len() {
            return Ok(CudaBuffer::Rows(self.rows));
        }
        upload(self.stream, Slice::F32(rows))
    }

    fn zeros(&self, element: Element, len: usize) -> Result<Self::Buffer, MineError> {
        zeros(self.stream, element, len)
    }

    fn download(&self, buffer: &Self::Buffer) -> Result<Values, MineError> {
        download(self.stream, buffer)
    }

    fn launch(&self, launch: Launch<'_, Self::Buffer>) -> Result<(), MineError> {
        run(self.cuda, self.stream, launch)
    }
}

fn upload<'a>(stream: &Arc<CudaStream>, values: Slice<'_>) -> Result<CudaBuffer<'a>, MineError> {
    let buffer = match values {
        Slice::F32(values) => stream.clone_htod(values).map(CudaBuffer::F32),
        Slice::F64(values) => stream.clone_htod(values).map(CudaBuffer::F64),
        Slice::U32(values) => stream.clone_htod(values).map(CudaBuffer::U32),
    };
    buffer.map_err(MineError::device)
}

fn zeros<'a>(
    stream: &Arc<CudaStream>,
    element: Element,
    len: usize,
) -> Result<CudaBuffer<'a>, MineError> {
    let buffer = match element {
        Element::F32 => stream.alloc_zeros(len).map(CudaBuffer::F32),
        Element::F64 => stream.alloc_zeros(len).map(CudaBuffer::F64),
        Element::U32 => stream.alloc_zeros(len).map(CudaBuffer::U32),
    };
    buffer.map_err(MineError::device)
}

fn download(stream: &Arc<CudaStream>, buffer: &CudaBuffer<'_>) -> Result<Values, MineError> {
    let values = match buffer {
        CudaBuffer::F32(slice) => stream.clone_dtoh(slice).map(Values::F32),
        CudaBuffer::F64(slice) => stream.clone_dtoh(slice).map(Values::F64),
        CudaBuffer::U32(slice) => stream.clone_dtoh(slice).map(Values::U32),
        CudaBuffer::Rows(view) => stream.clone_dtoh(*view).map(Values::F32),
    };
    let values = values.map_err(MineError::device)?;
    stream.synchronize().map_err(MineError::device)?;
    Ok(values)
}

fn run(
    cuda: &CudaDevice,
    stream: &CudaStream,
    mut launch: Launch<'_, CudaBuffer<'_>>,
) -> Result<(), MineError> {
    let kernel = launch.kernel();
    let at = Kernel::ALL.iter().position(|&known| known == kernel);
    let function = &cuda.functions[at.expect("ALL has every kernel")];
    let ([grid_x, grid_y], [block_x, block_y]) =
        (launch.grid(), Launch::<CudaBuffer<'_>>::block(TILE));
    let config = LaunchConfig {
        grid_dim: (grid_x, grid_y, 1),
        block_dim: (block_x, block_y, 1),
        shared_mem_bytes: 0,
    };
    let mut builder = stream.launch_builder(function);
    for arg in launch.args_mut() {
        push(&mut builder, arg);
    }
    // SAFETY: a `Launch` holds the arguments in the order and with the types of the kernel's
    // parameters (the tests' C++ build refuses any other), and buffers of the lengths that its
    // header gives (checked where it was made); the kernels keep to those lengths for every grid
    // (run under AddressSanitizer). What a kernel writes is pushed as `&mut`.
    unsafe { builder.launch(config) }.map_err(MineError::device)?;
    Ok(())
}

fn push<'a>(builder: &mut LaunchArgs<'a>, arg: &'a mut Arg<'_, CudaBuffer<'_>>) {
    match arg {
        Arg::U32(value) => builder.arg(&*value),
        Arg::F64(value) => builder.arg(&*value),
        Arg::In(CudaBuffer::F32(slice)) => builder.arg(slice),
        Arg::In(CudaBuffer::F64(slice)) => builder.arg(slice),
        Arg::In(CudaBuffer::U32(slice)) => builder.arg(slice),
        Arg::In(CudaBuffer::Rows(view)) => builder.arg(*view),
        Arg::Out(CudaBuffer::F32(slice)) => builder.arg(slice),
        Arg::Out(CudaBuffer::F64(slice)) => builder.arg(slice),
        Arg::Out(CudaBuffer::U32(slice)) => builder.arg(slice),
        Arg::Out(CudaBuffer::Rows(_)) => unreachable!("the caller's rows are only read"),
    };
}

impl Memory for CudaBuffer<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(slice) => slice.len(),
            Self::F64(slice) => slice.len(),
            Self::U32(slice) => slice.len(),
            Self::Rows(view) => view.len(),
        }
    }

    fn element(&self) -> Element {
        match self {
            Self::F32(_) | Self::Rows(_) => Element::F32,
            Self::F64(_) => Element::F64,
            Self::U32(_) => Element::U32,
        }
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaDevice")
            .field("ordinal", &self.stream.context().ordinal())
            .finish_non_exhaustive()
    }
}
