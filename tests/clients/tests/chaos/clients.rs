//! Who uses the nodes, each in a way of its own, until all is over.

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

use crate::place::{Node, Place, session_id};
use crate::tally::SENT;

/// An official client that opens a session while the store is well and must not notice when it is not.
pub(crate) async fn use_tools(place: Arc<Place>, name: &'static str, kind: Kind) {
    for node in place.nodes.iter().cycle() {
        let mut client = Client::start(&kind, &node.url());
        // Its program is there once it answers; the store need not wait for that.
        client.tell("token none").await;
        let well = place.trouble.read().await;
        assert!(client.tell("open").await.is_string());
        drop(well);
        for call in 1..=100 {
            place.tally.count(name, SENT);
            let told = client.tell("call count").await;
            assert_eq!(told, format!("call {call} of this session"), "{name}");
            place.tally.count(name, "answered");
            sleep(Duration::from_millis(20)).await;
            if place.is_over() {
                return;
            }
        }
    }
}

/// Twenty openings at once; every second is ended, the others are forgotten.
pub(crate) async fn flood(place: Arc<Place>) {
    let nodes: Vec<_> = place.nodes.iter().map(Node::raw).collect();
    while !place.is_over() {
        let openings = (0..20).map(|number| nodes[number % 2].initialize());
        place.tally.add("initialize in a flood", SENT, 20);
        for (number, answer) in join_all(openings).await.into_iter().enumerate() {
            place.tally.answered(
                "initialize in a flood",
                answer.status().as_u16(),
                &[200, 503],
            );
            let Some(id) = session_id(&answer).filter(|_| number % 4 < 2) else {
                continue;
            };
            // To the end: a session is given up if its client does not take the answer.
            answer.bytes().await.expect("the answer is whole");
            place.tally.count("DELETE", SENT);
            let ended = nodes[number % 2].send(&Method::DELETE, &id, None).await;
            let expected: &[u16] = match place.store.has_clock() {
                true => &[204, 404, 503],
                false => &[204, 503],
            };
            place
                .tally
                .answered("DELETE", ended.status().as_u16(), expected);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Opens here, goes on there, ends there, and is unknown here.
pub(crate) async fn move_about(place: Arc<Place>) {
    let (here, there) = (place.nodes[0].raw(), place.nodes[1].raw());
    while !place.is_over() {
        let well = place.trouble.try_read();
        let step = async |statuses: &[u16], raw: &Raw, method: Method, id: &str| {
            let expected = if well.is_ok() {
                statuses
            } else {
                &[200, 204, 404, 503]
            };
            match method {
                Method::POST => drop(ping(&place, MOVER, raw, id, expected).await),
                _ => {
                    place.tally.count(MOVER, SENT);
                    let answer = raw.send(&method, id, None).await;
                    place
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
            if well.is_ok() {
                // The news of the end is on its way.
                within(async {
                    while here.send(&Method::POST, &id, None).await.status()
                        != StatusCode::NOT_FOUND
                    {}
                })
                .await;
            }
        }
        drop(well);
        sleep(Duration::from_millis(10)).await;
    }
}

/// Takes a byte of an event stream now and then, and hangs up with most of it unread.
pub(crate) async fn read_slowly(place: Arc<Place>) {
    for node in place.nodes.iter().cycle() {
        if place.is_over() {
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
        place.tally.count("stream, read slowly", SENT);
        let read = within(async {
            for _ in 0..30 {
                stream.read_u8().await?;
                sleep(Duration::from_millis(10)).await;
            }
            Ok::<_, io::Error>("left")
        });
        let left = match read.await {
            Err(_) if place.store.has_clock() => "ended",
            read => read.expect("the stream goes on"),
        };
        place.tally.count("stream, read slowly", left);
    }
}

/// Sends half a message and hangs up.
pub(crate) async fn reset(place: Arc<Place>) {
    for node in place.nodes.iter().cycle() {
        if place.is_over() {
            return;
        }
        let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        let half = format!("{head}content-length: 100\r\n\r\n{{\"jsonrpc\":\"2.0\",");
        let stream = begin(node, &half).await;
        place.tally.count("half a message", SENT);
        sleep(Duration::from_millis(10)).await;
        drop(stream);
        place.tally.count("half a message", "left");
    }
}

/// Pings a session; whoever answers must be that session.
pub(crate) async fn ping(
    place: &Place,
    client: &'static str,
    node: &Raw,
    id: &str,
    expected: &[u16],
) -> StatusCode {
    place.tally.count(client, SENT);
    let answer = node.send(&Method::POST, id, None).await;
    let status = answer.status();
    place.tally.answered(client, status.as_u16(), expected);
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
