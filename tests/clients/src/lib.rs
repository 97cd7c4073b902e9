//! Starts the servers that the clients of this package are let loose on, and tells honestly which
//! outside programs are there.

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
pub use crate::story::script_plays_its_story;

/// A server of MCP, running; stopped on drop.
#[derive(Debug)]
pub struct Server {
    process: Child,
    // Never locked: servers are shared, and a receiver alone could not be.
    lines: Mutex<Receiver<String>>,
    url: String,
}

impl Server {
    /// Starts the example, on a port that it finds free.
    ///
    /// # Panics
    ///
    /// If it can not be built or does not print its URL.
    #[must_use]
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::run(&example(name), arguments)
    }

    /// Starts the example with these environment variables.
    ///
    /// # Panics
    ///
    /// If it can not be built or does not print its URL.
    #[must_use]
    pub fn start_with(name: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(example(name));
        Self::of(command.envs(variables.iter().copied()))
    }

    /// Runs the example with these environment variables until it gives up, and returns its exit
    /// code and what it says of it.
    ///
    /// # Panics
    ///
    /// If it can not be run.
    #[must_use]
    pub fn fail(name: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = Command::new(example(name));
        let output = command.envs(variables.iter().copied()).output();
        let output = output.expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        (output.status.code(), told.into_owned())
    }

    /// Starts a server that is no example, in this package's folder.
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
        let line = lines.recv().expect("it starts");
        let url = line.strip_prefix("MCP server at ");
        Self {
            url: url.expect("it prints its URL first").to_owned(),
            process,
            lines: Mutex::new(lines),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next line that it prints.
    ///
    /// # Panics
    ///
    /// If it prints no more, for ten seconds.
    pub fn line(&mut self) -> String {
        self.lines().recv_timeout(LIMIT).expect("it goes on")
    }

    /// Sends it SIGTERM, by the shell.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn terminate(&self) {
        signal("TERM", &self.process.id().to_string());
    }

    /// The id of its process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The code with which it exits by then, if it does.
    ///
    /// # Panics
    ///
    /// If it can not be asked.
    pub async fn exit_code(&mut self, until: Instant) -> Option<i32> {
        loop {
            match self.process.try_wait().expect("it is our child") {
                Some(status) => return status.code(),
                None if Instant::now() >= until => return None,
                None => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// The next line that it prints, which begins with `prefix`, without that.
    ///
    /// # Panics
    ///
    /// If it prints another line.
    pub fn next_line(&mut self, prefix: &str) -> String {
        let line = self.line();
        let rest = line.strip_prefix(prefix);
        rest.expect("the line begins so").to_owned()
    }

    fn lines(&mut self) -> &mut Receiver<String> {
        self.lines.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first `count` lines with `curl` that it prints for pasting.
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

/// What a process prints, line by line.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Read on where nobody listens: the process must not stand still.
            let _ = sender.send(line);
        }
    });
    lines
}

/// The servers that every client meets: a name, the example, its arguments.
pub const SERVERS: [(&str, &str, &[&str]); 3] = [
    ("quickstart", "quickstart", &[]),
    ("rmcp with sessions of its own", "rmcp", &[]),
    ("rmcp without sessions", "rmcp", &["stateless"]),
];

/// Sends a process a signal, by the shell.
///
/// # Panics
///
/// If that fails.
pub fn signal(name: &str, process: &str) {
    let told = Command::new("sh")
        .args(["-c", &format!("kill -{name} {process}")])
        .status();
    assert!(told.is_ok_and(|status| status.success()));
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

/// Plays a story to its end. It panics where it goes wrong.
///
/// # Errors
///
/// Without a runtime.
pub fn play(story: impl Future<Output = ()>) -> Result<(), Failed> {
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

/// The node that npm has installed: the machine's own may be too old for the suite.
///
/// # Errors
///
/// Tells the command that installs it.
pub fn node() -> Result<PathBuf, String> {
    let node = node_modules().join(".bin/node");
    match node.exists() {
        true => Ok(node),
        false => Err("tests/clients/install (node packages)".to_owned()),
    }
}

/// A script that npm has installed.
#[must_use]
pub fn node_script(name: &str) -> PathBuf {
    node_modules().join(".bin").join(name)
}

/// A Python in whose environment pip has installed the packages of `python/<version>.txt`.
///
/// # Errors
///
/// Tells the command that makes the environment.
pub fn python(version: &str) -> Result<PathBuf, String> {
    let python = folder().join(format!("python/.venv-{version}/bin/python"));
    match python.exists() {
        true => Ok(python),
        false => Err(format!(
            "tests/clients/install ({version} of the Python client)"
        )),
    }
}

/// This package's folder.
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
/// If it can not be built.
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
