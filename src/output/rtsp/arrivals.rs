//! Packets that did not arrive, as the numbers of the others tell (RFC 3550, A.1 and A.3).
//!
//! GStreamer counts them too (`packets-lost` of an RTP session), and is one off where a sender's first report comes before
//! its first packet, or does not.

/// Numbers that may be left out without the sender having begun anew (`MAX_DROPOUT`).
const DROPOUT: u16 = 3000;
/// How far behind the newest a packet may come (`MAX_MISORDER`).
const MISORDER: u16 = 100;

/// The numbers of what has come from one end.
#[derive(Default)]
pub(super) struct Arrivals {
    run: Option<Run>,
    /// What was lost of runs that are over.
    lost_before: u64,
}

/// From where a sender began to number its packets.
struct Run {
    sender: u32,
    first: u64,
    /// The 16 bits of the newest number, and how often they have begun anew above them.
    newest: u64,
    came: u64,
}

impl Arrivals {
    /// A packet of this sender (SSRC) and number came.
    pub(super) fn take(&mut self, sender: u32, number: u16) {
        if let Some(run) = self.run.as_mut().filter(|run| run.sender == sender) {
            let ahead = number.wrapping_sub(run.newest as u16);
            if ahead < DROPOUT {
                run.newest += u64::from(ahead);
                run.came += 1;
                return;
            }
            if ahead > u16::MAX - MISORDER {
                run.came += 1;
                return;
            }
        }
        self.lost_before = self.lost();
        self.run = Some(Run { sender, first: number.into(), newest: number.into(), came: 1 });
    }

    /// How many did not arrive. What came twice makes up for one that did not.
    pub(super) fn lost(&self) -> u64 {
        let missing = |run: &Run| (run.newest - run.first + 1).saturating_sub(run.came);
        self.lost_before + self.run.as_ref().map_or(0, missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(numbers: impl IntoIterator<Item = u16>) -> u64 {
        let mut arrivals = Arrivals::default();
        numbers.into_iter().for_each(|number| arrivals.take(7, number));
        arrivals.lost()
    }

    #[test]
    fn what_is_missing_between_the_first_and_the_newest_is_lost() {
        assert_eq!(lost([]), 0);
        assert_eq!(lost([65_535]), 0);
        assert_eq!(lost(65_530..=u16::MAX), 0);
        assert_eq!(lost([65_534, 65_535, 0, 1, 3]), 1, "the numbers begin anew");
        assert_eq!(lost((0..1000).filter(|number| number % 10 != 9).chain([1000])), 100);
        assert_eq!(lost([5, 7, 6, 8]), 0, "late is not lost");
        assert_eq!(lost([5, 4, 6]), 0, "from before the first");
        assert_eq!(lost([5, 5, 6, 6, 8]), 0, "what comes twice hides one");
    }

    #[test]
    fn a_sender_that_begins_anew_has_lost_nothing_by_that() {
        assert_eq!(lost([1, 2, 4, 20_000, 20_001, 20_003]), 2);
        let mut arrivals = Arrivals::default();
        [(7, 1), (7, 3), (8, 50_000), (8, 50_001)]
            .into_iter()
            .for_each(|(sender, number)| arrivals.take(sender, number));
        assert_eq!(arrivals.lost(), 1);
    }
}
