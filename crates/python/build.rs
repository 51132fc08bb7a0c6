//! Tells the linker of macOS that Python provides the missing symbols when it loads the module.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
