//! Guard pages: the page below a stack, which nobody may touch.
//!
//! Linux marks such a page in the page tables since 6.13 (`MADV_GUARD_INSTALL`), and the mapping around it stays one. Older
//! kernels and other systems must take its access rights away (`mprotect`), which splits the mapping: two more for each
//! stack, and Linux allows a process some 65,000. So there the number of stacks has a limit, and who meets it is told.
//!
//! A guard survives that the stack's pages are given back, and is never taken away. `GOCHAN_GUARD=mprotect` in the
//! environment has all of them made the old way.

use super::stack::StackError;
use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Mappings that are left to the rest of the process.
const SPARE_MAPPINGS: usize = 2048;

/// Guards that split a mapping.
static SPLITS: AtomicUsize = AtomicUsize::new(0);

/// The size of a page, in bytes.
pub(super) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    // SAFETY: reads a constant of the system.
    *SIZE.get_or_init(|| usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("pages have a size"))
}

/// Makes a page a guard page.
///
/// # Errors
///
/// If the system has no memory for it, or no mapping.
///
/// # Safety
/// The page is part of a private anonymous mapping, and the caller's alone.
pub(super) unsafe fn install(page: NonNull<u8>) -> Result<(), StackError> {
    static MARKS: OnceLock<bool> = OnceLock::new();
    // SAFETY: the caller's contract, in all three.
    unsafe {
        let marks = *MARKS.get_or_init(|| {
            std::env::var_os("GOCHAN_GUARD").is_none_or(|asked| asked != "mprotect") && mark::works(page)
        });
        // A page that is locked into memory takes no mark.
        if marks && mark::set(page)? { Ok(()) } else { protect(page) }
    }
}

/// # Safety
/// As [`install`].
unsafe fn protect(page: NonNull<u8>) -> Result<(), StackError> {
    let others = SPLITS.fetch_add(1, Ordering::Relaxed);
    let error = if others >= most_splits() {
        StackError::TooMany(others)
    // SAFETY: the caller's contract; nobody uses the page.
    } else if unsafe { libc::mprotect(page.as_ptr().cast(), page_size(), libc::PROT_NONE) } == 0 {
        return Ok(());
    } else {
        match io::Error::last_os_error() {
            error if cfg!(target_os = "linux") && error.raw_os_error() == Some(libc::ENOMEM) => {
                StackError::TooMany(others)
            }
            error => StackError::Refused("mprotect", error),
        }
    };
    SPLITS.fetch_sub(1, Ordering::Relaxed);
    Err(error)
}

/// How many guards may split a mapping.
fn most_splits() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| {
        if cfg!(not(any(target_os = "linux", target_os = "android"))) {
            return usize::MAX;
        }
        let mappings = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        let mappings: usize = mappings.and_then(|count| count.trim().parse().ok()).unwrap_or(65_530);
        mappings.saturating_sub(SPARE_MAPPINGS) / 2
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod mark {
    use super::{NonNull, StackError, io, page_size};

    /// Not in the libc crate yet.
    const MADV_GUARD_INSTALL: libc::c_int = 102;

    /// Marks a page. False if the kernel does not do that, or not here.
    ///
    /// # Safety
    /// As [`super::install`].
    pub(super) unsafe fn set(page: NonNull<u8>) -> Result<bool, StackError> {
        // SAFETY: the caller's contract; what the page holds is lost.
        if unsafe { libc::madvise(page.as_ptr().cast(), page_size(), MADV_GUARD_INSTALL) } == 0 {
            return Ok(true);
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
            error => Err(StackError::Refused("MADV_GUARD_INSTALL", error)),
        }
    }

    /// Marks a page to see whether that guards it: some emulators take advice that they do not know for a hint, and say
    /// yes.
    ///
    /// # Safety
    /// As [`super::install`].
    pub(super) unsafe fn works(page: NonNull<u8>) -> bool {
        // SAFETY: the caller's contract; reading the page ahead changes nothing.
        unsafe {
            matches!(set(page), Ok(true))
                && libc::madvise(page.as_ptr().cast(), page_size(), libc::MADV_POPULATE_READ) != 0
                && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod mark {
    use super::{NonNull, StackError};

    pub(super) unsafe fn set(_: NonNull<u8>) -> Result<bool, StackError> {
        Ok(false)
    }

    pub(super) unsafe fn works(_: NonNull<u8>) -> bool {
        false
    }
}
