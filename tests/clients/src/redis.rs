//! A real Redis server for one test, on a free port, in its own folder.

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

/// The program of the server.
///
/// # Errors
///
/// Names the program if it is missing.
pub fn redis_server() -> Result<&'static str, String> {
    program("redis-server")
}

/// A running server. On drop it is killed and its folder is removed.
#[derive(Debug)]
pub struct Redis {
    process: Child,
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server that stores nothing on disk unless `arguments` say so.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
        for _ in 0..ATTEMPTS {
            let folder = std::env::temp_dir().join(format!("redis-{}", Uuid::new_v4()));
            create_dir_all(&folder).expect("the folder is created");
            let port = free_port();
            let mut redis = Self {
                process: spawn(port, &folder, &arguments),
                port,
                folder,
                arguments: arguments.clone(),
            };
            if redis.starts() {
                return redis;
            }
        }
        panic!("redis-server does not start with {arguments:?}");
    }

    /// Starts a server that stores nothing on disk.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start_alone() -> Self {
        Self::start(&[])
    }

    /// The port on which the server listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the server.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// A store on this server, as one process uses it.
    ///
    /// # Panics
    ///
    /// Never, because the URL is valid.
    #[must_use]
    pub fn store(&self) -> RedisStore {
        RedisStore::open(&self.url()).expect("the URL can be read")
    }

    /// Runs a command on a new connection.
    ///
    /// # Panics
    ///
    /// If the server refuses it.
    pub fn query<T: FromRedisValue>(&self, command: &Cmd) -> T {
        self.try_query(command).expect("the server answers")
    }

    /// Runs a command given as words.
    ///
    /// # Panics
    ///
    /// If the server refuses it.
    pub fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        self.query(&command)
    }

    /// The names of all keys.
    #[must_use]
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.run(&["KEYS", "*"])
    }

    /// Kills the server with SIGKILL. Its files stay.
    ///
    /// # Panics
    ///
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        self.process.kill().expect("it is a child of this process");
        self.process.wait().expect("it is a child of this process");
    }

    /// Starts the server again with the same port, folder and arguments.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart(&mut self) {
        for _ in 0..ATTEMPTS {
            self.process = spawn(self.port, &self.folder, &self.arguments);
            if self.starts() {
                return;
            }
        }
        panic!("redis-server does not start again: {self:?}");
    }

    /// Returns whether the server answers within 20 seconds. It does not if another process has
    /// taken its port, or the port of its cluster bus, since the port was chosen.
    fn starts(&mut self) -> bool {
        for _ in 0..2000 {
            let answer = self.try_query::<String>(&redis::cmd("PING"));
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

    fn try_query<T: FromRedisValue>(&self, command: &Cmd) -> redis::RedisResult<T> {
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

/// A cluster of three servers. Each has a third of the slots.
#[derive(Debug)]
pub struct Cluster(pub [Redis; 3]);

impl Cluster {
    /// Starts the cluster.
    ///
    /// # Panics
    ///
    /// If the servers do not form a cluster.
    #[must_use]
    pub fn start() -> Self {
        let nodes = [(); 3].map(|()| Redis::start(&["--cluster-enabled", "yes"]));
        for (number, node) in nodes.iter().enumerate() {
            let [first, last] = SLOTS[number].map(|slot| slot.to_string());
            let () = node.run(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            let () = node.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            let port = nodes[0].port().to_string();
            let () = node.run(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        let cluster = Self(nodes);
        for node in &cluster.0 {
            node.until("the node serves all slots", || {
                let state: String = node.run(&["CLUSTER", "INFO"]);
                state.contains("cluster_state:ok") && state.contains("cluster_slots_ok:16384")
            });
        }
        cluster
    }

    /// A store on this cluster, as one process uses it.
    ///
    /// # Panics
    ///
    /// Never, because the URLs are valid.
    #[must_use]
    pub fn store(&self) -> RedisStore {
        let urls = self.0.each_ref().map(Redis::url);
        RedisStore::cluster(urls).expect("the URLs are valid")
    }

    /// The number of the node that has this key's slot, and the slot.
    ///
    /// # Panics
    ///
    /// If no node has it.
    #[must_use]
    pub fn holder(&self, key: &str) -> (usize, u16) {
        let slot: u16 = self.0[0].run(&["CLUSTER", "KEYSLOT", key]);
        let holds = |[first, last]: &[u16; 2]| (*first..=*last).contains(&slot);
        (
            SLOTS.iter().position(holds).expect("every slot has a node"),
            slot,
        )
    }

    /// Moves a slot without keys to another node.
    pub fn move_slot(&self, slot: u16, to: usize) {
        let id: String = self.0[to].run(&["CLUSTER", "MYID"]);
        let slot = slot.to_string();
        // The new node first, so that the slot always has a node.
        for number in [to, (to + 1) % 3, (to + 2) % 3] {
            let () = self.0[number].run(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
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

/// A port on which no process listens.
///
/// # Panics
///
/// If no port is free.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener
        .local_addr()
        .expect("the listener has an address")
        .port()
}

/// The URL of a server on this port.
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
