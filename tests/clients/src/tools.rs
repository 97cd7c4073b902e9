//! The tools of examples that demonstrate something other than tools.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::request::Parts;
use mcp_session_guard::McpSession;
use rmcp::handler::server::tool::Extension;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};

/// A tool that counts its calls, and one that waits.
#[derive(Clone, Debug)]
pub struct Tools;

#[tool_router]
impl Tools {
    #[tool(description = "Counts its calls in this session.")]
    async fn count(&self, Extension(parts): Extension<Parts>) -> String {
        let Some(session) = McpSession::from_extensions(&parts.extensions) else {
            return "no session".to_owned();
        };
        let calls = session.state_or_insert_with(AtomicU64::default);
        let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
        format!("call {call} of this session")
    }

    #[tool(description = "Answers after a minute.")]
    async fn wait(&self) -> String {
        tokio::time::sleep(Duration::from_secs(60)).await;
        "a minute later".to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}
