//! Servers for the clients of this package, and checks for the outside programs that are installed.

mod browser;
pub mod driven;
pub mod fault;
pub mod messages;
pub mod raw;
pub mod redis;
mod story;
pub mod suite;
pub mod tools;
pub mod watched;

use std::env;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

pub use crate::browser::Browser;
pub use crate::story::script_runs_its_story;

/// A running MCP server. It is stopped on drop.
#[derive(Debug)]
pub struct Server {
    process: Child,
    // The mutex is never locked. It makes the receiver `Sync`, because tests share servers.
    lines: Mutex<Receiver<String>>,
    url: String,
}

impl Server {
    /// Starts an example on a free port.
    ///
    /// # Panics
    ///
    /// If the example cannot be built or does not print its URL.
    #[must_use]
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::run(&example(name), arguments)
    }

    /// Starts an example with these environment variables.
    ///
    /// # Panics
    ///
    /// If the example cannot be built or does not print its URL.
    #[must_use]
    pub fn start_with(name: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(example(name));
        Self::of(command.envs(variables.iter().copied()))
    }

    /// Runs an example with these environment variables until it exits. Returns its exit code and
    /// its standard error.
    ///
    /// # Panics
    ///
    /// If the example cannot be run.
    #[must_use]
    pub fn fail(name: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = Command::new(example(name));
        let output = command.envs(variables.iter().copied()).output();
        let output = output.expect("the example runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        (output.status.code(), errors.into_owned())
    }

    /// Starts a program that is not an example, in the folder of this package.
    ///
    /// # Panics
    ///
    /// If it does not start or does not print its URL.
    #[must_use]
    pub fn run(program: &Path, arguments: &[&str]) -> Self {
        Self::of(Command::new(program).args(arguments))
    }

    fn of(command: &mut Command) -> Self {
        let mut process = command
            .current_dir(folder())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let output = process.stdout.take().expect("its output is piped");
        let lines = lines(output);
        let line = lines.recv().expect("the server starts");
        let url = line.strip_prefix("MCP server at ");
        Self {
            url: url.expect("the first line is the URL").to_owned(),
            process,
            lines: Mutex::new(lines),
        }
    }

    /// The URL of the server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next line that the server prints.
    ///
    /// # Panics
    ///
    /// If no line comes for ten seconds.
    pub fn line(&mut self) -> String {
        self.lines()
            .recv_timeout(LIMIT)
            .expect("the server prints a line")
    }

    /// Sends the process SIGTERM through the shell.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub fn terminate(&self) {
        signal("TERM", &self.process.id().to_string());
    }

    /// The process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until `until` for the process to exit, and returns its exit code.
    ///
    /// # Panics
    ///
    /// If the status of the process cannot be read.
    pub async fn exit_code(&mut self, until: Instant) -> Option<i32> {
        loop {
            match self
                .process
                .try_wait()
                .expect("it is a child of this process")
            {
                Some(status) => return status.code(),
                None if Instant::now() >= until => return None,
                None => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// The next line that the server prints, without its `prefix`.
    ///
    /// # Panics
    ///
    /// If the next line does not begin with `prefix`.
    pub fn next_line(&mut self, prefix: &str) -> String {
        let line = self.line();
        let rest = line.strip_prefix(prefix);
        rest.expect("the line begins with the prefix").to_owned()
    }

    fn lines(&mut self) -> &mut Receiver<String> {
        self.lines.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first `count` lines with a `curl` command that the server prints.
    pub fn curl_lines(&mut self, count: usize) -> String {
        let lines: Vec<_> = self
            .lines()
            .iter()
            .filter(|line| line.contains("curl "))
            .take(count)
            .collect();
        lines.join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines that a process prints.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Keep reading after the receiver is dropped, because a full pipe would block the
            // process.
            let _ = sender.send(line);
        }
    });
    lines
}

/// The servers that every client is tested with: a name, the example, its arguments.
pub const SERVERS: [(&str, &str, &[&str]); 3] = [
    ("quickstart", "quickstart", &[]),
    ("rmcp with sessions of its own", "rmcp", &[]),
    ("rmcp without sessions", "rmcp", &["stateless"]),
];

/// Sends a process a signal through the shell.
///
/// # Panics
///
/// If the signal cannot be sent.
pub fn signal(name: &str, process: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {process}")])
        .status();
    assert!(sent.is_ok_and(|status| status.success()));
}

/// A test that needs an outside program. Without the program the test is ignored, with the reason
/// beside its name. With `REQUIRE_OUTSIDE_PROGRAMS` it fails instead.
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

/// Runs a story to its end. A story panics if it fails.
///
/// # Errors
///
/// If no runtime can be started.
pub fn run_story(story: impl Future<Output = ()>) -> Result<(), Failed> {
    Runtime::new()?.block_on(story);
    Ok(())
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

/// The Node.js that npm has installed. The one of the machine may be too old for the suite.
///
/// # Errors
///
/// Names the command that installs it.
pub fn node() -> Result<PathBuf, String> {
    let node = node_modules().join(".bin/node");
    match node.exists() {
        true => Ok(node),
        false => Err("tests/clients/install (node packages)".to_owned()),
    }
}

/// The path of a script that npm has installed.
#[must_use]
pub fn node_script(name: &str) -> PathBuf {
    node_modules().join(".bin").join(name)
}

/// A Python with the packages of `python/<version>.txt`, installed by pip.
///
/// # Errors
///
/// Names the command that creates the environment.
pub fn python(version: &str) -> Result<PathBuf, String> {
    let python = folder().join(format!("python/.venv-{version}/bin/python"));
    match python.exists() {
        true => Ok(python),
        false => Err(format!(
            "tests/clients/install ({version} of the Python client)"
        )),
    }
}

/// The folder of this package.
#[must_use]
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn node_modules() -> PathBuf {
    folder().join("node/node_modules")
}

/// The path of a built example. `cargo test --workspace` has built it already.
///
/// # Panics
///
/// If the example cannot be built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows its path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("target/<profile>/deps/<test>");
    let path = profile.join("examples").join(name);
    if !path.exists() {
        let built = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .current_dir(folder().join("../.."))
            .args(["build", "--workspace", "--example", name])
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the example builds"
        );
    }
    path
}

const LIMIT: Duration = Duration::from_secs(10);
