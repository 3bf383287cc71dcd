//! f
use gst::glib;
use gst::glib::subclass::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use std::sync::OnceLock;

mod imp {
    use super::*;
    /// x
    #[derive(Default)]
    pub struct Factory { pub open: OnceLock<u32> }
    #[glib::object_subclass]
    impl ObjectSubclass for Factory {
        const NAME: &'static str = "CameraServiceRtspFactory";
        type Type = super::Factory;
        type ParentType = gst_rtsp_server::RTSPMediaFactory;
    }
    impl ObjectImpl for Factory {}
    impl RTSPMediaFactoryImpl for Factory {
        fn construct(&self, url: &gst_rtsp::RTSPUrl) -> Option<gst_rtsp_server::RTSPMedia> {
            self.parent_construct(url)
        }
    }
}
glib::wrapper! {
    /// y
    pub struct Factory(ObjectSubclass<imp::Factory>) @extends gst_rtsp_server::RTSPMediaFactory;
}
