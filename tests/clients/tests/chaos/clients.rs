//! The clients of the nodes. Each runs in its own way until the time is up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use client_tests::driven::{Client, Kind, within};
use client_tests::raw::{Raw, as_json};
use futures_util::future::join_all;
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::cluster::{Cluster, Node, session_id};
use crate::tally::SENT;

/// An official client that opens a session while the store works, and must not notice when it
/// fails.
pub(crate) async fn use_tools(cluster: Arc<Cluster>, name: &'static str, kind: Kind) {
    for node in cluster.nodes.iter().cycle() {
        let mut client = Client::start(&kind, &node.url());
        // Wait until the program of the client has started, without holding the lock.
        client.run("token none").await;
        let no_incident = cluster.incident.read().await;
        assert!(client.run("open").await.is_string());
        drop(no_incident);
        for call in 1..=100 {
            cluster.tally.count(name, SENT);
            let answer = client.run("call count").await;
            assert_eq!(answer, format!("call {call} of this session"), "{name}");
            cluster.tally.count(name, "answered");
            sleep(Duration::from_millis(20)).await;
            if cluster.is_over() {
                return;
            }
        }
    }
}

/// Opens twenty sessions at once. Every second one is ended, the others are abandoned.
pub(crate) async fn flood(cluster: Arc<Cluster>) {
    let nodes: Vec<_> = cluster.nodes.iter().map(Node::raw).collect();
    while !cluster.is_over() {
        let openings = (0..20).map(|number| nodes[number % 2].initialize());
        cluster.tally.add("initialize in a flood", SENT, 20);
        for (number, answer) in join_all(openings).await.into_iter().enumerate() {
            cluster.tally.answered(
                "initialize in a flood",
                answer.status().as_u16(),
                &[200, 503],
            );
            let Some(id) = session_id(&answer).filter(|_| number % 4 < 2) else {
                continue;
            };
            // Read the whole answer: the guard abandons a session whose answer is not taken.
            answer.bytes().await.expect("the answer is whole");
            cluster.tally.count("DELETE", SENT);
            let ended = nodes[number % 2].send(&Method::DELETE, &id, None).await;
            let expected: &[u16] = match cluster.store.has_clock() {
                true => &[204, 404, 503],
                false => &[204, 503],
            };
            cluster
                .tally
                .answered("DELETE", ended.status().as_u16(), expected);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Opens a session on one node, uses and ends it on the other, and checks that both nodes then
/// refuse it.
pub(crate) async fn move_about(cluster: Arc<Cluster>) {
    let (here, there) = (cluster.nodes[0].raw(), cluster.nodes[1].raw());
    while !cluster.is_over() {
        let no_incident = cluster.incident.try_read();
        let step = async |statuses: &[u16], raw: &Raw, method: Method, id: &str| {
            let expected = if no_incident.is_ok() {
                statuses
            } else {
                &[200, 204, 404, 503]
            };
            match method {
                Method::POST => drop(ping(&cluster, MOVER, raw, id, expected).await),
                _ => {
                    cluster.tally.count(MOVER, SENT);
                    let answer = raw.send(&method, id, None).await;
                    cluster
                        .tally
                        .answered(MOVER, answer.status().as_u16(), expected);
                }
            }
        };
        let opened = here.initialize().await;
        if let Some(id) = session_id(&opened) {
            opened.bytes().await.expect("the answer is whole");
            step(&[200], &here, Method::POST, &id).await;
            step(&[200], &there, Method::POST, &id).await;
            step(&[204], &there, Method::DELETE, &id).await;
            step(&[404], &there, Method::POST, &id).await;
            if no_incident.is_ok() {
                // The event about the end may still be on its way.
                within(async {
                    while here.send(&Method::POST, &id, None).await.status()
                        != StatusCode::NOT_FOUND
                    {}
                })
                .await;
            }
        }
        drop(no_incident);
        sleep(Duration::from_millis(10)).await;
    }
}

/// Reads a byte of an event stream now and then, and hangs up with most of it unread.
pub(crate) async fn read_slowly(cluster: Arc<Cluster>) {
    for node in cluster.nodes.iter().cycle() {
        if cluster.is_over() {
            return;
        }
        let opened = node.raw().initialize().await;
        let Some(id) = session_id(&opened) else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        opened.bytes().await.expect("the answer is whole");
        let head = format!("GET /mcp HTTP/1.1\r\nhost: localhost\r\nmcp-session-id: {id}\r\n\r\n");
        let mut stream = begin(node, &head).await;
        cluster.tally.count("stream, read slowly", SENT);
        let read = within(async {
            for _ in 0..30 {
                stream.read_u8().await?;
                sleep(Duration::from_millis(10)).await;
            }
            Ok::<_, io::Error>("left")
        });
        let left = match read.await {
            Err(_) if cluster.store.has_clock() => "ended",
            read => read.expect("the stream is open"),
        };
        cluster.tally.count("stream, read slowly", left);
    }
}

/// Sends half a message and hangs up.
pub(crate) async fn reset(cluster: Arc<Cluster>) {
    for node in cluster.nodes.iter().cycle() {
        if cluster.is_over() {
            return;
        }
        let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        let half = format!("{head}content-length: 100\r\n\r\n{{\"jsonrpc\":\"2.0\",");
        let stream = begin(node, &half).await;
        cluster.tally.count("half a message", SENT);
        sleep(Duration::from_millis(10)).await;
        drop(stream);
        cluster.tally.count("half a message", "left");
    }
}

/// Pings a session, and checks that the answer names that session.
pub(crate) async fn ping(
    cluster: &Cluster,
    client: &'static str,
    node: &Raw,
    id: &str,
    expected: &[u16],
) -> StatusCode {
    cluster.tally.count(client, SENT);
    let answer = node.send(&Method::POST, id, None).await;
    let status = answer.status();
    cluster.tally.answered(client, status.as_u16(), expected);
    if status == StatusCode::OK {
        assert_eq!(as_json(answer).await["result"]["session"], *id, "{client}");
    }
    status
}

async fn begin(node: &Node, request: &str) -> TcpStream {
    let connected = within(TcpStream::connect(node.address)).await;
    let mut stream = connected.expect("the node listens");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("the node reads");
    stream
}

const MOVER: &str = "on another node";
