#![no_main]

#[global_allocator]
static MEMORY: cap::Cap<std::alloc::System> =
    cap::Cap::new(std::alloc::System, flowlog_fuzz::MEMORY);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flowlog_fuzz::subject(bytes));
