//! Stored records: whatever the disk gives back is refused, or read and kept as the same.
#![no_main]

#[path = "../../tests/fuzzing/records.rs"]
mod records;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = records::check_record(input);
});
