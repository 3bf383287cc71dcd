//! The ports of the media engine that speak HTTP.

/// One thing for each of them; `None` where it is not served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports<T> {
    /// The control API.
    pub api: Option<T>,
    /// Metrics.
    pub metrics: Option<T>,
    /// Playback.
    pub playback: Option<T>,
}

impl<T> Ports<T> {
    /// Something else for each. Error: the first there is.
    pub fn map<U, E>(self, mut change: impl FnMut(T) -> Result<U, E>) -> Result<Ports<U>, E> {
        Ok(Ports {
            api: self.api.map(&mut change).transpose()?,
            metrics: self.metrics.map(&mut change).transpose()?,
            playback: self.playback.map(change).transpose()?,
        })
    }

    /// Each with the word that the configuration has for it.
    pub fn named(self) -> [(&'static str, Option<T>); 3] {
        [("api", self.api), ("metrics", self.metrics), ("playback", self.playback)]
    }
}
