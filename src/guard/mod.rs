//! How the guard handles a request. The table lists the files in the order in which a request meets them.
//! `protocol::message` reads the message itself (rows 12 to 14).
//!
//! | file | what it does | contract |
//! |---|---|---|
//! | `layer`, `shared`, `service`, `future` | hold the middleware itself | |
//! | `admit`, `admitted` | identifies the caller and the session, and judges the head | rows 1 to 9 |
//! | `head` | reads the head in one pass | rows 3 to 9 |
//! | `origin` | checks `Host` and `Origin` | row 2 |
//! | `judge` | makes every decision, in pure functions | rows 1, 3 to 9, 15 to 23 |
//! | `body_reader`, `read_deadline` | read the body, or drop it | rows 10, 11, §3 |
//! | `post` | judges a POST whose body has arrived | |
//! | `modern` | judges a sessionless message | row 16, §6 |
//! | `refuse` | answers a refused request | §3 |
//! | `report_only` | lets a request pass in report-only mode | §2 |
//! | `forward` | prepares a request for the inner service | row 23, §4.4 |
//! | `span` | records a request in the current span and the log | |
//! | `inner_call`, `until_ended` | call the inner service, and stop when the session ends | |
//! | `pass_on` | waits for an answer that always passes | |
//! | `opening` | processes the answer to `initialize` | §4 |
//! | `answer` | processes other answers in a session | §5 |
//! | `body` | wraps the bodies of answers, with one type for each role | §4.4, §5 |
//! | `modern::call` | processes sessionless answers, and counts `subscriptions/listen` | §5, §6 |
//! | `delete` | ends a session for its client | §5 |
//! | `inner` | sends the inner DELETE, and interprets a 404 of the inner service | §5 |

mod admit;
mod admitted;
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
mod inner_call;
mod judge;
mod layer;
mod modern;
mod opening;
pub(crate) mod origin;
mod pass_on;
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

const POLLED_AFTER_COMPLETION: &str = "ResponseFuture polled after completion";
