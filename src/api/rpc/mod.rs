//! JSON-RPC 2.0 on a WebSocket.
//!
//! Text becomes calls (`envelope`), a call becomes a command (`table`, `params`), and `socket` carries both ways. What
//! can be called is written down in `openrpc`.

mod envelope;
mod openrpc;
mod params;
pub(super) mod socket;
mod table;

pub use openrpc::document;
pub use table::Table;
