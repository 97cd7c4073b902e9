//! The tools that the official conformance suite calls, and a tool that names the service that
//! answered.
#![allow(deprecated)] // the suite still uses some deprecated features

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
    ElicitRequest, ElicitRequestParams, InputRequest, InputRequests, InputRequiredResult,
    JsonObject, ListPromptsResult, ListToolsResult, LoggingMessageNotificationParam,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, SubscriptionFilter, Tool,
};
use rmcp::service::{RequestContext, SubscriptionContext, SubscriptionSink};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::json;

const TOOLS: [(&str, &str); 7] = [
    ("which", "Tells which service answered."),
    ("test_simple_text", "Says one sentence."),
    ("test_missing_capability", "Needs a client that samples."),
    ("test_streaming_elicitation", "Asks for a value."),
    ("test_logging_tool", "Logs, if the request asks for it."),
    (
        "test_trigger_tool_change",
        "Tells subscribers that the tools changed.",
    ),
    (
        "test_trigger_prompt_change",
        "Tells subscribers that the prompts changed.",
    ),
];

/// The handler of one service.
#[derive(Clone, Debug)]
pub struct Tools {
    name: &'static str,
    subscribers: Arc<Mutex<Subscribers>>,
}

#[derive(Debug, Default)]
struct Subscribers {
    next: u64,
    sinks: HashMap<u64, SubscriptionSink>,
}

impl Tools {
    /// A handler whose tool `which` answers `name`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let subscribers = Arc::default();
        Self { name, subscribers }
    }

    fn subscribers(&self) -> std::sync::MutexGuard<'_, Subscribers> {
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn sinks(&self) -> Vec<SubscriptionSink> {
        self.subscribers().sinks.values().cloned().collect()
    }
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder()
                .enable_prompts()
                .enable_prompts_list_changed()
                .enable_tools()
                .enable_tool_list_changed()
                .enable_logging()
                .build(),
        )
    }

    fn accepted_subscription_filter(
        &self,
        asked: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(asked.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let key = {
            let mut subscribers = self.subscribers();
            subscribers.next += 1;
            let key = subscribers.next;
            subscribers.sinks.insert(key, context.sink().clone());
            key
        };
        context.cancelled().await;
        self.subscribers().sinks.remove(&key);
        Ok(())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::default())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut schema = JsonObject::new();
        schema.insert("type".to_owned(), json!("object"));
        let tools = TOOLS.map(|(name, text)| Tool::new(name, text, schema.clone()));
        Ok(ListToolsResult::with_all_items(tools.into()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let text = match &*request.name {
            "which" => self.name,
            "test_simple_text" => "This is a simple text response for testing.",
            "test_missing_capability" => {
                let declared = context.meta.client_capabilities().unwrap_or_default();
                if declared.sampling.is_none() {
                    let needed = ClientCapabilities::builder().enable_sampling().build();
                    return Err(ErrorData::missing_required_client_capability(needed));
                }
                "the client samples"
            }
            "test_streaming_elicitation" => {
                let schema = json!({
                    "type": "object",
                    "properties": { "value": { "type": "string" } },
                    "required": ["value"],
                });
                let asked = ElicitRequestParams::FormElicitationParams {
                    meta: None,
                    message: "A value, please.".to_owned(),
                    requested_schema: serde_json::from_value(schema)
                        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?,
                };
                let mut requests = InputRequests::new();
                let asked = InputRequest::Elicitation(ElicitRequest::new(asked));
                requests.insert("value".into(), asked);
                return Ok(InputRequiredResult::from_input_requests(requests).into());
            }
            "test_logging_tool" => {
                if let Some(level) = context.meta.log_level() {
                    let message = LoggingMessageNotificationParam::new(level, json!("logged"));
                    let _ = context.peer.notify_logging_message(message).await;
                }
                "logged, if asked to"
            }
            "test_trigger_tool_change" => {
                for sink in self.sinks() {
                    let _ = sink.notify_tool_list_changed().await;
                }
                "notified"
            }
            "test_trigger_prompt_change" => {
                for sink in self.sinks() {
                    let _ = sink.notify_prompt_list_changed().await;
                }
                "notified"
            }
            _ => return Err(ErrorData::invalid_params("Unknown tool", None)),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}
