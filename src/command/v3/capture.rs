//! Commands that would take a camera with ffmpeg and publish it: what they are there for is done here without them, and
//! they could not have the camera, which this service has.

/// The device whose pictures a command publishes to the path that it belongs to, the one of this name. `None`: it does
/// something else, and is run.
pub(super) fn captured(command: &str, path: &str) -> Option<String> {
    let words = shlex::split(command)?;
    let (output, options) = words.split_last()?;
    let (_, place) = output.strip_prefix("rtsp://").or_else(|| output.strip_prefix("rtsps://"))?.split_once('/')?;
    let place = place.split('?').next()?.trim_end_matches('/');
    if ![path, "$MTX_PATH", "$RTSP_PATH"].contains(&place) {
        return None;
    }
    let mut format = None;
    for pair in options.windows(2) {
        match pair[0].as_str() {
            "-f" => format = Some(pair[1].as_str()),
            // An option is of the file that follows it.
            "-i" if format.take().is_some_and(|format| ["v4l2", "video4linux2"].contains(&format)) => {
                return Some(pair[1].clone());
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::captured;

    #[test]
    fn what_publishes_a_camera_to_its_own_path_is_known() {
        for (command, device) in [
            (
                "ffmpeg -f v4l2 -i /dev/video0 -c:v libx264 -f rtsp rtsp://localhost:$RTSP_PORT/$MTX_PATH",
                Some("/dev/video0"),
            ),
            (
                "ffmpeg -f video4linux2 -framerate 30 -i '/dev/my camera' -f rtsp rtsp://127.0.0.1:8554/door?a=b",
                Some("/dev/my camera"),
            ),
            ("ffmpeg -f alsa -i hw:1 -f v4l2 -i /dev/video0 -f rtsp rtsp://localhost/door", Some("/dev/video0")),
            ("ffmpeg -f v4l2 -i /dev/video2 -f rtsp rtsps://localhost/$RTSP_PATH/", Some("/dev/video2")),
            ("ffmpeg -f v4l2 -i /dev/video0 -f rtsp rtsp://elsewhere/other", None),
            ("ffmpeg -f v4l2 -i /dev/video0 -f mpegts udp://192.0.2.1:5000", None),
            ("ffmpeg -f alsa -i hw:1 -i /dev/video0 -f rtsp rtsp://localhost/door", None),
            ("ffmpeg -i film.mp4 -f rtsp rtsp://localhost/door", None),
            ("ffmpeg -f v4l2 -i 'unclosed rtsp://localhost/door", None),
            ("", None),
        ] {
            assert_eq!(captured(command, "door").as_deref(), device, "{command}");
        }
    }
}
