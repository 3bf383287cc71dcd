//! Pictures: as files, and as they are.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Command, Gateway, Timestamp, Within,
    access::{Caller, Role},
    files::Kind,
};
use crate::{
    error::{Error, Result},
    output::{
        snapshot::{self, Caption, Picture, SnapshotFormat, SnapshotRequest},
        storage::FileName,
    },
};

/// `take_snapshot`: the newest picture of a camera, as a file.
pub struct Take;

/// The parameters of [`Take`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TakeParams {
    /// The camera.
    device: String,
    /// A plain file name that is not taken; the ending may be left out. Else a name is made.
    filename: Option<String>,
    /// Else by the ending of the file name, else as configured.
    format: Option<Format>,
    /// For JPEG; else as configured.
    quality: Option<Within<1, 100>>,
}

/// File formats by the names clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SnapshotFormat")]
pub enum Format {
    /// JPEG.
    #[serde(alias = "jpg")]
    Jpeg,
    /// PNG.
    Png,
}

/// The reply of [`Take`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SnapshotTaken")]
pub struct Taken {
    device: String,
    filename: String,
    #[schemars(extend("const" = "SUCCESS"))]
    status: &'static str,
    timestamp: Timestamp,
    file_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_path: Option<PathBuf>,
    width: u32,
    height: u32,
    download_url: String,
}

impl Command for Take {
    const METHOD: &'static str = "take_snapshot";
    const SUMMARY: &'static str = "The newest picture of a camera, as a file.";
    const ROLE: Option<Role> = Some(Role::Operator);
    /// A camera that runs on demand has to start first.
    const DEADLINE: Duration = Duration::from_secs(30);
    type Params = TakeParams;
    type Reply = Taken;

    async fn run(params: TakeParams, caller: &Caller, gateway: &Gateway) -> Result<Taken> {
        let device = gateway.find(&params.device)?;
        let request = params.request(gateway.defaults().snapshot);
        let name = params.filename.as_deref().map(FileName::parse).transpose()?;
        let caption = caption(&device, gateway);
        let taken = gateway.paths.snapshot(&device, request, caption, name).await?;
        let filename = taken.filename().to_owned();
        Ok(Taken {
            device,
            status: "SUCCESS",
            timestamp: Timestamp(taken.picture.captured),
            file_size: taken.picture.data.len(),
            width: taken.picture.width,
            height: taken.picture.height,
            download_url: Kind::Snapshot.download_url(&filename),
            filename,
            file_path: caller.sees_host().then_some(taken.file),
        })
    }
}

/// What is asked of a picture that is handed out.
#[derive(Clone, Copy, Debug, Default)]
pub struct LookParams {
    /// Else as configured.
    pub format: Option<Format>,
    /// For JPEG; else as configured.
    pub quality: Option<Within<1, 100>>,
    /// The most columns and rows. Where neither is named, those that are configured count; else those alone.
    pub width: Option<Within<1, 16384>>,
    /// The most rows.
    pub height: Option<Within<1, 16384>>,
}

/// A picture that is handed out.
#[derive(Debug)]
pub struct Look {
    /// The name its file would have.
    pub filename: FileName,
    /// The picture.
    pub picture: Picture,
}

/// The newest picture of a camera, for who may see its stream. No file is made, and nobody else is told.
///
/// # Errors
/// Those of [`Caller::require`]; no such camera; those of [`Paths::picture`](crate::path::Paths::picture).
pub async fn look(device: &str, params: LookParams, caller: &Caller, gateway: &Gateway) -> Result<Look> {
    caller.require(Role::Viewer)?;
    let device = gateway.find(device)?;
    let request = params.request(gateway.defaults().snapshot);
    let picture = gateway.paths.picture(&device, request, caption(&device, gateway)).await?;
    let ending = snapshot::extensions(picture.format)[0];
    let filename = gateway.folders.pattern.names(&device, picture.captured, ending).next();
    let filename = filename.ok_or_else(|| Error::internal("a picture without a name"))?;
    Ok(Look { filename, picture })
}

/// What the pictures of `device` say of it.
fn caption(device: &str, gateway: &Gateway) -> Caption {
    let model = gateway.source(device).ok().map(|source| source.name).filter(|name| name != device);
    Caption { camera: device.to_owned(), model }
}

impl LookParams {
    /// The configured request with what the caller says laid over it.
    fn request(&self, mut request: SnapshotRequest) -> SnapshotRequest {
        request.format = self.format.map_or(request.format, Into::into);
        if let Some(Within(quality)) = self.quality {
            request.quality = quality as u8;
        }
        if self.width.is_some() || self.height.is_some() {
            request.max_width = self.width.map(|Within(pixels)| pixels);
            request.max_height = self.height.map(|Within(pixels)| pixels);
        }
        request
    }
}

impl From<Format> for SnapshotFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Jpeg => Self::Jpeg,
            Format::Png => Self::Png,
        }
    }
}

impl TakeParams {
    /// The configured request with what the caller says laid over it. A name that ends in `.png` says PNG.
    fn request(&self, mut request: SnapshotRequest) -> SnapshotRequest {
        let named = self.filename.as_deref().and_then(|name| name.rsplit_once('.'));
        request.format = match (self.format, named) {
            (Some(format), _) => format.into(),
            (None, Some((_, end))) if end.eq_ignore_ascii_case("png") => SnapshotFormat::Png,
            (None, Some((_, end))) if ["jpg", "jpeg"].iter().any(|jpeg| end.eq_ignore_ascii_case(jpeg)) => {
                SnapshotFormat::Jpeg
            }
            (None, _) => request.format,
        };
        if let Some(Within(quality)) = self.quality {
            request.quality = quality as u8;
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_format_is_asked_for_or_named_or_configured() {
        let configured =
            SnapshotRequest { format: SnapshotFormat::Jpeg, quality: 85, max_width: None, max_height: None };
        for (params, format, quality) in [
            (json!({}), SnapshotFormat::Jpeg, 85),
            (json!({"format": "png", "quality": 1}), SnapshotFormat::Png, 1),
            (json!({"format": "jpg", "filename": "a.png"}), SnapshotFormat::Jpeg, 85),
            (json!({"filename": "a.PNG"}), SnapshotFormat::Png, 85),
            (json!({"filename": "png"}), SnapshotFormat::Jpeg, 85),
        ] {
            let mut params = params;
            params["device"] = json!("camera0");
            let request = serde_json::from_value::<TakeParams>(params).unwrap().request(configured);
            assert_eq!((request.format, request.quality), (format, quality));
        }
        let png = SnapshotRequest { format: SnapshotFormat::Png, ..configured };
        let params = json!({"device": "camera0", "filename": "a.jpeg"});
        assert_eq!(serde_json::from_value::<TakeParams>(params).unwrap().request(png).format, SnapshotFormat::Jpeg);
    }
}
