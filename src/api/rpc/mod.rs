//! JSON-RPC 2.0 on a WebSocket.
//!
//! Text becomes calls (`envelope`), a call becomes a command (`table`, `params`), and `socket` carries both ways.

mod envelope;
mod params;
pub(super) mod socket;
mod table;

pub use table::Table;
