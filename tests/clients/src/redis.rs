//! A Redis of one test's own: real, on a free port of this machine, in a folder of its own.

use std::fs::{create_dir_all, remove_dir_all};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use mcp_session_guard::store::RedisStore;
use redis::{Client, Cmd, FromRedisValue};
use uuid::Uuid;

use crate::program;

/// The server's program.
///
/// # Errors
///
/// Names it if it is not there.
pub fn redis_server() -> Result<&'static str, String> {
    program("redis-server")
}

/// A server; killed on drop, and its folder with it.
#[derive(Debug)]
pub struct Redis {
    process: Child,
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server that keeps nothing on disk unless these arguments say so.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
        for _ in 0..ATTEMPTS {
            let folder = std::env::temp_dir().join(format!("redis-{}", Uuid::new_v4()));
            create_dir_all(&folder).expect("there is a folder for it");
            let port = free_port();
            let mut redis = Self {
                process: spawn(port, &folder, &arguments),
                port,
                folder,
                arguments: arguments.clone(),
            };
            if redis.comes_up() {
                return redis;
            }
        }
        panic!("it does not start with {arguments:?}");
    }

    /// Starts a server that keeps nothing on disk.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start_alone() -> Self {
        Self::start(&[])
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// A way to it, as one process has it.
    ///
    /// # Panics
    ///
    /// Never: the URL is good.
    #[must_use]
    pub fn store(&self) -> RedisStore {
        RedisStore::open(&self.url()).expect("the URL can be read")
    }

    /// Has it do a command, on a connection of its own.
    ///
    /// # Panics
    ///
    /// If it refuses.
    pub fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        self.try_ask(command).expect("it answers")
    }

    /// Has it do a command of these words.
    ///
    /// # Panics
    ///
    /// If it refuses.
    pub fn tell<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        self.ask(&command)
    }

    /// The names of all keys.
    #[must_use]
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.tell(&["KEYS", "*"])
    }

    /// Kills it without a word, and leaves what it has on disk.
    ///
    /// # Panics
    ///
    /// If it can not be killed.
    pub fn kill(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart(&mut self) {
        for _ in 0..ATTEMPTS {
            self.process = spawn(self.port, &self.folder, &self.arguments);
            if self.comes_up() {
                return;
            }
        }
        panic!("it does not start again: {self:?}");
    }

    /// Whether it is there before long. It is not where somebody else took its port, or the one by
    /// which a cluster's nodes speak to each other, after it was chosen.
    fn comes_up(&mut self) -> bool {
        for _ in 0..2000 {
            let answer = self.try_ask::<String>(&redis::cmd("PING"));
            if answer.is_ok_and(|answer| answer == "PONG") {
                return true;
            }
            if !matches!(self.process.try_wait(), Ok(None)) {
                break;
            }
            sleep(Duration::from_millis(10));
        }
        false
    }

    fn try_ask<T: FromRedisValue>(&self, command: &Cmd) -> redis::RedisResult<T> {
        let client = Client::open(self.url())?;
        command.query(&mut client.get_connection()?)
    }

    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        for _ in 0..2000 {
            if is_so() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("not in time: {what}, {self:?}");
    }
}

/// Three servers that are one; each has a third of the slots.
#[derive(Debug)]
pub struct Cluster(pub [Redis; 3]);

impl Cluster {
    /// Starts them.
    ///
    /// # Panics
    ///
    /// If they do not become one.
    #[must_use]
    pub fn start() -> Self {
        let nodes = [(); 3].map(|()| Redis::start(&["--cluster-enabled", "yes"]));
        for (number, node) in nodes.iter().enumerate() {
            let [first, last] = SLOTS[number].map(|slot| slot.to_string());
            let () = node.tell(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            let () = node.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            let port = nodes[0].port().to_string();
            let () = node.tell(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        let cluster = Self(nodes);
        for node in &cluster.0 {
            node.until("it serves all slots", || {
                let state: String = node.tell(&["CLUSTER", "INFO"]);
                state.contains("cluster_state:ok") && state.contains("cluster_slots_ok:16384")
            });
        }
        cluster
    }

    /// A way to it, as one process has it.
    ///
    /// # Panics
    ///
    /// Never: the URLs are good.
    #[must_use]
    pub fn store(&self) -> RedisStore {
        let urls = self.0.each_ref().map(Redis::url);
        RedisStore::cluster(urls).expect("it can be set up")
    }

    /// The number of the node that has this key's slot, and the slot.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn holder(&self, key: &str) -> (usize, u16) {
        let slot: u16 = self.0[0].tell(&["CLUSTER", "KEYSLOT", key]);
        let holds = |[first, last]: &[u16; 2]| (*first..=*last).contains(&slot);
        (SLOTS.iter().position(holds).expect("all are served"), slot)
    }

    /// Gives a slot without keys to another node.
    pub fn give(&self, slot: u16, to: usize) {
        let id: String = self.0[to].tell(&["CLUSTER", "MYID"]);
        let slot = slot.to_string();
        // Whoever gets it first, so that it never has no owner.
        for number in [to, (to + 1) % 3, (to + 2) % 3] {
            let () = self.0[number].tell(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
    }
}

const ATTEMPTS: usize = 10;
const SLOTS: [[u16; 2]; 3] = [[0, 5460], [5461, 10922], [10923, 16383]];

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = remove_dir_all(&self.folder);
    }
}

/// A port on which nobody listens.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it listens").port()
}

/// How a server on this port is reached.
#[must_use]
pub fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

fn spawn(port: u16, folder: &PathBuf, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .current_dir(folder)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--dir", &folder.to_string_lossy()])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}
