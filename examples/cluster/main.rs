//! Two nodes behind one address that share their sessions in Redis. Kill either node: clients continue.
//!
//! Start a Redis, run `cargo run -p client-tests --example cluster`, and paste the lines that it prints. Set
//! `REDIS_URL` to use another Redis than redis://127.0.0.1:6379.

mod mcp;

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::{env, process, thread};

use axum::response::Response;
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Router, middleware};
use http::{HeaderValue, header::CONNECTION};
use mcp_session_guard::SessionGuardLayer;
use mcp_session_guard::store::{McpSessionStore, RedisStore, SessionKey, StoreOptions};
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

#[tokio::main]
async fn main() -> io::Result<()> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let store = RedisStore::open(&url).map_err(io::Error::other)?;
    match env::args().nth(1) {
        Some(name) => serve_node(name, store).await,
        None => serve_front(store).await,
    }
}

/// Runs one node. Only the guard's store makes it one of several.
async fn serve_node(name: String, store: RedisStore) -> io::Result<()> {
    let guard = SessionGuardLayer::builder()
        .store(StoreOptions::new(store).node_name(&*name))
        .build()
        .map_err(io::Error::other)?;
    let app = Router::new()
        .route("/mcp", post(mcp::message).get(mcp::events).layer(guard))
        .layer(middleware::map_response(close))
        .with_state(name);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    thread::spawn(|| {
        // Stdin ends when the process that started this node ends.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    // Without this, small events wait for the client's delayed acknowledgements.
    axum::serve(listener.tap_io(|it| drop(it.set_nodelay(true))), app).await
}

/// Closes the connection after the answer, so that the next request reaches the other node.
async fn close(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Starts two nodes and forwards connections to them in turn.
async fn serve_front(store: RedisStore) -> io::Result<()> {
    if let Err(error) = store.load(&SessionKey::new("", "any")).await {
        eprintln!("{error}\nThis example needs a Redis: start redis-server, or set REDIS_URL.");
        process::exit(1);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    mcp::print_help(&format!("http://{}/mcp", listener.local_addr()?));
    let mut nodes = [start_node("one").await?, start_node("two").await?];
    loop {
        let (client, _) = listener.accept().await?;
        nodes.reverse();
        tokio::spawn(forward(client, nodes));
    }
}

/// Starts a node, prints the command that kills it, and returns its address.
async fn start_node(name: &'static str) -> io::Result<SocketAddr> {
    let mut node = Command::new(env::current_exe()?)
        .arg(name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (input, output) = (node.stdin.take(), node.stdout.take());
    let mut lines = BufReader::new(output.ok_or(io::ErrorKind::BrokenPipe)?).lines();
    let address = lines.next_line().await?.unwrap_or_default();
    println!(
        "kill -9 {}   # ends node {name}",
        node.id().unwrap_or_default()
    );
    tokio::spawn(async move {
        let _ = node.wait().await;
        println!("node {name} is gone");
        drop(input);
    });
    address.parse().map_err(io::Error::other)
}

/// Copies bytes both ways between the client and the first node that accepts the connection.
async fn forward(mut client: TcpStream, nodes: [SocketAddr; 2]) -> io::Result<()> {
    client.set_nodelay(true)?;
    for address in nodes {
        if let Ok(mut node) = TcpStream::connect(address).await {
            node.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut node).await?;
            break;
        }
    }
    Ok(())
}
