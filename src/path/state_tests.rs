//! Scenarios of a path's life, and what must hold in every one of them.

use proptest::prelude::*;

use super::*;

fn error() -> Error {
    Error::dependency("device", "it failed")
}

fn starts(actions: &[Action]) -> Option<RunId> {
    actions.iter().find_map(|action| match action {
        Action::Start(run) => Some(*run),
        _ => None,
    })
}

fn stops(actions: &[Action]) -> Option<RunId> {
    actions.iter().find_map(|action| match action {
        Action::Stop(run) => Some(*run),
        _ => None,
    })
}

fn streaming(always_on: bool) -> (State, RunId) {
    let mut state = State::new(always_on);
    state.step(Event::Demand(true));
    let run = starts(&state.step(Event::SourceAppeared(SourceId(1)))).unwrap();
    state.step(Event::FirstFrame(run));
    assert_eq!(state.phase(), Phase::Streaming(run));
    (state, run)
}

#[test]
fn unplugged_and_plugged_in_again_it_streams_again_without_backoff() {
    let (mut state, run) = streaming(true);
    assert!(state.open());
    assert_eq!(stops(&state.step(Event::SourceVanished)), Some(run));
    assert!(!state.open(), "the name answers 404 at once");
    assert!(state.step(Event::SourceAppeared(SourceId(2))).is_empty(), "the old pipeline still holds the device");
    let second = starts(&state.step(Event::Stopped(run))).unwrap();
    assert!(second > run);
    assert!(state.open(), "who comes now waits for the first frame");
    state.step(Event::Failed(second, error()));
    state.step(Event::Stopped(second));
    let third = starts(&state.step(Event::Due(Timer::Retry(second, 1)))).unwrap();
    assert!(!state.open(), "a camera that failed has to show that it works again");
    state.step(Event::FirstFrame(third));
    assert!(state.open());
}

#[test]
fn failures_back_off_until_the_stream_is_stable() {
    let (mut state, run) = streaming(true);
    assert_eq!(stops(&state.step(Event::Failed(run, error()))), Some(run));
    state.step(Event::Stopped(run));
    assert_eq!(state.phase(), Phase::Waiting { attempt: 1 });
    let run = starts(&state.step(Event::Due(Timer::Retry(run, 1)))).unwrap();
    state.step(Event::FirstFrame(run));
    state.step(Event::Failed(run, error()));
    state.step(Event::Stopped(run));
    assert_eq!(state.phase(), Phase::Waiting { attempt: 2 }, "one frame is not recovery");
    let run = starts(&state.step(Event::Due(Timer::Retry(run, 2)))).unwrap();
    state.step(Event::FirstFrame(run));
    state.step(Event::Due(Timer::Stable(run)));
    state.step(Event::Failed(run, error()));
    state.step(Event::Stopped(run));
    assert_eq!(state.phase(), Phase::Waiting { attempt: 1 });
}

#[test]
fn a_camera_that_delivers_nothing_is_a_failure() {
    let mut state = State::new(true);
    let run = starts(&state.step(Event::SourceAppeared(SourceId(1)))).unwrap();
    let actions = state.step(Event::Due(Timer::StartOverdue(run)));
    assert!(matches!(actions[0], Action::Trouble(_)));
    assert_eq!(stops(&actions), Some(run));
}

#[test]
fn a_wedged_driver_is_left_alone_until_it_lets_go_or_another_device_comes() {
    let (mut state, run) = streaming(true);
    state.step(Event::Failed(run, error()));
    let actions = state.step(Event::Due(Timer::StopOverdue(run)));
    assert!(matches!(actions[..], [Action::Trouble(_)]));
    assert_eq!(state.phase(), Phase::Wedged(run));
    let mut replugged = state.clone();
    assert!(starts(&replugged.step(Event::SourceAppeared(SourceId(2)))).is_some());
    state.step(Event::Stopped(run));
    assert_eq!(state.phase(), Phase::Waiting { attempt: 1 });
}

#[test]
fn on_demand_starts_with_the_first_reader_and_stops_some_time_after_the_last() {
    let mut state = State::new(false);
    assert!(state.step(Event::SourceAppeared(SourceId(1))).is_empty());
    assert!(state.open(), "readers may come, and it will start for them");
    let run = starts(&state.step(Event::Demand(true))).unwrap();
    state.step(Event::FirstFrame(run));
    let Some(Action::Arm(first)) = state.step(Event::Demand(false)).pop() else { panic!("no timer") };
    state.step(Event::Demand(true));
    assert!(state.step(Event::Due(first)).is_empty(), "somebody came back in time");
    let Some(Action::Arm(second)) = state.step(Event::Demand(false)).pop() else { panic!("no timer") };
    assert!(state.step(Event::Due(first)).is_empty(), "the time starts anew with every last reader");
    assert_eq!(stops(&state.step(Event::Due(second))), Some(run));
    state.step(Event::Stopped(run));
    assert_eq!(state.phase(), Phase::Idle);
}

