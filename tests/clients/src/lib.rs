//! Starts the servers that the clients of this package are let loose on, and tells honestly which
//! outside programs are there.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use libtest_mimic::{Failed, Trial};

/// `examples/quickstart.rs`, running; stopped on drop.
#[derive(Debug)]
pub struct Quickstart {
    process: Child,
    url: String,
    curl_lines: String,
}

impl Quickstart {
    /// Starts the example, on a port that it finds free.
    ///
    /// # Panics
    ///
    /// If it can not be built or does not print what it promises.
    #[must_use]
    pub fn start() -> Self {
        let mut process = Command::new(example("quickstart"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("quickstart starts");
        let output = process.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let url = lines
            .find_map(|line| line.strip_prefix("MCP server at ").map(str::to_owned))
            .expect("quickstart prints its URL");
        let curl_lines: Vec<_> = lines
            .filter(|line| line.contains("curl "))
            .take(3)
            .collect();
        Self {
            process,
            url,
            curl_lines: curl_lines.join("\n"),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The three lines that it prints for pasting.
    #[must_use]
    pub fn curl_lines(&self) -> &str {
        &self.curl_lines
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A test that needs an outside program: ignored, with the reason beside its name, where that is
/// missing; failed instead where `REQUIRE_OUTSIDE_PROGRAMS` is set.
pub fn trial<T: Send + 'static>(
    name: String,
    program: Result<T, String>,
    run: impl FnOnce(T) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    match program {
        Ok(program) => Trial::test(name, move || run(program)),
        Err(missing) => {
            let required = env::var_os("REQUIRE_OUTSIDE_PROGRAMS").is_some();
            let reason = format!("needs {missing}");
            Trial::test(name, {
                let reason = reason.clone();
                move || Err(reason.into())
            })
            .with_kind(reason)
            .with_ignored_flag(!required)
        }
    }
}

/// A program on the PATH.
///
/// # Errors
///
/// Names the program if it does not run.
pub fn program(name: &'static str) -> Result<&'static str, String> {
    let ran = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match ran {
        Ok(_) => Ok(name),
        Err(_) => Err(name.to_owned()),
    }
}

/// A script that npm has installed, as a command that runs it with the node installed beside it.
///
/// # Errors
///
/// Tells the command that installs it.
pub fn node_script(name: &str) -> Result<PathBuf, String> {
    let script = node_modules().join(".bin").join(name);
    match script.exists() && node().exists() {
        true => Ok(script),
        false => Err("npm ci --prefix tests/clients/node".to_owned()),
    }
}

/// The node that npm has installed: the machine's own may be too old for the suite.
#[must_use]
pub fn node() -> PathBuf {
    node_modules().join(".bin/node")
}

fn node_modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node/node_modules")
}

/// The path of a built example. `cargo test` at the top level has built it already.
fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows its path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("target/<profile>/deps/<test>");
    let path = profile.join("examples").join(name);
    if !path.exists() {
        let built = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["build", "--package", "mcp-session-guard", "--example", name])
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the example builds"
        );
    }
    path
}
