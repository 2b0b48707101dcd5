//! Asking memory for what will be needed soon, while the processor goes on with something else.

/// Brings the cache line in which `what` begins nearer. There is an instruction for it that needs no `unsafe` on x86-64
/// only; elsewhere a `word` of it is read, which takes a little more of the processor.
#[inline]
pub fn prefetch<T>(what: &T, word: impl FnOnce(&T) -> u64) {
    #[cfg(target_arch = "x86_64")]
    {
        let _ = word;
        safe_arch::prefetch_t0(what);
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(word(what));
}
