//! Helpers that the integration tests share.
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)] // each test file uses only a part

pub mod client;
mod inner;
mod log;
pub mod memory;
mod messages;
mod owners;
pub mod rng;
mod server;
mod stream;
pub mod tally;
pub mod times;

pub use inner::*;
pub use log::Log;
pub use messages::*;
pub use owners::{by, owned};
pub use server::*;
pub use stream::*;
