//! The files below `pipelines/`: embedded in the binary, overridden one by one by a configured folder.
//!
//! A capture pipeline is one `source/`, one `encoder/` and one `tail/` file joined with `!`, with a `decoder/` file in
//! between where compressed pictures are encoded anew; an `output/` file is a pipeline of its own. Text is never substituted: what varies is set as a property of an element with a fixed name,
//! so nothing a device or a client says can change the syntax, and the joined line can be pasted into
//! `gst-launch-1.0`.

use std::path::PathBuf;

use gst::prelude::*;
use include_dir::{Dir, include_dir};

use crate::error::{Error, Kind, Result};

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/pipelines");

/// Where launch files come from.
#[derive(Clone, Debug, Default)]
pub struct LaunchFiles {
    overrides: Option<PathBuf>,
}

impl LaunchFiles {
    /// The embedded files, each replaced by the file of the same name below `overrides` where there is one.
    pub fn new(overrides: Option<PathBuf>) -> Self {
        Self { overrides }
    }

    /// The launch line of one file, e.g. `source/raw`: comments and line breaks removed. Errors: no such file, or it
    /// cannot be read.
    pub fn line(&self, name: &str) -> Result<String> {
        let file = format!("{name}.launch");
        let text = match self.overrides.as_ref().map(|folder| folder.join(&file)) {
            Some(path) if path.exists() => std::fs::read_to_string(&path).map_err(|error| {
                let message = format!("launch file {} cannot be read", path.display());
                Error::with_source(dependency(name), message, error)
            })?,
            _ => EMBEDDED
                .get_file(&file)
                .and_then(|file| file.contents_utf8())
                .ok_or_else(|| Error::new(dependency(name), format!("there is no launch file {file}")))?
                .to_owned(),
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(lines.collect::<Vec<_>>().join(" "))
    }

    /// Several files joined with `!`, empty ones (`encoder/none`) left out.
    pub fn join<S: AsRef<str>>(&self, names: &[S]) -> Result<String> {
        let lines = names.iter().map(|name| self.line(name.as_ref())).collect::<Result<Vec<_>>>()?;
        Ok(lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ! "))
    }

    /// The names of all of them, as [`LaunchFiles::line`] takes them.
    pub fn names() -> Vec<String> {
        let folders = EMBEDDED.dirs().flat_map(|folder| folder.files());
        let paths = folders.map(|file| file.path().with_extension("").display().to_string());
        let mut names: Vec<String> = paths.collect();
        names.sort();
        names
    }

    /// The elements in the file of this name that GStreamer does not have here. Errors: there is no such file, or it does
    /// not parse for another reason.
    pub fn missing_elements(&self, name: &str) -> Result<Vec<String>> {
        let line = self.line(name)?;
        if line.is_empty() {
            return Ok(Vec::new());
        }
        let mut context = gst::ParseContext::new();
        let built = gst::parse::launch_full(&line, Some(&mut context), gst::ParseFlags::PLACE_IN_BIN);
        let mut missing: Vec<String> = context.missing_elements().iter().map(ToString::to_string).collect();
        missing.sort();
        missing.dedup();
        match built {
            Err(error) if missing.is_empty() => {
                let message = format!("launch file {name} does not parse: {error} in: {line}");
                Err(Error::with_source(dependency(name), message, error))
            }
            _ => Ok(missing),
        }
    }
}

/// Builds the pipeline of a launch line, on the shared clock. Errors: syntax, or an element that is not installed,
/// by name.
pub fn pipeline(line: &str) -> Result<gst::Pipeline> {
    let mut context = gst::ParseContext::new();
    let flags = gst::ParseFlags::FATAL_ERRORS | gst::ParseFlags::PLACE_IN_BIN;
    let built = gst::parse::launch_full(line, Some(&mut context), flags).map_err(|error| {
        let missing = context.missing_elements();
        let what = if missing.is_empty() { "launch line".into() } else { missing.join(", ") };
        let message = match missing.is_empty() {
            true => format!("launch line does not parse: {error} in: {line}"),
            false => format!("GStreamer has no element {what}"),
        };
        Error::with_source(dependency(&what), message, error)
    })?;
    let pipeline = built.downcast::<gst::Pipeline>().or_else(|element| {
        let pipeline = gst::Pipeline::new();
        pipeline
            .add(&element)
            .map(|()| pipeline)
            .map_err(|error| Error::with_source(Kind::Internal, "an element does not go into a pipeline", error))
    })?;
    super::share_clock(&pipeline);
    Ok(pipeline)
}

/// The element of this fixed name. Error: the launch file (perhaps an override) does not have it.
pub fn element<T: glib::object::IsA<gst::Element>>(bin: &impl IsA<gst::Bin>, name: &str) -> Result<T> {
    let found = bin
        .as_ref()
        .by_name(name)
        .ok_or_else(|| Error::new(dependency(name), format!("the launch line has no element named \"{name}\"")))?;
    found.downcast::<T>().map_err(|element| {
        let message = format!("element \"{name}\" is a {}, not a {}", element.type_(), T::static_type());
        Error::new(dependency(name), message)
    })
}

use gst::glib;

fn dependency(name: &str) -> Kind {
    Kind::Dependency { dependency: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_replaces_one_file_and_comments_go() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("source")).unwrap();
        std::fs::write(folder.path().join("source/raw.launch"), "# mine\nvideotestsrc name=source !\n  identity\n")
            .unwrap();
        let files = LaunchFiles::new(Some(folder.path().into()));
        assert_eq!(files.line("source/raw").unwrap(), "videotestsrc name=source ! identity");
        assert_eq!(files.join(&["source/raw", "encoder/none"]).unwrap(), "videotestsrc name=source ! identity");
    }

    #[test]
    fn every_file_is_named_and_says_what_it_lacks() {
        crate::media::init().unwrap();
        let names = LaunchFiles::names();
        for name in ["source/raw", "encoder/none", "output/rtsp-h264"] {
            assert!(names.iter().any(|there| there == name), "{name} is not in {names:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tail")).unwrap();
        let write = |line: &str| std::fs::write(folder.path().join("tail/h264.launch"), line).unwrap();
        let files = LaunchFiles::new(Some(folder.path().into()));
        write("identity ! nosuchelement ! norsuchone ! nosuchelement ! fakesink");
        assert_eq!(files.missing_elements("tail/h264").unwrap(), ["norsuchone", "nosuchelement"]);
        write("identity ! ! fakesink");
        assert!(files.missing_elements("tail/h264").unwrap_err().message().contains("tail/h264"));
        assert_eq!(files.missing_elements("tail/mjpeg").unwrap(), Vec::<String>::new());
        assert_eq!(files.missing_elements("encoder/none").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_missing_file_and_a_missing_element_are_named() {
        let error = LaunchFiles::default().line("source/nothing").unwrap_err();
        assert!(error.message().contains("source/nothing.launch"), "{error}");
        crate::media::init().unwrap();
        let error = pipeline("videotestsrc ! nosuchelement ! fakesink").unwrap_err();
        assert!(error.message().contains("nosuchelement"), "{error}");
    }
}
