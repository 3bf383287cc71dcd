//! A path: a named stream with its source, its readers and its recorder.

pub mod state;
