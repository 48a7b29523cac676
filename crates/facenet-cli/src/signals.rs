//! Signals that ask a run to stop: the interrupt that a terminal's Ctrl-C sends, and the termination
//! that systems send before they kill.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::stream;

/// Signals that come so soon after the first are the same wish: `timeout`, for one, sends its signal
/// to a process and again to its group.
const TOGETHER: Duration = Duration::from_millis(300);
/// Time between two looks at whether the first has come.
const PAUSE: Duration = Duration::from_millis(50);

/// Which signal has come, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    /// Its number; 0 before.
    came: Arc<AtomicUsize>,
}

/// A signal by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(pub(crate) u8);

impl Signal {
    /// A terminal's Ctrl-C.
    pub(crate) const INTERRUPT: Self = Self(SIGINT as u8);
    /// What a system sends before it kills.
    pub(crate) const TERMINATE: Self = Self(SIGTERM as u8);

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        if self == Self::INTERRUPT {
            "SIGINT"
        } else {
            "SIGTERM"
        }
    }

    /// Its name as the command `kill` takes it.
    #[cfg(unix)]
    pub(crate) fn short_name(self) -> &'static str {
        &self.name()["SIG".len()..]
    }
}

/// Lets a write beyond a limit for files be an error, which is told, and no end of the process.
pub(crate) fn outlive_file_limits() {
    // Where it cannot be done, the system ends the process, as it would have.
    #[cfg(unix)]
    let _ = flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

impl Signals {
    /// Notes the first signal from now on; a second one, later than [`TOGETHER`], quits the process at
    /// once.
    pub(crate) fn listen() -> Self {
        let signals = Self::default();
        if let Err(error) = signals.register() {
            stream::tell(&format!(
                "warning: a signal will end this run at once ({error}); its last checkpoint stays"
            ));
        }
        signals
    }

    /// Handlers act in the order of their registration.
    fn register(&self) -> io::Result<()> {
        let is_next_the_second = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let quits = is_next_the_second.clone();
            flag::register_conditional_shutdown(signal, 128 + signal, quits)?;
            flag::register_usize(signal, self.came.clone(), signal as usize)?;
        }
        let came = self.came.clone();
        let wait = move || {
            while came.load(Ordering::Relaxed) == 0 {
                thread::sleep(PAUSE);
            }
            thread::sleep(TOGETHER);
            is_next_the_second.store(true, Ordering::Relaxed);
        };
        let builder = thread::Builder::new().name("facenet-signals".to_owned());
        builder.spawn(wait).map(drop)
    }

    /// The signal that has come.
    pub(crate) fn come(&self) -> Option<Signal> {
        let number = self.came.load(Ordering::Relaxed);
        (number != 0).then_some(Signal(number as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_is_noted() {
        let signals = Signals::listen();
        assert_eq!(signals.come(), None);
        signal_hook::low_level::raise(SIGTERM).expect("to this process");
        let come = signals.come().expect("it has come");
        assert_eq!((come, come.name()), (Signal(15), "SIGTERM"));
    }
}
