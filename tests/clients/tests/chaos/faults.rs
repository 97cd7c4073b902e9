//! Faults of the store while all clients use it, and the sessions that it loses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client_tests::driven::within;
use client_tests::fault::Fault;
use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::clients::ping;
use crate::cluster::{Cluster, Node};
use crate::store::Incident;
use crate::tally::SENT;

/// Causes each incident of the store once, and again until the time is up. The store recovers after
/// each. Then the run is over.
pub(crate) async fn cause_faults(cluster: Arc<Cluster>, time: Duration) {
    let until = Instant::now() + time;
    let incidents = cluster.store.incidents();
    for (count, &incident) in incidents.iter().cycle().enumerate() {
        if count >= incidents.len() && Instant::now() >= until {
            break;
        }
        sleep(Duration::from_millis(200)).await;
        let alone = cluster.incident.write().await;
        cluster.tally.count("store incident", SENT);
        cluster.store.begin(incident).await;
        sleep(Duration::from_millis(500)).await;
        cluster.store.end(incident).await;
        cluster.store_works().await;
        let recovered = format!("recovered after {incident:?}");
        cluster.tally.count("store incident", &recovered);
        drop(alone);
    }
    cluster.over.store(true, Ordering::Relaxed);
}

/// Moves the store's clock ahead by a day, so that every session in it expires. A verified session
/// continues on its node and is unknown on the other. After the connections have been cut it is
/// unknown on both, and stays so when the clock is right again.
pub(crate) async fn lose_a_day(cluster: &Cluster) {
    let nodes: Vec<_> = cluster.nodes.iter().map(Node::raw).collect();
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(nodes[number % 2].open().await);
    }
    cluster.store.jump(DAY);
    assert_eq!(cluster.store.len(), 0, "every session has expired");
    for (number, id) in ids.iter().enumerate() {
        let (here, there) = (&nodes[number % 2], &nodes[(number + 1) % 2]);
        ping(cluster, AFTER_A_DAY, here, id, &[200, 404]).await;
        ping(cluster, AFTER_A_DAY, there, id, &[404]).await;
    }
    cluster.store.begin(Incident::InNetwork(Fault::Down)).await;
    sleep(Duration::from_millis(100)).await;
    cluster.store.end(Incident::InNetwork(Fault::Down)).await;
    for id in &ids {
        for node in &nodes {
            within(async {
                while ping(cluster, AFTER_A_DAY, node, id, &[200, 404, 503]).await
                    != StatusCode::NOT_FOUND
                {}
            })
            .await;
        }
    }
    cluster.store.jump(-DAY);
    for id in &ids {
        for node in &nodes {
            ping(cluster, AFTER_A_DAY, node, id, &[404]).await;
        }
    }
}

const AFTER_A_DAY: &str = "after a lost day";
/// A day in seconds.
const DAY: i64 = 24 * 60 * 60;