#[test]
fn what_is_released_stops_at_once_unless_somebody_wants_it() {
    let mut state = State::new(false);
    state.step(Event::SourceAppeared(SourceId(1)));
    let run = starts(&state.step(Event::Demand(true))).unwrap();
    state.step(Event::FirstFrame(run));
    assert!(state.step(Event::Released).is_empty());
    state.step(Event::Demand(false));
    assert_eq!(stops(&state.step(Event::Released)), Some(run));
    let (mut always_on, _) = streaming(true);
    assert!(always_on.step(Event::Released).is_empty());
}

#[test]
fn what_runs_always_can_be_run_on_demand_and_back_while_it_streams() {
    let mut state = State::new(true);
    let run = starts(&state.step(Event::SourceAppeared(SourceId(1)))).unwrap();
    state.step(Event::FirstFrame(run));
    let [Action::Arm(Timer::Unwanted(number))] = state.step(Event::AlwaysOn(false))[..] else { panic!("not awaited") };
    assert!(state.step(Event::AlwaysOn(true)).is_empty());
    assert!(state.step(Event::Due(Timer::Unwanted(number))).is_empty(), "it is wanted again");
    state.step(Event::AlwaysOn(false));
    assert_eq!(stops(&state.step(Event::Due(Timer::Unwanted(number + 2)))), Some(run));
    state.step(Event::Stopped(run));
    assert!(state.phase() == Phase::Idle && state.open(), "it starts when somebody comes");
    assert!(starts(&state.step(Event::AlwaysOn(true))).is_some());
}

#[test]
fn closing_ends_in_closed_whatever_the_driver_does() {
    let (mut state, run) = streaming(true);
    assert_eq!(stops(&state.step(Event::Close)), Some(run));
    state.step(Event::Due(Timer::StopOverdue(run)));
    assert_eq!(state.phase(), Phase::Closed);
}

/// A random event, with runs and timers that are right, old or made up.
fn any_event() -> impl Strategy<Value = (u8, u64, bool)> {
    (0u8..14, 0u64..6, any::<bool>())
}

proptest! {
    /// For any order of events: at most one pipeline holds a source, each start is stopped before the next one on the
    /// same source, nothing runs without a source, and once everything answers the path gets to where it should be.
    #[test]
    fn whatever_happens_one_source_has_one_pipeline(
        mut always_on in any::<bool>(),
        events in prop::collection::vec(any_event(), 1..200),
    ) {
        let mut state = State::new(always_on);
        let (mut held, mut sources, mut demand, mut closed): (Vec<(RunId, u64)>, u64, bool, bool) = (vec![], 0, false, false);
        let mut present = None;
        let mut stopping = Vec::new();
        for (kind, back, flag) in events {
            let run = RunId(state.run().0.saturating_sub(back));
            let event = match kind {
                0 => { sources += 1; present = Some(sources); Event::SourceAppeared(SourceId(sources)) }
                1 => { present = None; Event::SourceVanished }
                2 => { demand = flag; Event::Demand(flag) }
                3 | 4 => Event::FirstFrame(run),
                12 => Event::Released,
                13 => { always_on = flag; Event::AlwaysOn(flag) }
                5 => Event::Failed(run, error()),
                6 | 7 => match stopping.iter().position(|&stopped| stopped == run) {
                    Some(index) => {
                        stopping.remove(index);
                        held.retain(|&(holder, _)| holder != run);
                        Event::Stopped(run)
                    }
                    None => continue,
                },
                8 => Event::Due(Timer::StartOverdue(run)),
                9 => Event::Due(Timer::StopOverdue(run)),
                10 => Event::Due(Timer::Retry(run, u32::try_from(back).unwrap())),
                _ => Event::Due(Timer::Unwanted(back)),
            };
            for action in state.step(event) {
                match action {
                    Action::Start(run) => {
                        let source = present.expect("nothing starts without a source");
                        prop_assert!(!closed);
                        prop_assert!(held.iter().all(|&(_, other)| other != source), "two pipelines on one source");
                        held.push((run, source));
                    }
                    Action::Stop(run) => {
                        prop_assert!(held.iter().any(|&(holder, _)| holder == run), "stopped what does not run");
                        prop_assert!(!stopping.contains(&run), "stopped twice");
                        stopping.push(run);
                    }
                    _ => {}
                }
            }
            if let Phase::Streaming(run) | Phase::Starting(run) = state.phase() {
                prop_assert!(held.contains(&(run, present.expect("no source"))));
            }
        }
        // Let every pipeline that was stopped let go, and every retry come due.
        for run in std::mem::take(&mut stopping) {
            held.retain(|&(holder, _)| holder != run);
            for action in state.step(Event::Stopped(run)) {
                if let Action::Start(run) = action { held.push((run, present.unwrap())); }
            }
        }
        if let Phase::Waiting { attempt } = state.phase() {
            state.step(Event::Due(Timer::Retry(state.run(), attempt)));
        }
        let running = matches!(state.phase(), Phase::Starting(_) | Phase::Streaming(_));
        match (present, always_on || demand) {
            (None, _) => prop_assert_eq!(state.phase(), Phase::Away),
            (Some(_), true) => prop_assert!(running, "wanted, and {:?}", state.phase()),
            (Some(_), false) => prop_assert!(running || state.phase() == Phase::Idle),
        }
        closed |= state.step(Event::Close).is_empty();
        prop_assert!(closed || matches!(state.phase(), Phase::Stopping(_)));
    }
}
