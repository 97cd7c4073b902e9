//! A real browser: headless Chromium, driven by the scripts in `node/` with playwright-core.

use std::env;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use libtest_mimic::Failed;

use crate::{folder, node, node_modules};

/// The longest time a script may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A Chromium, and the Node.js that drives it.
#[derive(Clone, Debug)]
pub struct Browser {
    node: PathBuf,
    chromium: PathBuf,
}

impl Browser {
    /// Finds Node.js, playwright-core and Chromium.
    ///
    /// # Errors
    ///
    /// Names the missing part.
    pub fn find() -> Result<Self, String> {
        let node = node()?;
        if !node_modules().join("playwright-core").exists() {
            return Err("tests/clients/install (node packages)".to_owned());
        }
        // playwright-core needs a path, not a name.
        let paths = env::var_os("PATH").unwrap_or_default();
        let chromium = env::split_paths(&paths)
            .map(|folder| folder.join("chromium"))
            .find(|path| path.is_file())
            .ok_or("chromium")?;
        Ok(Self { node, chromium })
    }

    /// Runs `node/<script> CHROMIUM <arguments>` and returns what it prints.
    ///
    /// # Errors
    ///
    /// If the script fails or takes longer than a minute. The error contains everything that it
    /// printed.
    pub fn run(&self, script: &str, arguments: &[&str]) -> Result<String, Failed> {
        let mut process = Command::new(&self.node)
            .current_dir(folder())
            .arg(format!("node/{script}"))
            .arg(&self.chromium)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = read(process.stdout.take().expect("its output is piped"));
        let errors = read(process.stderr.take().expect("its errors are piped"));

        // A script closes its output when it ends, and Chromium ends with its driver.
        let in_time = output.recv_timeout(LIMIT);
        if in_time.is_err() {
            process.kill()?;
        }
        let verdict = process.wait()?;
        match in_time {
            Ok(printed) if verdict.success() => Ok(printed),
            Ok(printed) => Err(format!("{verdict}\n{printed}{}", errors.recv()?).into()),
            Err(_) => {
                let printed = output.recv()? + &errors.recv()?;
                Err(format!("took longer than {LIMIT:?}\n{printed}").into())
            }
        }
    }
}

/// Reads a pipe to its end on its own thread. A full pipe would block the script.
fn read(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        let _ = pipe.read_to_end(&mut text);
        let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
    });
    receiver
}
