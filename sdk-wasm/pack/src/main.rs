//! `freshsocket-wasm-pack IN.wasm FOLDER NAME`: what `wasm-bindgen --target web` does, at the version in Cargo.lock.
#![allow(clippy::print_stderr)] // Printing is what a command does.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, folder, name] = arguments.as_slice() else {
        eprintln!("freshsocket-wasm-pack IN.wasm FOLDER NAME");
        return ExitCode::FAILURE;
    };
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen
        .input_path(input)
        .out_name(name)
        .typescript(true)
        // The package says where the file is; a name that a bundler finds here would be a second copy of it.
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true);
    let made = bindgen.web(true).and_then(|bindgen| bindgen.generate(folder));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("freshsocket-wasm-pack: {why:#}");
            ExitCode::FAILURE
        }
    }
}
