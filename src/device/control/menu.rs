//! What the entries of the usual menus are called.
//!
//! V4L2 fixes both the indices and the names of its own menus (`enum v4l2_exposure_auto_type` and so on in
//! `linux/v4l2-controls.h`). The names in a driver's own menu come from `VIDIOC_QUERYMENU` in a union, which cannot be
//! read without `unsafe`; such entries have an index and no name.

use v4l2r::bindings::*;

/// The name of entry `index` in the menu of control `id`, where V4L2 defines it.
pub(super) fn name(id: u32, index: u32) -> Option<&'static str> {
    let names: &[&str] = match id {
        V4L2_CID_POWER_LINE_FREQUENCY => &["Disabled", "50 Hz", "60 Hz", "Auto"],
        V4L2_CID_EXPOSURE_AUTO => &["Auto Mode", "Manual Mode", "Shutter Priority Mode", "Aperture Priority Mode"],
        V4L2_CID_EXPOSURE_METERING => &["Average", "Center Weighted", "Spot", "Matrix"],
        V4L2_CID_AUTO_FOCUS_RANGE => &["Auto", "Normal", "Macro", "Infinity"],
        V4L2_CID_ISO_SENSITIVITY_AUTO => &["Manual", "Auto"],
        V4L2_CID_CAMERA_ORIENTATION => &["Front", "Back", "External"],
        V4L2_CID_DV_RX_RGB_RANGE => &["Automatic", "RGB Limited Range (16-235)", "RGB Full Range (0-255)"],
        V4L2_CID_MPEG_VIDEO_BITRATE_MODE => &["Variable Bitrate", "Constant Bitrate", "Constant Quality"],
        V4L2_CID_AUTO_N_PRESET_WHITE_BALANCE => &[
            "Manual",
            "Auto",
            "Incandescent",
            "Fluorescent",
            "Fluorescent H",
            "Horizon",
            "Daylight",
            "Flash",
            "Cloudy",
            "Shade",
        ],
        V4L2_CID_SCENE_MODE => &[
            "None",
            "Backlight",
            "Beach/Snow",
            "Candle Light",
            "Dusk/Dawn",
            "Fall Colors",
            "Fireworks",
            "Landscape",
            "Night",
            "Party/Indoor",
            "Portrait",
            "Sports",
            "Sunset",
            "Text",
        ],
        V4L2_CID_COLORFX => &[
            "None",
            "Black & White",
            "Sepia",
            "Negative",
            "Emboss",
            "Sketch",
            "Sky Blue",
            "Grass Green",
            "Skin Whiten",
            "Vivid",
            "Aqua",
            "Art Freeze",
            "Silhouette",
            "Solarization",
            "Antique",
            "Set Cb/Cr",
        ],
        _ => return None,
    };
    names.get(usize::try_from(index).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_the_indices_of_the_kernels_header() {
        assert_eq!(
            name(V4L2_CID_EXPOSURE_AUTO, v4l2_exposure_auto_type_V4L2_EXPOSURE_APERTURE_PRIORITY),
            Some("Aperture Priority Mode")
        );
        assert_eq!(
            name(V4L2_CID_POWER_LINE_FREQUENCY, v4l2_power_line_frequency_V4L2_CID_POWER_LINE_FREQUENCY_AUTO),
            Some("Auto")
        );
        assert_eq!(name(V4L2_CID_SCENE_MODE, v4l2_scene_mode_V4L2_SCENE_MODE_TEXT), Some("Text"));
        assert_eq!(name(V4L2_CID_COLORFX, v4l2_colorfx_V4L2_COLORFX_SET_CBCR), Some("Set Cb/Cr"));
        assert_eq!(
            name(V4L2_CID_AUTO_N_PRESET_WHITE_BALANCE, v4l2_auto_n_preset_white_balance_V4L2_WHITE_BALANCE_SHADE),
            Some("Shade")
        );
        assert_eq!(name(V4L2_CID_POWER_LINE_FREQUENCY, 4), None);
        assert_eq!(name(V4L2_CID_BRIGHTNESS, 0), None);
    }
}
