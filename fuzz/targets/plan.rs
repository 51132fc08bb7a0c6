//! Passes any list of inputs to a plan. The plan must keep its invariant after each input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| { downhaul_testkit::plan_fuzz::run_inputs(bytes); });
