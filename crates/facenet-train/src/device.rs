//! Devices by name.

use candle_core::Device;

use crate::error::TrainError;

/// Opens the device called `name`: `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// [`TrainError::Config`], exit code 2, for another name. [`TrainError::Device`], exit code 6, for
/// CUDA in a build without the feature `cuda`, and where no driver or no such device is found: the
/// same command works elsewhere.
pub fn open_device(name: &str) -> Result<Device, TrainError> {
    match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", "0") => Ok(Device::Cpu),
        ("cuda", ordinal) => open_cuda(name, ordinal),
        _ => Err(unknown(name)),
    }
}

fn open_cuda(name: &str, ordinal: &str) -> Result<Device, TrainError> {
    let ordinal = ordinal.parse().map_err(|_| unknown(name))?;
    if !cfg!(feature = "cuda") {
        let problem = "is not in this build; build with `--features cuda` (it needs NVIDIA's \
                       toolkit), or give --device cpu";
        return Err(missing(name, problem));
    }
    Device::new_cuda(ordinal).map_err(|error| {
        let problem = format!("cannot be opened ({error}); give --device cpu");
        missing(name, problem)
    })
}

fn missing(name: &str, problem: impl Into<String>) -> TrainError {
    TrainError::Device {
        name: name.to_owned(),
        problem: problem.into(),
    }
}

fn unknown(name: &str) -> TrainError {
    TrainError::config(
        "--device",
        format!("found {name:?}, expected cpu or cuda:N"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExitClass;

    #[test]
    fn the_cpu_opens() {
        assert!(open_device("cpu").expect("always there").is_cpu());
    }

    #[test]
    fn other_names_are_refused_with_the_choice() {
        for name in ["", "gpu", "cuda:x", "cpu:1", "cuda:-1"] {
            let error = open_device(name).expect_err(name);
            assert_eq!(error.exit_class(), ExitClass::Usage);
            let message = error.to_string();
            assert!(message.contains("expected cpu or cuda:N"), "{message}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_without_the_feature_says_what_to_do() {
        let error = open_device("cuda:0").expect_err("not in this build");
        assert_eq!(error.exit_class(), ExitClass::Resources);
        let message = error.to_string();
        assert!(
            message.starts_with("--device: cuda:0 is not in this build; "),
            "{message}"
        );
        assert!(message.contains("--features cuda"), "{message}");
    }
}
