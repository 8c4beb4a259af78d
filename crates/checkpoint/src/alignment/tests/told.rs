//! What exactly a task is told where barriers may overtake, to the last effect: each of these was
//! missed once by everything else.

use weir_model::Passage;

use super::*;

fn overtaking(id: u64) -> Barrier {
    Barrier {
        passage: Passage::Unaligned,
        ..barrier(id)
    }
}

const NOW: ProcessingTime = ProcessingTime(0);

#[test]
fn an_aligned_barrier_is_nothing_to_announce() {
    let mut alignment = Alignment::overtaking(&[false, false]);
    assert_eq!(alignment.announced(0, barrier(1), NOW), []);
    assert_eq!(alignment.current(), None);
}

#[test]
fn a_barrier_behind_the_end_of_its_channel_begins_nothing() {
    let mut alignment = Alignment::overtaking(&[false, false]);
    alignment.end(0);
    assert_eq!(alignment.barrier(0, overtaking(1)), []);
    assert_eq!(alignment.current(), None);
}

#[test]
fn the_only_channel_is_never_blocked_and_so_not_unblocked() {
    let mut alignment = Alignment::overtaking(&[false]);
    let aligned = barrier(1);
    assert_eq!(
        alignment.barrier(0, aligned),
        [AlignEffect::Trigger(aligned)]
    );
    let unaligned = overtaking(2);
    assert_eq!(
        alignment.barrier(0, unaligned),
        [AlignEffect::Trigger(unaligned)]
    );
}

#[test]
fn who_was_blocked_is_unblocked_with_the_trigger() {
    let mut alignment = Alignment::overtaking(&[false, false]);
    let aligned = barrier(1);
    assert_eq!(alignment.barrier(0, aligned), [AlignEffect::Block(0)]);
    assert_eq!(
        alignment.barrier(1, aligned),
        [AlignEffect::Trigger(aligned), AlignEffect::UnblockAll]
    );
}

#[test]
fn the_channel_that_lets_a_barrier_overtake_was_never_blocked() {
    // The broadcast channel delivers it first of all; the other one is recorded.
    let mut alignment = Alignment::overtaking(&[true, false]);
    let barrier = overtaking(1);
    assert_eq!(
        alignment.barrier(0, barrier),
        [AlignEffect::Overtake(barrier), AlignEffect::Record(1)]
    );
}

#[test]
fn a_barrier_that_was_to_overtake_goes_on_as_such_though_all_have_delivered_it() {
    let mut alignment = Alignment::overtaking(&[true, false]);
    let until = Barrier {
        passage: Passage::AlignedUntil(ProcessingTime(10)),
        ..barrier(1)
    };
    assert_eq!(alignment.barrier(1, until), [AlignEffect::Block(1)]);
    // Its time comes while the broadcast channel has not delivered it.
    assert_eq!(alignment.tick(ProcessingTime(10)), []);
    let told = [AlignEffect::Trigger(overtaking(1)), AlignEffect::UnblockAll];
    assert_eq!(alignment.barrier(0, until), told);
}

#[test]
fn a_marker_of_what_the_coordinator_gave_up_is_passed_on_and_not_declined() {
    let mut alignment = Alignment::overtaking(&[false, false]);
    let id = CheckpointId(5);
    assert_eq!(alignment.abort(id), []);
    assert_eq!(alignment.cancel(id), [AlignEffect::ForwardCancel(id)]);
    assert_eq!(alignment.cancel(id), []);
}

#[test]
fn what_was_given_up_is_forgotten_when_a_newer_one_comes() {
    let mut alignment = Alignment::overtaking(&[false]);
    for id in 1..=20 {
        alignment.abort(CheckpointId(id));
    }
    alignment.barrier(0, overtaking(21));
    match &alignment.0 {
        Mode::Overtaking(overtaking) => assert!(overtaking.aborted.is_empty()),
        Mode::ExactlyOnce(_) | Mode::AtLeastOnce(_) => unreachable!(),
    }
}
