//! Streams that are published to this service: the same end of a pipeline, and packets for a beginning.
//!
//! Not here: how packets arrive (`output::rtsp`) and wait (`media::publication`).

use super::{CapturePlan, remote};
use crate::{
    error::Result,
    frame::{Codec, Format},
    media::{launch, publication::Publication},
};

/// The plan for a stream that is published.
pub(super) fn plan(publication: &Publication) -> CapturePlan {
    let codec = publication.codec();
    CapturePlan {
        publication: Some(publication.clone()),
        source: match codec {
            Codec::H264 => "source/published",
            Codec::Mjpeg => "source/published-mjpeg",
        },
        why: vec![format!("published from {}, untouched", publication.remote())],
        ..CapturePlan::untouched(Format { codec, ..remote::USUAL })
    }
}

/// A pipeline that gets packets. Dropping it ends that.
pub(super) struct Attached {
    publication: Publication,
    source: gst_app::AppSrc,
}

impl Attached {
    /// The element `source` of a pipeline that plays gets the packets from now on. Error: there is no such `appsrc`.
    pub fn new(pipeline: &gst::Pipeline, publication: &Publication) -> Result<Self> {
        let source: gst_app::AppSrc = launch::element(pipeline, "source")?;
        publication.attach(&source);
        Ok(Self { publication: publication.clone(), source })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.publication.detach(&self.source);
    }
}
