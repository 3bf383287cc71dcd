//! What goes out of the house: RTSP, recordings, snapshots. One module each; none knows another.

pub mod rtsp;
