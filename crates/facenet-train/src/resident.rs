//! What this process takes of the machine's memory, as the system says.

use std::fs;

/// Largest resident memory of this process so far, in MiB; `None` elsewhere than on Linux.
pub fn peak_rss_mib() -> Option<f64> {
    field("VmHWM:", &status()?)
}

/// Resident memory of this process now, in MiB; `None` elsewhere than on Linux.
pub(crate) fn rss_mib() -> Option<f64> {
    field("VmRSS:", &status()?)
}

fn status() -> Option<String> {
    fs::read_to_string("/proc/self/status").ok()
}

fn field(name: &str, status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kibibytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(field("VmHWM:", status), Some(2.0));
        assert_eq!(field("VmRSS:", status), Some(1.0));
        assert_eq!(field("VmHWM:", "Name:\tx\n"), None);
        if cfg!(target_os = "linux") {
            let (now, peak) = (rss_mib(), peak_rss_mib());
            assert!(
                now.is_some_and(|now| now > 0.5) && now <= peak,
                "{now:?} {peak:?}"
            );
        }
    }
}
