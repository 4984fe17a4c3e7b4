//! What a guest sees of the host, and what the host keeps of a guest.

pub(crate) mod bindings;
pub(crate) mod given;
pub(crate) mod limits;
pub(crate) mod link;
pub(crate) mod messaging;
pub(crate) mod output;
pub(crate) mod pipeline_log;
pub(crate) mod port;
pub(crate) mod protocol;
pub(crate) mod reason;
pub(crate) mod request;
pub(crate) mod secrets;
pub(crate) mod sink;
pub(crate) mod state;
pub(crate) mod structured;
pub(crate) mod text;
