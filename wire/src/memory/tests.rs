use proptest::prelude::*;

use super::*;

const MIB: usize = 1 << 20;

#[test]
fn room_is_granted_between_least_and_most() {
    let budget = Budget::new(100);
    let first = budget.reserve(10, 60).expect("nothing is used");
    let second = budget.reserve(10, 60).expect("40 are free");
    assert_eq!((first.bytes(), second.bytes(), budget.used()), (60, 40, 100));
    assert!(budget.reserve(1, 1).is_none());
    drop(first);
    assert_eq!(budget.used(), 40);
    assert!(budget.reserve(61, 100).is_none());
    assert_eq!(budget.reserve(60, 60).map(|r| r.bytes()), Some(60));
}

#[test]
fn what_is_larger_than_the_budget_passes_alone() {
    let budget = Budget::new(100);
    let small = budget.take(1);
    assert!(budget.reserve(500, 600).is_none());
    drop(small);
    let large = budget.reserve(500, 600).expect("nothing is used");
    assert_eq!((large.bytes(), budget.used()), (500, 500));
    assert!(budget.reserve(0, 10).is_some_and(|r| r.bytes() == 0), "nothing is left, and nothing is asked for");
    assert!(budget.reserve(1, 10).is_none());
}

#[test]
fn a_reservation_follows_the_answer_s_length() {
    let budget = Budget::new(100);
    let mut room = budget.reserve(10, 50).expect("free");
    room.resize(150);
    assert_eq!((room.bytes(), budget.used()), (150, 150));
    room.resize(20);
    assert_eq!((room.bytes(), budget.used()), (20, 20));
    drop(room);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn who_waits_hears_of_what_was_given_back_before_it_was_polled() {
    let budget = Budget::new(10);
    let held = budget.take(10);
    let (first, second) = (budget.freed(), budget.clone().freed());
    assert!(budget.reserve(1, 1).is_none());
    drop(held);
    first.await;
    second.await;
    // A new wait begins with the call.
    let mut third = std::pin::pin!(budget.freed());
    assert!(futures_util::poll!(&mut third).is_pending());
    budget.take(1).resize(0);
    third.await;
}

#[test]
fn an_answer_counts_until_its_last_slice_is_gone() {
    let budget = Budget::new(4 * MIB);
    let mut buffer = Buffer::new(budget.reserve(MIB, MIB).expect("free"), 100_000);
    buffer.bytes.extend_from_slice(&[7; 100_000]);
    let answer = buffer.freeze();
    let slice = answer.slice(50_000..50_010);
    drop(answer);
    assert_eq!((budget.used(), slice.as_ref()), (100_000, [7; 10].as_slice()));
    let copy = budget.copy(&slice);
    drop(slice);
    assert_eq!((budget.used(), copy.as_ref()), (10, [7; 10].as_slice()));
    drop(copy);
    assert_eq!(budget.used(), 0);
    assert!(budget.copy(&[]).is_empty());
}

/// Address of the buffer for an answer of this length, the answer being dropped at once.
fn lent(budget: &Budget, length: usize) -> usize {
    let buffer = Buffer::new(budget.take(length), length);
    assert!(buffer.bytes.is_empty() && buffer.bytes.capacity() >= length);
    buffer.bytes.as_ptr() as usize
}

#[test]
fn buffers_are_used_again_while_they_are_in_use() {
    let budget = Budget::new(64 * MIB);
    let first = lent(&budget, MIB);
    assert_eq!(lent(&budget, MIB - 1000), first);
    assert_eq!(budget.used(), 0);
    budget.trim();
    // Used since: it stays. Then it does not.
    assert_eq!(lent(&budget, MIB), first);
    budget.trim();
    assert_eq!(budget.shared.state().pool.bytes, MIB);
    budget.trim();
    let state = budget.shared.state();
    assert_eq!((state.pool.bytes, state.pool.idle.len()), (0, 0));
}

#[test]
fn a_small_answer_takes_no_large_buffer() {
    let budget = Budget::new(64 * MIB);
    let large = lent(&budget, 8 * MIB);
    assert_ne!(lent(&budget, MIB), large);
    lent(&budget, 100);
    assert_eq!(budget.shared.state().pool.bytes, 9 * MIB);
}

#[test]
fn the_pool_holds_a_quarter_of_the_budget() {
    let budget = Budget::new(8 * MIB);
    let held: Vec<_> = (0..5).map(|_| Buffer::new(budget.take(MIB), MIB)).collect();
    drop(held);
    assert_eq!((budget.used(), budget.shared.state().pool.bytes), (0, 2 * MIB));
}

#[test]
fn sizes_that_no_longer_come_leave_the_pool_to_those_that_do() {
    let budget = Budget::new(8 * MIB);
    drop((0..4).map(|_| Buffer::new(budget.take(MIB / 2), MIB / 2)).collect::<Vec<_>>());
    let first = lent(&budget, MIB);
    assert_eq!(lent(&budget, MIB), first);
    assert_eq!(budget.shared.state().pool.bytes, 2 * MIB);
    // One that alone is more than the pool may hold puts none out.
    lent(&budget, 3 * MIB);
    assert_eq!(lent(&budget, MIB), first);
}

proptest! {
    #[test]
    fn classes_hold_their_length_and_waste_a_fifth_at_most(length in 1_usize..1 << 31) {
        let class = class(length);
        prop_assert!(class >= length);
        prop_assert!(length < POOLED_FROM || (class - length) * 5 <= class, "{} for {}", class, length);
    }

    #[test]
    fn used_is_the_sum_of_what_is_reserved(limit in 0_usize..1000, steps in prop::collection::vec((0_u8..4, 0_usize..500), 0..60)) {
        let budget = Budget::new(limit);
        let mut held: Vec<Reservation> = Vec::new();
        for (step, bytes) in steps {
            match step {
                0 => {
                    let before = budget.used();
                    if let Some(room) = budget.reserve(bytes / 2, bytes) {
                        let most = if before == 0 { limit.max(bytes / 2) } else { limit.max(before) };
                        prop_assert!(before + room.bytes() <= most);
                        prop_assert!(room.bytes() >= bytes / 2 && room.bytes() <= bytes);
                        held.push(room);
                    } else {
                        prop_assert!(before > 0 && before + bytes / 2 > limit);
                    }
                }
                1 => held.push(budget.take(bytes)),
                2 => if let Some(room) = held.last_mut() { room.resize(bytes) },
                _ => drop(held.pop()),
            }
            prop_assert_eq!(budget.used(), held.iter().map(Reservation::bytes).sum::<usize>());
        }
    }
}
