//! The clock of a node, compared with that of its time server.

use crate::sync::Guarded;

/// The server of machines whose configuration names none.
const DEFAULT_SERVER: &str = "time.cloudflare.com";

/// What a node knows about time.
#[derive(Debug)]
pub(crate) struct Clock {
    state: Guarded<State>,
}

#[derive(Debug, Clone)]
struct State {
    server: String,
    offset_nanos: i64,
    failure: Option<String>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            state: Guarded::new(State {
                server: DEFAULT_SERVER.to_owned(),
                offset_nanos: 0,
                failure: None,
            }),
        }
    }
}

impl Clock {
    pub(crate) fn server(&self) -> String {
        self.state.lock().server.clone()
    }

    pub(crate) fn set_server(&self, server: String) {
        self.state.lock().server = server;
    }

    /// Follows the server of a changed configuration, or the one of those that name none.
    pub(crate) fn follow(&self, server: Option<String>) {
        self.set_server(server.unwrap_or_else(|| DEFAULT_SERVER.to_owned()));
    }

    /// How far the server's clock is ahead of the node's; the error says why it does not answer.
    pub(crate) fn offset_nanos(&self) -> Result<i64, String> {
        let state = self.state.lock();
        state.failure.clone().map_or(Ok(state.offset_nanos), Err)
    }

    pub(crate) fn set_offset_nanos(&self, offset: i64) {
        self.state.lock().offset_nanos = offset;
    }

    pub(crate) fn set_failure(&self, failure: Option<String>) {
        self.state.lock().failure = failure;
    }
}
