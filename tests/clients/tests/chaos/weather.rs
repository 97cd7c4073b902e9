//! What happens to the store while everybody uses it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mcp_session_guard::store::Trouble;
use tokio::time::{Instant, sleep};

use crate::place::Place;
use crate::tally::SENT;

/// The store fails, keeps silent and loses its news, again and again, and gets well; once each, and
/// until the time is up. Then all is over.
pub(crate) async fn weather(place: Arc<Place>, time: Duration) {
    let until = Instant::now() + time;
    let troubles = [Trouble::Down, Trouble::Silent, Trouble::Deaf];
    for (count, trouble) in troubles.into_iter().cycle().enumerate() {
        if count >= troubles.len() && Instant::now() >= until {
            break;
        }
        sleep(Duration::from_millis(300)).await;
        let alone = place.trouble.write().await;
        place.tally.count("store in trouble", SENT);
        place.store.set_trouble(trouble);
        sleep(Duration::from_millis(700)).await;
        place.store.set_trouble(Trouble::None);
        place.store_is_well().await;
        let well = format!("well again after {trouble:?}");
        place.tally.count("store in trouble", &well);
        drop(alone);
    }
    place.over.store(true, Ordering::Relaxed);
}
