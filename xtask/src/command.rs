//! Running other programs: shown before, judged after, tests counted on the way.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo builds, also where the user has set it elsewhere.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(set) => root().join(set),
        None => root().join("target"),
    }
}

/// A cargo command in the workspace, with these arguments.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    // What cargo tells xtask about xtask is not about the command.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    show(command);
    let status = command
        .status()
        .map_err(|error| format!("{}: {error}", name(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} failed ({status})", line(command)))
    }
}

/// Tests that ran.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Runs it to its end and counts the tests that libtest reports. The count is good in the case of failure too.
pub(crate) fn run_tests(command: &mut Command) -> (Count, Outcome) {
    let mut count = Count::default();
    let outcome = each_line(command, |line| {
        if let Some(result) = libtest_result(line) {
            count += result;
        }
    });
    let outcome = outcome.and_then(|()| match count.passed {
        0 => Err(format!("{} ran no test", line(command))),
        _ => Ok(()),
    });
    (count, outcome)
}

/// Runs it to its end, passing its output on line by line.
pub(crate) fn each_line(command: &mut Command, mut look: impl FnMut(&str)) -> Outcome {
    show(command);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("{}: {error}", name(command)))?;
    if let Some(output) = child.stdout.take() {
        let mut stdout = std::io::stdout();
        let mut lines = BufReader::new(output);
        let mut bytes = Vec::new();
        while lines.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
            // A reader that is gone (`| head`) is no reason to fail.
            let _ = stdout.write_all(&bytes).and_then(|()| stdout.flush());
            look(String::from_utf8_lossy(&bytes).trim_end());
            bytes.clear();
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} failed ({status})", line(command)))
    }
}

/// `test result: ok. 12 passed; 0 failed; …`
fn libtest_result(line: &str) -> Option<Count> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| {
        let part = counts.split("; ").find_map(|part| part.strip_suffix(word))?;
        part.trim().parse().ok()
    };
    Some(Count {
        passed: number(" passed")?,
        failed: number(" failed")?,
    })
}

fn show(command: &Command) {
    println!("$ {}", line(command));
    let _ = std::io::stdout().flush();
}

fn name(command: &Command) -> String {
    Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn line(command: &Command) -> String {
    let mut line = name(command);
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libtest_says() {
        let result =
            libtest_result("test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out");
        assert!(matches!(
            result,
            Some(Count {
                passed: 12,
                failed: 3
            })
        ));
        assert!(libtest_result("test result: ok").is_none());
        assert!(libtest_result("running 3 tests").is_none());
    }
}
