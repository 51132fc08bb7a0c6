//! Any list of events leaves a plan sound.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| downhaul_testkit::plan_fuzz::poke(bytes));
