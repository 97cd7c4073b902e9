//! The way of a request through the guard. Files in the order in which it meets them; the message itself is
//! read in `protocol::message` (rows 12 to 14):
//!
//! | file | decides or does | contract |
//! |---|---|---|
//! | `layer`, `shared`, `service`, `future` | the middleware's frame | |
//! | `admit` | who asks, for which session | rows 1 to 9 |
//! | `head` | reads the head, once | rows 3 to 9 |
//! | `origin` | may this host and page reach the endpoint | row 2 |
//! | `judge` | every decision, in pure functions | rows 1, 3 to 9, 15 to 23 |
//! | `body_reader`, `read_deadline` | reads the body, or drops it | rows 10, 11, §3 |
//! | `post` | a POST once its body came | |
//! | `modern` | the modern era's rules | row 16, §6 |
//! | `refuse` | the way out of a refusal | §3 |
//! | `report_only` | what report-only mode lets pass | §2 |
//! | `forward` | what the inner service gets | row 23, §4.4 |
//! | `span` | what the current span and the log show of a request | |
//! | `next`, `until_ended` | the call of the inner service, and its race with the session's end | |
//! | `opening` | the answer to `initialize` | §4 |
//! | `answer` | other answers, and what a 404 among them means | §5 |
//! | `body` | the bodies of answers, one for each role | §4.4, §5 |
//! | `modern::call` | answers of the modern era, `subscriptions/listen` | §5, §6 |
//! | `delete` | the client ends its session | §5 |
//! | `inner` | the session that an inner service keeps itself: its DELETE, its 404 | §5 |

mod admit;
mod answer;
mod body;
mod body_reader;
mod delete;
mod forward;
mod future;
#[cfg(any(fuzzing, feature = "_internals"))]
pub(crate) mod fuzzing;
mod head;
mod inner;
mod judge;
mod layer;
mod modern;
mod next;
mod opening;
pub(crate) mod origin;
mod post;
mod read_deadline;
mod refuse;
mod report_only;
mod service;
pub(crate) mod settings;
mod shared;
mod span;
mod until_ended;

pub use self::future::ResponseFuture;
pub use self::layer::SessionGuardLayer;
pub use self::service::SessionGuard;
