//! A headless camera gateway: a V4L2 camera is plugged in and is on RTSP, in one process.
//!
//! Modules stand on floors and import lower floors only (`tests/house.rs` checks it):
//!
//! | floor | modules | |
//! |---|---|---|
//! | 8 | `main`, `cli` | the command line |
//! | 7 | [`app`] | compose, run, drain |
//! | 6 | [`api`] | HTTP, WebSocket, JSON |
//! | 5 | [`command`] | what a caller may ask, and the reply |
//! | 4 | [`camera`], [`external`] | which device is camera0, hotplug; streams of other machines |
//! | 3 | [`path`] | one task per path: source, stream, readers, recorder |
//! | 2 | [`device`], [`pipeline`], [`output`] | hands: kernel, GStreamer, disk |
//! | 1 | [`media`], [`state_file`], [`hook`] | launch files, samples, the pipelines' clock and bus; files of the state directory; programs of others |
//! | 0 | [`error`], [`id`], [`mode`], [`frame`], [`stream`], [`rtsp_url`], [`config`], [`mtx`] | words: no hardware, no network |

pub mod api;
pub mod app;
pub mod camera;
pub mod command;
pub mod config;
pub mod device;
pub mod error;
pub mod external;
pub mod frame;
pub mod hook;
pub mod id;
pub mod media;
pub mod mode;
pub mod mtx;
pub mod output;
pub mod path;
pub mod pipeline;
pub mod rtsp_url;
pub mod state_file;
pub mod stream;
