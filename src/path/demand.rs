//! "Somebody wants this stream", as a value: it counts while it lives.

use tokio::sync::watch;

/// How many want the stream of one path. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Demands(watch::Sender<usize>);

/// One of those who want it. Readers, recordings and snapshots hold one each; dropping it ends the wish.
#[derive(Debug)]
pub struct Demand(watch::Sender<usize>);

impl Demands {
    /// Nobody wants it yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// One more.
    pub fn hold(&self) -> Demand {
        self.0.send_modify(|count| *count += 1);
        Demand(self.0.clone())
    }

    /// The number, and every change of it.
    pub fn watch(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }
}

impl Default for Demands {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_lasts_as_long_as_its_holders() {
        let demands = Demands::new();
        let (first, second) = (demands.hold(), demands.hold());
        drop(first);
        assert_eq!(*demands.watch().borrow(), 1);
        drop(second);
        assert_eq!(*demands.watch().borrow(), 0);
    }
}
