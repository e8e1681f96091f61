//! Programs that the chores need and a fresh machine lacks: found, or installed by name.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::command::{cargo, run, target};

/// Makes sure that `program` can be run; it is in the Debian package `package`.
pub(crate) fn ensure(program: &str, package: &str) -> Outcome {
    if runs(Command::new(program).arg("--version")) {
        return Ok(());
    }
    if !runs(Command::new("apt-get").arg("--version")) {
        return Err(format!(
            "{program} is missing: install it (package {package} on Debian)"
        ));
    }
    println!("{program} is missing: installing {package}");
    let installed =
        apt_get(&["update"]).and_then(|()| apt_get(&["install", "-y", "--no-install-recommends", package]));
    installed.map_err(|why| format!("{program} is missing: install it (package {package}); {why}"))
}

/// A program from crates.io at this version, built into the target directory: nothing of the user's is replaced.
pub(crate) fn from_crates(name: &str, version: &str) -> Result<PathBuf, String> {
    let root = target().join("tools").join(format!("{name}-{version}"));
    let program = root
        .join("bin")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if program.exists() {
        return Ok(program);
    }
    println!("{name} {version} is missing: installing it (once)");
    // Unoptimized: it runs for two seconds, and would compile for minutes.
    let mut install = cargo([
        "install",
        name,
        "--version",
        version,
        "--locked",
        "--debug",
        "--root",
    ]);
    install
        .arg(&root)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_TARGET_DIR", target().join("tools").join("build"));
    run(install.stdin(Stdio::null()))?;
    Ok(program)
}

/// Makes sure that the toolchain can compile for `name`. Without rustup the user's own has to.
pub(crate) fn ensure_target(name: &str) -> Outcome {
    let installed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output();
    match installed {
        Ok(output)
            if String::from_utf8_lossy(&output.stdout)
                .lines()
                .any(|line| line == name) =>
        {
            Ok(())
        }
        Ok(_) => run(Command::new("rustup")
            .args(["target", "add", name])
            .stdin(Stdio::null())),
        Err(_) => Ok(()),
    }
}

/// The target that `rustc` compiles for by default.
pub(crate) fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc)
        .arg("-vV")
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc does not say what it compiles for".to_owned())
}

fn apt_get(arguments: &[&str]) -> Outcome {
    let mut command = Command::new("apt-get");
    command
        .args(["-q"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    run(command.stdin(Stdio::null()))
}

fn runs(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
