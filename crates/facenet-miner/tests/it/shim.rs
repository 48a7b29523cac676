//! The kernels as a program of the CPU: built by the C++ compiler that is there, fed by pipe.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::{env, fs};

use facenet_miner::MineError;
use facenet_miner::device::{Arg, Device, Element, Kernel, Launch, Memory, Slice, Values};

/// The C++ sources beside the kernels.
const SOURCES: [(&str, &str); 5] = [
    ("main.cpp", include_str!("../shim/main.cpp")),
    ("scheduler.cpp", include_str!("../shim/scheduler.cpp")),
    ("scheduler.h", include_str!("../shim/scheduler.h")),
    ("cuda_shim.h", include_str!("../shim/cuda_shim.h")),
    ("fiber.h", include_str!("../shim/fiber.h")),
];

/// What every build is given. Nothing is fused unless the kernel says so, as on the device.
const FLAGS: [&str; 6] = [
    "-std=c++17",
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
];

/// How a program is built.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Build {
    pub(crate) tile: u32,
    pub(crate) sanitized: bool,
    /// A text of the kernels and what to put in its place: a mistake to be caught.
    pub(crate) mistake: Option<(&'static str, &'static str)>,
}

impl Build {
    pub(crate) fn plain(tile: u32) -> Self {
        Self {
            tile,
            sanitized: false,
            mistake: None,
        }
    }

    /// The program; `None`, said aloud, where no compiler can make it.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        let compiler = compiler(self.sanitized)?;
        let flags = self.flags(&compiler);
        let mut hasher = DefaultHasher::new();
        (self, &compiler, &flags, SOURCES, self.kernels()).hash(&mut hasher);
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = root.join(format!("shim-{:016x}", hasher.finish()));
        let program = folder.join("shim");
        if !program.is_file() {
            self.build(&compiler, &flags, &folder);
        }
        Some(program)
    }

    fn kernels(&self) -> Vec<(String, String)> {
        let with_mistake = |text: &str| match self.mistake {
            Some((right, wrong)) => text.replace(right, wrong),
            None => text.to_owned(),
        };
        let file = |kernel: Kernel| format!("{}.cu", kernel.name());
        let kernels = Kernel::ALL.into_iter();
        kernels
            .map(|kernel| (file(kernel), with_mistake(kernel.program())))
            .collect()
    }

    fn flags(&self, compiler: &Compiler) -> Vec<String> {
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
        flags.push(format!("-DTILE={}", self.tile));
        flags.extend(self.mistake.is_none().then(|| "-Werror".to_owned()));
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("fma") {
            flags.push("-mfma".to_owned());
        }
        if self.sanitized {
            flags.extend(SANITIZERS.map(str::to_owned));
            let sections = "-fsanitize-sections=cuda_shared".to_owned();
            flags.extend((!compiler.is_clang).then_some(sections));
        } else {
            flags.push("-O2".to_owned());
        }
        flags
    }

    /// Builds aside and moves into place, so that tests side by side do no harm.
    fn build(&self, compiler: &Compiler, flags: &[String], folder: &Path) {
        let aside = tempfile::tempdir_in(folder.parent().expect("below the root")).expect("room");
        for (name, text) in SOURCES {
            fs::write(aside.path().join(name), text).expect("room");
        }
        for (name, text) in self.kernels() {
            fs::write(aside.path().join(name), text).expect("room");
        }
        let mut command = Command::new(&compiler.name);
        command.current_dir(aside.path()).args(flags);
        command.args(["main.cpp", "scheduler.cpp", "-o", "shim"]);
        let output = command.output().expect("it started before");
        assert!(output.status.success(), "{}", text(&output.stderr));
        // Another test may have been faster, with the same result.
        let _ = fs::rename(aside.path(), folder);
        assert!(folder.join("shim").is_file(), "the program is in place");
    }
}

/// Loaded at a fixed place: where the system places programs at random with many bits, one in
/// some lands where the sanitizers of older compilers keep their heap, and ends at its start.
const SANITIZERS: [&str; 6] = [
    "-O1",
    "-g",
    "-fno-pie",
    "-no-pie",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
];

#[derive(Debug, Clone, Hash)]
struct Compiler {
    name: String,
    version: String,
    is_clang: bool,
}

/// The first C++ compiler that works, with sanitizers if it is `sanitized`; looked for once.
fn compiler(sanitized: bool) -> Option<Compiler> {
    static FOUND: [OnceLock<Option<Compiler>>; 2] = [const { OnceLock::new() }; 2];
    let found = FOUND[usize::from(sanitized)].get_or_init(|| find_compiler(sanitized));
    if found.is_none() {
        let with = if sanitized { " with sanitizers" } else { "" };
        crate::skip::skip(format_args!(
            "no C++ compiler{with} for Linux here; the kernels were not run"
        ));
    }
    found.clone()
}

fn find_compiler(sanitized: bool) -> Option<Compiler> {
    let named = env::var("CXX").ok();
    let names = ["c++", "g++", "clang++"].map(str::to_owned);
    let candidates = named.into_iter().chain(names);
    let found = candidates.filter_map(|name| {
        let output = Command::new(&name).arg("--version").output().ok()?;
        let version = text(&output.stdout);
        let is_clang = version.contains("clang");
        works(&name, sanitized).then_some(Compiler {
            name,
            version,
            is_clang,
        })
    });
    found
        .into_iter()
        .next()
        .filter(|_| cfg!(target_os = "linux"))
}

