//! Does the process grow? Memory and open files, after a scene each, in the first and in the last third of the run.

use std::fs;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) resident: u64,
    pub(crate) files: u64,
}

/// Where the system does not tell, nothing is judged.
pub(crate) fn sample() -> Option<Sample> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident = resident.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10;
    Some(Sample { resident, files: fs::read_dir("/proc/self/fd").ok()?.count() as u64 })
}

/// Compares the least of what was seen early and late: what a scene is done with, it has given back at some time.
pub(crate) fn judge(samples: &[Sample]) -> Result<[Sample; 2], String> {
    let third = samples.len() / 3;
    if third < 3 {
        return Ok([Sample::default(); 2]);
    }
    let least = |samples: &[Sample]| {
        let least = |of: fn(&Sample) -> u64| samples.iter().map(of).min().unwrap_or_default();
        Sample { resident: least(|sample| sample.resident), files: least(|sample| sample.files) }
    };
    // The very first scenes start the runtimes and fill the allocator's pools.
    let (early, late) = (least(&samples[third / 2..third + third / 2]), least(&samples[2 * third..]));
    if late.files > early.files + 8 {
        return Err(format!("open files grow: from {} to {}", early.files, late.files));
    }
    if late.resident > early.resident * 3 / 2 + (32 << 20) {
        return Err(format!("memory grows: from {} to {} bytes", early.resident, late.resident));
    }
    Ok([early, late])
}
