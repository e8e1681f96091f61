//! Writes the page and the picture, and prints the table.
#![allow(clippy::print_stdout, reason = "a program that prints its results")]

use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    for file in freshsocket_herd::files()? {
        fs::write(&file.path, file.text)?;
    }
    print!(
        "{}",
        freshsocket_herd::page::table(&freshsocket_herd::page::rows()?)
    );
    Ok(())
}
