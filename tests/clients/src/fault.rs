//! A proxy on loopback that simulates network faults.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// A fault of the network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// No fault.
    None,
    /// Connections are reset, and new ones are reset as soon as they are made.
    Down,
    /// Connections are accepted, but no byte passes. A connection that has met this fault never
    /// recovers.
    Silent,
    /// Like `Silent`, but only for connections that subscribe.
    Deaf,
    /// Every byte is delayed by this time, in each direction.
    Slow(Duration),
}

/// A proxy before a server. It is stopped on drop.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    fault: Arc<watch::Sender<Fault>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port and connects to `port`.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let fault = Arc::new(watch::Sender::new(Fault::None));
        let task = tokio::spawn(serve(listener, port, fault.clone()));
        Self {
            address,
            fault,
            task,
        }
    }

    /// The port on which the proxy listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sets the fault from now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, port: u16, fault: Arc<watch::Sender<Fault>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let fault = fault.subscribe();
        connections.spawn(async move {
            let _ = pass(stream, port, fault).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(client: TcpStream, port: u16, fault: watch::Receiver<Fault>) -> io::Result<()> {
    // With zero linger, closing the connection resets it.
    client.set_zero_linger()?;
    client.set_nodelay(true)?;
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    server.set_nodelay(true)?;
    let (subscribes, is_subscribed) = watch::channel(false);
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let mut broken = fault.clone();
    tokio::select! {
        _ = copy(client_reads, server_writes, fault.clone(), is_subscribed.clone(), Some(&subscribes)) => {}
        _ = copy(server_reads, client_writes, fault, is_subscribed, None) => {}
        _ = broken.wait_for(|fault| *fault == Fault::Down) => {}
    }
    Ok(())
}

/// Copies one direction until the connection ends. A connection lost in silence never ends here.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
    is_subscribed: watch::Receiver<bool>,
    subscribes: Option<&watch::Sender<bool>>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut is_lost = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            _ = fault.changed(), if !is_lost => {
                is_lost = loses(*fault.borrow_and_update(), &is_subscribed);
                continue;
            }
        };
        if read == 0 {
            return Ok(());
        }
        let bytes = &buffer[..read];
        if let Some(subscribes) = subscribes
            && bytes.windows(9).any(|word| word == b"SUBSCRIBE")
        {
            subscribes.send_replace(true);
        }
        let now = *fault.borrow();
        is_lost |= loses(now, &is_subscribed);
        if let Fault::Slow(delay) = now {
            sleep(delay).await;
        }
        if !is_lost {
            to.write_all(bytes).await?;
        }
    }
}

fn loses(fault: Fault, is_subscribed: &watch::Receiver<bool>) -> bool {
    match fault {
        Fault::Silent => true,
        Fault::Deaf => *is_subscribed.borrow(),
        Fault::None | Fault::Down | Fault::Slow(_) => false,
    }
}