/// Whether it makes a program of nothing.
fn works(name: &str, sanitized: bool) -> bool {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tempfile::tempdir_in(root).expect("room");
    fs::write(folder.path().join("main.cpp"), "int main() {}\n").expect("room");
    let mut command = Command::new(name);
    command
        .current_dir(folder.path())
        .args(["-std=c++17", "main.cpp"]);
    command.args(sanitized.then_some("-fsanitize=address,undefined"));
    let is_made = |output: Output| output.status.success();
    command.output().is_ok_and(is_made)
}

/// In what order the threads of a block run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Forward,
    Reversed,
    Shuffled,
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Shim {
    tile: u32,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    requests: BufWriter<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Shim {
    /// Starts the program; `None`, said aloud, where there is none.
    pub(crate) fn start(build: &Build, order: Order) -> Option<Arc<Self>> {
        let order = format!("{order:?}").to_lowercase();
        let mut command = Command::new(build.program()?);
        command.args([&order, "20261125"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let requests = BufWriter::new(child.stdin.take().expect("piped"));
        let replies = BufReader::new(child.stdout.take().expect("piped"));
        let running = Mutex::new(Running {
            child,
            requests,
            replies,
        });
        Some(Arc::new(Self {
            tile: build.tile,
            running,
        }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program as a device of some size, with its rows off their boundaries if it is said so.
#[derive(Debug, Clone)]
pub(crate) struct OnShim {
    pub(crate) shim: Arc<Shim>,
    /// What [`Device::blocks`] says.
    pub(crate) blocks: u32,
    /// Bytes past a boundary of 16 where f32 values start; a multiple of 4.
    pub(crate) offset: u32,
}

/// Values, as the program will have them.
#[derive(Debug)]
pub(crate) struct Buffer {
    values: Values,
    offset: u32,
}

impl Memory for Buffer {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn element(&self) -> Element {
        self.values.element()
    }
}

impl OnShim {
    fn buffer(&self, values: Values) -> Buffer {
        let is_f32 = values.element() == Element::F32;
        let offset = if is_f32 { self.offset } else { 0 };
        Buffer { values, offset }
    }
}

impl Device for OnShim {
    type Buffer = Buffer;

    fn tile(&self) -> u32 {
        self.shim.tile
    }

    fn blocks(&self) -> u32 {
        self.blocks
    }

    fn upload(&self, values: Slice<'_>) -> Result<Buffer, MineError> {
        Ok(self.buffer(values.to_values()))
    }

    fn zeros(&self, element: Element, len: usize) -> Result<Buffer, MineError> {
        Ok(self.buffer(element.zeros(len)))
    }

    fn download(&self, buffer: &Buffer) -> Result<Values, MineError> {
        Ok(buffer.values.clone())
    }

    fn launch(&self, mut launch: Launch<'_, Buffer>) -> Result<(), MineError> {
        let mut running = self.shim.running.lock().expect("no holder panics");
        let done = running
            .ask(&launch)
            .and_then(|()| running.hear(&mut launch));
        done.map_err(|error| {
            let what = running.last_words().unwrap_or_else(|| error.to_string());
            MineError::Device { what }
        })
    }
}

impl Running {
    fn ask(&mut self, launch: &Launch<'_, Buffer>) -> io::Result<()> {
        let kernel = Kernel::ALL
            .iter()
            .position(|&kernel| kernel == launch.kernel());
        let [x, y] = launch.grid();
        let n_args = launch.args().len() as u32;
        for word in [kernel.expect("ALL has every kernel") as u32, x, y, n_args] {
            self.u32(word)?;
        }
        for arg in launch.args() {
            match arg {
                Arg::U32(value) => self.u32(0).and_then(|()| self.u32(*value))?,
                Arg::F64(value) => {
                    self.u32(1)?;
                    self.requests.write_all(&value.to_le_bytes())?;
                }
                Arg::In(buffer) => self.u32(2).and_then(|()| self.buffer(buffer))?,
                Arg::Out(buffer) => self.u32(3).and_then(|()| self.buffer(buffer))?,
            }
        }
        self.requests.flush()
    }

    fn u32(&mut self, value: u32) -> io::Result<()> {
        self.requests.write_all(&value.to_le_bytes())
    }

    fn buffer(&mut self, buffer: &Buffer) -> io::Result<()> {
        let element = match buffer.element() {
            Element::F32 => 0,
            Element::F64 => 1,
            Element::U32 => 2,
        };
        for word in [element, buffer.offset, buffer.len() as u32] {
            self.u32(word)?;
        }
        let bytes: Vec<u8> = match &buffer.values {
            Values::F32(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::F64(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::U32(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        self.requests.write_all(&bytes)
    }

    fn hear(&mut self, launch: &mut Launch<'_, Buffer>) -> io::Result<()> {
        for arg in launch.args_mut() {
            let Arg::Out(buffer) = arg else { continue };
            match &mut buffer.values {
                Values::F32(values) => self.words(values, f32::from_le_bytes)?,
                Values::F64(values) => self.words(values, f64::from_le_bytes)?,
                Values::U32(values) => self.words(values, u32::from_le_bytes)?,
            }
        }
        Ok(())
    }

    fn words<T, const N: usize>(
        &mut self,
        values: &mut [T],
        of: fn([u8; N]) -> T,
    ) -> io::Result<()> {
        let mut bytes = vec![0; N * values.len()];
        self.replies.read_exact(&mut bytes)?;
        for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
            *value = of(*bytes);
        }
        Ok(())
    }

    /// What the program said before it ended.
    fn last_words(&mut self) -> Option<String> {
        let mut words = String::new();
        let mut stderr = self.child.stderr.take()?;
        stderr.read_to_string(&mut words).ok()?;
        Some(words)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
