//! Every target by name.

/// A function that any bytes may be given, and bytes that lead somewhere.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, the binary's and the corpus's.
    pub name: &'static str,
    /// Takes any bytes; a panic is a finding.
    pub run: fn(&[u8]),
    /// Bytes to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// A target of the module of its name.
macro_rules! target {
    ($name:ident) => {
        Target {
            name: stringify!($name),
            run: crate::$name::run,
            seeds: crate::$name::seeds,
        }
    };
}

/// Every target; those of crates with a network behind the feature `networks`.
pub const TARGETS: &[Target] = &[
    target!(graph),
    target!(state_dict),
    target!(wire),
    target!(picture),
    target!(recipe),
    target!(people),
    target!(pairs),
    target!(gallery),
    target!(embeddings),
    #[cfg(feature = "networks")]
    target!(import),
    #[cfg(feature = "networks")]
    target!(model_config),
    #[cfg(feature = "networks")]
    target!(events),
    #[cfg(feature = "networks")]
    target!(stored),
    #[cfg(feature = "networks")]
    target!(schedule),
];

/// Runs the target of this name.
///
/// # Panics
/// Where there is none, and where the target finds something.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").run)(bytes);
}
