//! A path, and the factory that makes a media for its readers.
//!
//! The factory is a subclass because only `construct` may say no: signals come after the fact.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gst::{glib, glib::subclass::prelude::*, prelude::*};
use gst_rtsp_server::{prelude::*, subclass::prelude::*};

use super::{
    Open, Opened,
    feed::Feed,
    lock,
    publish::{self, Media},
    server::State,
};
use crate::{
    error::{Error, Kind, Result},
    frame::Codec,
};

/// What was opened for a DESCRIBE that then did not need it is let go after this time.
const UNCLAIMED: Duration = Duration::from_secs(5);

/// The least that a payloader takes for its packets, in bytes (`mtu` of `GstRTPBasePayload`).
const SMALLEST_MTU: u32 = 28;

/// How every reader and publisher may be reached.
const UNICAST: gst_rtsp::RTSPLowerTrans = gst_rtsp::RTSPLowerTrans::TCP.union(gst_rtsp::RTSPLowerTrans::UDP);

/// A path that can be read.
pub(super) struct Mount {
    /// As it was given to `mount`.
    pub(super) name: String,
    open: Open,
    /// Nobody can read it yet; it is there for a publisher.
    pub(super) is_placeholder: bool,
    pub(super) sent: Arc<Sent>,
    /// Counts the streams this mount has seen end: a media of an ended stream is not shared any more.
    generation: AtomicU64,
    /// Opened while a DESCRIBE could still be refused, for the media that is about to be made.
    opened: Mutex<Vec<(Instant, Opened)>>,
}

/// What the readers of a path were handed since it can be read.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) bytes: AtomicU64,
    pub(super) frames: AtomicU64,
    pub(super) packet_bytes: AtomicU64,
}

impl Mount {
    pub(super) fn new(name: &str, open: Open) -> Self {
        Self {
            name: name.to_owned(),
            open,
            is_placeholder: false,
            sent: Arc::default(),
            generation: AtomicU64::new(0),
            opened: Mutex::new(Vec::new()),
        }
    }

    /// The same path in place of `before`, whose readers stay and count on.
    pub(super) fn after(self, before: &Self) -> Self {
        Self { sent: Arc::clone(&before.sent), ..self }
    }

    /// A path that can be published to and not be read.
    pub(super) fn placeholder(name: &str) -> Self {
        let nobody = name.to_owned();
        let open = Arc::new(move || Err(Error::not_found("stream", nobody.as_str())));
        Self { is_placeholder: true, ..Self::new(name, open) }
    }

    /// Opens the source for a media to come. May block.
    pub(super) fn open(&self) -> Result<()> {
        let opened = self.call()?;
        lock(&self.opened).push((Instant::now(), opened));
        Ok(())
    }

    /// A panic here would run into C code, which aborts the process.
    fn call(&self) -> Result<Opened> {
        catch_unwind(AssertUnwindSafe(|| (self.open)()))
            .unwrap_or_else(|_| Err(Error::internal(format!("opening \"{}\" panicked", self.name))))
    }

    fn take(&self) -> Result<Opened> {
        let ready = lock(&self.opened).pop();
        match ready {
            Some((_, opened)) => Ok(opened),
            None => self.call(),
        }
    }

    /// Lets go of what nobody came for.
    pub(super) fn forget_unclaimed(&self) {
        let old: Vec<_> = lock(&self.opened).extract_if(.., |(since, _)| since.elapsed() > UNCLAIMED).collect();
        drop(old);
    }

