//! How a network computes: on how many threads, and in which arithmetic.

use facenet_model::{Arithmetic, Isa, Precision};

use crate::config::TrainConfig;
use crate::error::TrainError;

/// Most threads that may be asked for: far above any machine's cores.
pub const MAX_THREADS: usize = 1024;

/// Runs `work` with its operations on `threads` threads, or on all that the process has.
///
/// Results do not depend on the number.
///
/// - `threads`: 1 to [`MAX_THREADS`]
///
/// # Errors
/// [`TrainError::Config`] for a number out of range, and where the system starts no more threads;
/// and `work`'s own.
pub fn on_threads<R: Send>(
    threads: Option<usize>,
    work: impl FnOnce() -> Result<R, TrainError> + Send,
) -> Result<R, TrainError> {
    let Some(threads) = threads else {
        return work();
    };
    check_threads(threads)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| {
        TrainError::config("--threads", format!("found {threads} ({error}); lower it"))
    })?;
    pool.install(work)
}

fn check_threads(threads: usize) -> Result<(), TrainError> {
    if (1..=MAX_THREADS).contains(&threads) {
        return Ok(());
    }
    Err(TrainError::config(
        "--threads",
        format!("found {threads}, expected 1 to {MAX_THREADS}"),
    ))
}

/// The precision of a name: `f32` or `bf16`.
///
/// # Errors
/// [`TrainError::Config`] for another one.
pub fn precision(name: &str) -> Result<Precision, TrainError> {
    let mut all = [Precision::F32, Precision::Bf16].into_iter();
    all.find(|&precision| precision_name(precision) == name)
        .ok_or_else(|| {
            TrainError::config(
                "--precision",
                format!("found {name:?}, expected f32 or bf16"),
            )
        })
}

/// A precision's name in flags and files.
pub fn precision_name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
    }
}

/// What a step takes least time in: `bf16` on the CPU where it multiplies that in one instruction
/// (AVX512-BF16), else `f32`.
///
/// - `device`: as `--device`
pub fn fastest_precision(device: &str) -> Precision {
    if device.starts_with("cpu") && Isa::best().has_bf16() {
        Precision::Bf16
    } else {
        Precision::F32
    }
}

/// Refuses arithmetic that the device does not have. Winograd's algorithm may be allowed anywhere: a
/// device without it goes without.
///
/// - `device`: as `--device`
///
/// # Errors
/// [`TrainError::Config`] for bf16 elsewhere than on the CPU.
pub(crate) fn check_arithmetic(arithmetic: Arithmetic, device: &str) -> Result<(), TrainError> {
    if arithmetic.precision == Precision::Bf16 && !device.starts_with("cpu") {
        let problem = "expected f32 there; drop one of the two";
        let found = format!("found bf16 with --device {device}");
        return Err(TrainError::config(
            "--precision",
            format!("{found}, {problem}"),
        ));
    }
    Ok(())
}

impl TrainConfig {
    /// How the network is computed.
    pub fn arithmetic(&self) -> Arithmetic {
        Arithmetic {
            precision: self.precision,
            is_winograd: self.winograd,
        }
    }
}

/// serde's form of a precision: its name.
pub(crate) mod named {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{Precision, precision, precision_name};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(crate) fn serialize<S: Serializer>(
        value: &Precision,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(precision_name(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Precision, D::Error> {
        let name = String::deserialize(deserializer)?;
        precision(&name).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_on_the_threads_asked_for() {
        let threads = |n| on_threads(n, || Ok(rayon::current_num_threads()));
        assert_eq!(threads(Some(3)).expect("three threads"), 3);
        let all = rayon::current_num_threads();
        assert_eq!(threads(None).expect("those there are"), all);
        for wrong in [0, MAX_THREADS + 1] {
            let message = threads(Some(wrong)).expect_err("out of range").to_string();
            let expected = format!("--threads: found {wrong}, expected 1 to 1024");
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn precisions_have_names_and_other_names_are_refused() {
        for (name, expected) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
            assert_eq!(precision(name).expect("its own name"), expected);
            assert_eq!(precision_name(expected), name);
        }
        let message = precision("fp8").expect_err("not one of ours").to_string();
        assert_eq!(message, "--precision: found \"fp8\", expected f32 or bf16");
    }

    #[test]
    fn arithmetic_that_is_not_computed_is_refused() {
        for device in ["cpu", "cuda:0"] {
            check_arithmetic(Arithmetic::default(), device).expect("f32 is everywhere");
            check_arithmetic(Arithmetic::of_inference(), device).expect("leave to do without");
        }
        let bf16 = Arithmetic {
            precision: Precision::Bf16,
            ..Arithmetic::default()
        };
        check_arithmetic(bf16, "cpu").expect("bf16 is on the CPU");
        let expected = "--precision: found bf16 with --device cuda:0, expected f32";
        let error = check_arithmetic(bf16, "cuda:0").expect_err("not there");
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn a_configuration_without_arithmetic_is_of_before_there_was_any() {
        let config = TrainConfig {
            precision: Precision::Bf16,
            threads: Some(2),
            ..TrainConfig::demo()
        };
        let mut object = serde_json::to_value(&config).expect("plain fields");
        assert_eq!(object["precision"], "bf16");
        let again: TrainConfig = serde_json::from_value(object.clone()).expect("as written");
        assert_eq!(again, config);
        for field in ["threads", "precision", "winograd"] {
            object.as_object_mut().expect("a struct").remove(field);
        }
        let older: TrainConfig = serde_json::from_value(object).expect("of an older version");
        let direct = TrainConfig {
            winograd: false,
            ..TrainConfig::demo()
        };
        assert_eq!(older, direct);
    }
}
