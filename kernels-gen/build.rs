//! Compiles the kernels for every instruction set and writes the table of them.
use std::{env, fs, path::Path, process};

fn main() {
    for input in ["build.rs", "formats", "kernels", "schedules"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let folder = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let text = kgen::library::Library::open(Path::new(&folder)).and_then(|library| kgen::table::generate(&library));
    match text {
        Ok(text) => fs::write(Path::new(&out).join("kernels.rs"), text).expect("OUT_DIR is writable"),
        Err(e) => {
            eprintln!("{e}");
            process::exit(1);
        }
    }
}
