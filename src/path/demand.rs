//! "Somebody wants this stream", as a value: it counts while it lives.

use tokio::sync::watch;

/// How many want the stream of one path. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Demands(watch::Sender<Wish>);

/// What is wanted of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Those who want it now.
    pub holders: usize,
    /// Whether somebody has held it since it last stopped, and may come back for it. Not set by those who took a look.
    pub lingers: bool,
}

/// One of those who want it. Readers, recordings and snapshots have one each; dropping it ends the wish.
#[derive(Debug)]
pub struct Demand(watch::Sender<Wish>);

impl Demands {
    /// Nobody wants it yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more, who may come back soon after leaving.
    pub fn hold(&self) -> Demand {
        self.one_more(true)
    }

    /// One more, who is done when leaving: for this one alone the stream need not run on.
    pub fn look(&self) -> Demand {
        self.one_more(false)
    }

    /// The wish now.
    pub fn wish(&self) -> Wish {
        *self.0.borrow()
    }

    /// The wish, and every change of it.
    pub fn watch(&self) -> watch::Receiver<Wish> {
        self.0.subscribe()
    }

    /// The stream has stopped: whoever wanted it before is forgotten.
    pub(super) fn stopped(&self) {
        self.0.send_if_modified(|wish| wish.holders == 0 && std::mem::take(&mut wish.lingers));
    }

    fn one_more(&self, lingers: bool) -> Demand {
        self.0.send_modify(|wish| {
            wish.holders += 1;
            wish.lingers |= lingers;
        });
        Demand(self.0.clone())
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.0.send_modify(|wish| wish.holders -= 1);
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
        assert_eq!(demands.wish().holders, 1);
        drop(second);
        assert_eq!(demands.wish().holders, 0);
    }

    #[test]
    fn a_look_leaves_nothing_and_a_reader_leaves_word_until_the_stream_stops() {
        let demands = Demands::new();
        drop(demands.look());
        assert_eq!(demands.wish(), Wish::default());
        let (look, reader) = (demands.look(), demands.hold());
        drop(reader);
        demands.stopped();
        drop(look);
        assert_eq!(demands.wish(), Wish { holders: 0, lingers: true }, "somebody held it when it stopped");
        demands.stopped();
        assert_eq!(demands.wish(), Wish::default());
    }
}
