//! Memory that is free, and that the C library keeps all the same. The only unsafe code there is.

/// Gives free pages back to the system. glibc does so only at the end of a heap: buffers of a copy leave holes before it, 10 to 25 MB of them
/// for as long as the worker lives. Takes less than a millisecond for what is there after a copy.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "malloc_trim(3) has no safe wrapper")]
    // SAFETY: it takes no pointer and locks each heap it works on.
    let _ = unsafe { libc::malloc_trim(0) };
}