    /// The next reader gets a new media.
    pub(super) fn renew(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct Factory {
        pub(super) state: OnceLock<Weak<State>>,
        pub(super) mount: OnceLock<Arc<Mount>>,
        element: Mutex<Option<gst::Element>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Factory {
        const NAME: &'static str = "CameraServiceRtspFactory";
        type Type = super::Factory;
        type ParentType = gst_rtsp_server::RTSPMediaFactory;
    }

    impl ObjectImpl for Factory {}

    impl RTSPMediaFactoryImpl for Factory {
        /// Readers that give the same key share a media, if the media allows it.
        fn gen_key(&self, _url: &gst_rtsp::RTSPUrl) -> Option<glib::GString> {
            // What is published is never shared.
            if publish::announcing().is_some() {
                return None;
            }
            let mount = self.mount.get()?;
            Some(format!("{}#{}", mount.name, mount.generation.load(Ordering::Relaxed)).into())
        }

        fn create_element(&self, _url: &gst_rtsp::RTSPUrl) -> Option<gst::Element> {
            lock(&self.element).take()
        }

        /// Called under the factory's own lock, so `element` cannot meet another reader's.
        fn construct(&self, url: &gst_rtsp::RTSPUrl) -> Option<gst_rtsp_server::RTSPMedia> {
            let state = self.state.get()?.upgrade()?;
            let mount = self.mount.get()?;
            if let Some(connection) = publish::announcing() {
                *lock(&self.element) = Some(gst::Bin::new().upcast());
                let media = self.parent_construct(url)?;
                let announced = media.downcast_ref::<Media>()?.announce(&state, &mount.name, connection);
                if let Err(error) = announced {
                    tracing::warn!(path = mount.name, error = error.chain(), "cannot be published");
                    return None;
                }
                return Some(media);
            }
            let made = mount.take().and_then(|opened| {
                let bin = bin(&state, opened.stream.format().codec)?;
                *lock(&self.element) = Some(bin.upcast());
                let media =
                    self.parent_construct(url).ok_or_else(|| Error::internal("the RTSP media cannot be made"))?;
                Feed::start(&state, mount, opened, &media)?;
                Ok(media)
            });
            made.inspect_err(|error| {
                tracing::warn!(path = mount.name, error = error.chain(), "no RTSP media");
            })
            .ok()
        }

        /// Comes after `construct` and would set what the factory says.
        fn configure(&self, media: &gst_rtsp_server::RTSPMedia) {
            self.parent_configure(media);
            let feed = self.state.get().and_then(Weak::upgrade).and_then(|state| state.feed_of(media));
            media.set_shared(feed.is_some_and(|feed| feed.shared));
            // As MediaMTX names them.
            for (index, stream) in (0..media.n_streams()).filter_map(|index| Some((index, media.stream(index)?))) {
                stream.set_control(Some(&format!("trackID={index}")));
            }
            if media.downcast_ref::<Media>().is_some_and(Media::is_announced) {
                media.set_transport_mode(gst_rtsp_server::RTSPTransportMode::RECORD);
                media.set_protocols(UNICAST);
            }
        }
    }
}

glib::wrapper! {
    /// Makes the media of one mount.
    pub struct Factory(ObjectSubclass<imp::Factory>) @extends gst_rtsp_server::RTSPMediaFactory;
}

impl Factory {
    pub(super) fn new(state: &Arc<State>, mount: &Arc<Mount>) -> Self {
        let factory: Self = glib::Object::new();
        let imp = factory.imp();
        // Both cells are empty: the object is a line old.
        let _ = imp.state.set(Arc::downgrade(state));
        let _ = imp.mount.set(Arc::clone(mount));
        factory.set_media_gtype(Media::static_type());
        factory.set_suspend_mode(gst_rtsp_server::RTSPSuspendMode::None);
        factory.set_address_pool(state.addresses.as_ref());
        factory.set_protocols(UNICAST);
        if let Some(multicast) = state.settings.multicast {
            factory.set_protocols(UNICAST | gst_rtsp::RTSPLowerTrans::UDP_MCAST);
            // All groups have the same port: what listens there has to say for which.
            factory.set_bind_mcast_address(true);
            factory.set_max_mcast_ttl(multicast.ttl.into());
        }
        factory
    }
}

/// The elements of a media, from the launch file of its codec.
fn bin(state: &State, codec: Codec) -> Result<gst::Bin> {
    let name = match codec {
        Codec::H264 => "output/rtsp-h264",
        Codec::Mjpeg => "output/rtsp-mjpeg",
    };
    let line = state.launch.line(name)?;
    let bin = gst::parse::bin_from_description(&line, false).map_err(|error| {
        let message = format!("launch file {name} cannot be used: {error}");
        Error::with_source(Kind::Dependency { dependency: name.to_owned() }, message, error)
    })?;
    let largest = state.largest_packet.load(Ordering::Relaxed).max(SMALLEST_MTU);
    // Every payloader of GStreamer has one (`GstRTPBasePayload`).
    if let Some(payloader) = bin.by_name("pay0").filter(|element| element.find_property("mtu").is_some())
        && payloader.property::<u32>("mtu") > largest
    {
        payloader.set_property("mtu", largest);
    }
    Ok(bin)
}
