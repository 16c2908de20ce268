//! What the targets of the compiler share: the properties and the grammar of its own tests, and a measure of
//! memory. Only what Rust allocates is counted, so that the fuzzer's own memory does not blur the bound.

#[path = "../../../compiler/tests/fuzzed/grammar.rs"]
pub mod grammar;
#[path = "../../../compiler/tests/fuzzed/properties.rs"]
pub mod properties;

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Runs one property on `input` bytes, and fails where it needs more than 64 MiB and 50 times the input.
pub fn within(input: usize, property: impl FnOnce()) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    property();
    let used = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(used <= properties::room(input), "{used} bytes for {input} bytes of input");
}
