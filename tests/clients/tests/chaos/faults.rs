//! What happens to the store while everybody uses it, and to the sessions that it forgets.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client_tests::driven::within;
use client_tests::fault::Fault;
use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::clients::ping;
use crate::place::{Node, Place};
use crate::store::Mishap;
use crate::tally::SENT;

/// The store has its mishaps, again and again, and gets well; once each, and until the time is up.
/// Then all is over.
pub(crate) async fn cause_faults(place: Arc<Place>, time: Duration) {
    let until = Instant::now() + time;
    let mishaps = place.store.mishaps();
    for (count, &mishap) in mishaps.iter().cycle().enumerate() {
        if count >= mishaps.len() && Instant::now() >= until {
            break;
        }
        sleep(Duration::from_millis(200)).await;
        let alone = place.trouble.write().await;
        place.tally.count("store in trouble", SENT);
        place.store.begin(mishap).await;
        sleep(Duration::from_millis(500)).await;
        place.store.end(mishap).await;
        place.store_is_well().await;
        let well = format!("well again after {mishap:?}");
        place.tally.count("store in trouble", &well);
        drop(alone);
    }
    place.over.store(true, Ordering::Relaxed);
}

/// The store's clock jumps ahead by a day, and everything in it expires. A session goes on where it
/// is trusted and is unknown elsewhere; once the connections have been cut it is unknown everywhere,
/// and stays so when the clock is right again.
pub(crate) async fn lose_a_day(place: &Place) {
    let nodes: Vec<_> = place.nodes.iter().map(Node::raw).collect();
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(nodes[number % 2].open().await);
    }
    place.store.jump(DAY);
    assert_eq!(place.store.len(), 0, "all have expired");
    for (number, id) in ids.iter().enumerate() {
        let (here, there) = (&nodes[number % 2], &nodes[(number + 1) % 2]);
        ping(place, AFTER_A_DAY, here, id, &[200, 404]).await;
        ping(place, AFTER_A_DAY, there, id, &[404]).await;
    }
    place.store.begin(Mishap::OfNetwork(Fault::Down)).await;
    sleep(Duration::from_millis(100)).await;
    place.store.end(Mishap::OfNetwork(Fault::Down)).await;
    for id in &ids {
        for node in &nodes {
            within(async {
                while ping(place, AFTER_A_DAY, node, id, &[200, 404, 503]).await
                    != StatusCode::NOT_FOUND
                {}
            })
            .await;
        }
    }
    place.store.jump(-DAY);
    for id in &ids {
        for node in &nodes {
            ping(place, AFTER_A_DAY, node, id, &[404]).await;
        }
    }
}

const AFTER_A_DAY: &str = "after a lost day";
/// In seconds.
const DAY: i64 = 24 * 60 * 60;
