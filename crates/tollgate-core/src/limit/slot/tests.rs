use proptest::prelude::*;

use super::super::bucket::Bucket;
use super::super::cell::Usage;
use super::super::holds::{Holds, Owner};
use super::super::spare::Spare;
use super::super::window::Window;
use super::*;

/// A bucket that is full again after 1,000 ns.
fn busy(id: u32) -> Cell {
    used(id, 1)
}

fn used(id: u32, share: u8) -> Cell {
    let bucket = Bucket { tat_ns: 1_000, tat_ticks: 0 };
    Cell { id, share: Share(share), grace_until_s: 0, state: State::Bucket(bucket, Spare::default()) }
}

fn in_flight(id: u32) -> Cell {
    let mut holds = Holds::default();
    assert!(holds.add(Owner(1), 1));
    Cell { id, share: Share(255), grace_until_s: 0, state: State::InFlight(holds) }
}

fn put(slot: &[u8], key: u64, cells: &[Cell], mono_ns: u64) -> (Vec<u8>, Evicted) {
    let mut out = Vec::new();
    let evicted = write(slot, key, cells, (mono_ns, 0), &mut out);
    (out, evicted)
}

fn get(slot: &[u8], key: u64) -> Vec<Cell> {
    let mut cells = Vec::new();
    read(slot, key, &mut cells);
    cells
}

#[test]
fn accounts_do_not_disturb_each_other() {
    let (slot, _) = put(&[], 1, &[busy(10), busy(11)], 0);
    let (slot, _) = put(&slot, 2, &[busy(20)], 0);
    let (slot, _) = put(&slot, 1, &[busy(12)], 0);
    assert_eq!((get(&slot, 1), get(&slot, 2), get(&slot, 3)), (vec![busy(12)], vec![busy(20)], vec![]));
}

#[test]
fn an_account_at_rest_takes_no_room() {
    let (slot, _) = put(&[], 1, &[busy(10)], 0);
    let (slot, _) = put(&slot, 1, &[busy(10)], 2_000);
    assert_eq!(slot.len(), LAYOUT_BYTES);
}

#[test]
fn others_at_rest_go_as_a_slot_is_written() {
    let mut slot = Vec::new();
    for key in 0..20 {
        (slot, _) = put(&slot, key, &[busy(1)], 0);
    }
    for turn in 0..400 {
        (slot, _) = put(&slot, 20, &[busy(1)], 2_000 + turn * 7);
    }
    assert_eq!(slot.len(), LAYOUT_BYTES);
}

#[test]
fn a_full_slot_forgets_the_resting_then_the_least_used_and_counts_them() {
    let mut slot = Vec::new();
    let mut gone = 0;
    for key in 0..500u64 {
        let share = if key < 20 { 200 } else { 1 };
        let evicted;
        (slot, evicted) = put(&slot, key, &[used(1, share), used(2, share)], 0);
        gone += evicted.accounts;
        assert!(slot.len() <= SLOT_BYTES_MAX);
    }
    assert!(gone > 300);
    assert!((0..20).all(|key| !get(&slot, key).is_empty()), "the well used stay");
    let (slot, evicted) = put(&slot, 1000, &[busy(1)], 2_000);
    assert_eq!(evicted.accounts, 0, "at rest, nothing is lost");
    assert!(slot.len() <= SLOT_BYTES_MAX);
}

proptest! {
    /// Whatever else is written to a slot, and however often: who is near a limit stays, as long as those that flood
    /// the slot have not used theirs as far, in flight or not.
    #[test]
    fn a_flood_of_new_keys_never_evicts_a_consumer_near_its_limit(
        near in prop::collection::vec(204u8..=255, 1..8),
        flood in prop::collection::vec((0u8..204, any::<bool>(), 1usize..8), 100..400),
        when in any::<u16>(),
    ) {
        let mut slot = Vec::new();
        for (key, share) in near.iter().enumerate() {
            (slot, _) = put(&slot, key as u64, &[used(1, *share), used(2, 3)], u64::from(when) % 999);
        }
        for (at, (share, streams, cells)) in flood.iter().enumerate() {
            let mut all: Vec<Cell> = (0..*cells as u32).map(|id| used(id, *share)).collect();
            if *streams {
                all.push(in_flight(99));
            }
            (slot, _) = put(&slot, 1000 + at as u64, &all, u64::from(when) % 999);
            prop_assert!(slot.len() <= SLOT_BYTES_MAX);
        }
        for key in 0..near.len() {
            prop_assert_eq!(get(&slot, key as u64).len(), 2, "{}", key);
        }
    }
}

#[test]
fn of_two_that_are_equally_near_the_older_stays() {
    let mut slot = Vec::new();
    (slot, _) = put(&slot, 7, &[used(1, 255)], 0);
    for key in 100..400 {
        (slot, _) = put(&slot, key, &[used(1, 255)], 0);
    }
    assert_eq!(get(&slot, 7).len(), 1);
}

#[test]
fn an_account_is_bounded() {
    let many: Vec<Cell> = (0..400).map(busy).collect();
    let (slot, evicted) = put(&[], 1, &many, 0);
    assert!(slot.len() <= ACCOUNT_BYTES_MAX + ACCOUNT_HEADER_BYTES + LAYOUT_BYTES);
    assert_eq!(get(&slot, 1).last(), Some(&busy(399)), "the last used stay");
    assert_eq!(get(&slot, 1).len() + evicted.cells as usize, 400);
}

#[test]
fn damaged_and_foreign_bytes_read_as_empty_or_less_and_never_panic() {
    let (slot, _) = put(&[], 1, &[busy(1), in_flight(2)], 0);
    for length in 0..slot.len() {
        let _ = get(&slot[..length], 1);
    }
    for position in 0..slot.len() {
        let mut damaged = slot.clone();
        damaged[position] ^= 0xff;
        let _ = get(&damaged, 1);
        let (again, _) = put(&damaged, 2, &[busy(5)], 0);
        assert_eq!(get(&again, 2), vec![busy(5)]);
    }
}

#[test]
fn a_slot_of_another_layout_is_empty_and_is_written_over() {
    let (mut slot, _) = put(&[], 1, &[busy(1)], 0);
    slot[0] ^= 0x10;
    assert!(get(&slot, 1).is_empty());
    let (slot, _) = put(&slot, 2, &[busy(2)], 0);
    assert_eq!((get(&slot, 1).len(), get(&slot, 2).len()), (0, 1));
}

#[test]
fn five_limits_of_one_key_take_at_most_100_bytes() {
    let tat = Bucket { tat_ns: 90 * 86_400 * 1_000_000_000, tat_ticks: 12_000 };
    let rate = |id| Cell { state: State::Bucket(tat, Spare::default()), ..busy(id) };
    let quota = |id, used, length: u32| Cell {
        state: State::Quota(Usage {
            used,
            window: Window { start_s: 1_795_305_600, end_s: 1_795_305_600 + length },
            ..Usage::default()
        }),
        ..busy(id)
    };
    let cells = [
        rate(1),
        rate(2),
        quota(3, 50, 86_400),
        quota(4, 250_000_000, 86_400),
        quota(5, 5_000_000_000, 2_678_400),
    ];
    let (slot, _) = put(&[], 1, &cells, 0);
    assert!(slot.len() - LAYOUT_BYTES <= 100, "{}", slot.len());
}
