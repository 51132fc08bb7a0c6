//! Sends any list of inputs to a plan: its invariant holds after each.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| { downhaul_testkit::plan_fuzz::poke(bytes); });
