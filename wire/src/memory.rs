//! The bytes that Fetch answers hold: one budget for all flows of a worker, and the buffers it lends.
//!
//! Room is reserved before a Fetch goes out. Once the answer's length is known the reservation shrinks (or grows) to it, and stays until
//! the last slice of the answer is dropped; then its buffer goes back to the pool.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

/// Answers below this length are plain allocations: what malloc does well needs no pool.
const POOLED_FROM: usize = 16 * 1024;
/// Idle buffers hold at most this fraction of the budget.
const POOL_FRACTION: usize = 4;

/// Bytes that Fetch answers may hold at a time, shared by all flows of a worker. A clone is the same budget.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    state: Mutex<State>,
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    pool: Pool,
}

/// Part of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let shared = Shared { limit, state: Mutex::default(), freed: Arc::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Bytes that may be used.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// Bytes reserved, and held by answers that are still referenced. Idle buffers (at most a quarter of the limit) are not counted.
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared.state().used
    }

    /// As many bytes as are free, at least `least` and at most `most`; none if fewer than `least` are free. While nothing at all is used,
    /// `least` is granted even beyond the limit: a batch larger than the budget passes alone.
    #[must_use]
    pub fn reserve(&self, least: usize, most: usize) -> Option<Reservation> {
        let mut state = self.shared.state();
        let bytes = grant(self.shared.limit, state.used, least, most)?;
        state.used += bytes;
        drop(state);
        Some(Reservation { shared: Arc::clone(&self.shared), bytes })
    }

    /// Takes `bytes` whether they are free or not: for what is held already, such as a copy made to give back more.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Reservation {
        self.shared.take(bytes)
    }

    /// Resolves once something is given back after this call. Made before a [`Budget::reserve`] that fails, it misses nothing.
    pub fn freed(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.shared.freed).notified_owned()
    }

    /// Frees idle buffers that were not used since the last call.
    pub fn trim(&self) {
        let idle = self.shared.state().pool.trim();
        // Outside the lock: unmapping takes its time.
        drop(idle);
    }

    /// The same bytes, counted until they are dropped, whether there is room or not.
    #[must_use]
    pub fn count(&self, bytes: Bytes) -> Bytes {
        let room = self.take(bytes.len());
        Bytes::from_owner(Counted { bytes, _room: room })
    }

    /// A counted copy of bytes: keeps one batch of a large answer so that the rest can go.
    #[must_use]
    pub fn copy(&self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        let mut buffer = Buffer::new(self.take(bytes.len()), bytes.len());
        buffer.bytes.extend_from_slice(bytes);
        buffer.freeze()
    }
}

/// Bytes that count without having been lent.
struct Counted {
    bytes: Bytes,
    _room: Reservation,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Reservation {
    /// Bytes reserved.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// To more: whether free or not. To less: gives the rest back.
    pub fn resize(&mut self, bytes: usize) {
        let mut state = self.shared.state();
        state.used = (state.used + bytes).saturating_sub(self.bytes);
        drop(state);
        if bytes < mem::replace(&mut self.bytes, bytes) {
            self.shared.freed.notify_waiters();
        }
    }

    /// The budget it is part of.
    pub(crate) fn budget(&self) -> Budget {
        Budget { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.resize(0);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Reservation {
        self.state().used += bytes;
        Reservation { shared: Arc::clone(self), bytes }
    }
}

/// What [`Budget::reserve`] gives.
fn grant(limit: usize, used: usize, least: usize, most: usize) -> Option<usize> {
    let free = limit.saturating_sub(used);
    if free >= least { Some(free.min(most.max(least))) } else { (used == 0).then_some(least) }
}

/// A lent buffer that is being filled, with the bytes it counts for.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    room: Reservation,
}

impl Buffer {
    /// A buffer for exactly `length` bytes; the reservation becomes as large.
    pub(crate) fn new(mut room: Reservation, length: usize) -> Self {
        room.resize(length);
        let pooled = if length < POOLED_FROM { None } else { room.shared.state().pool.lend(length) };
        let bytes = pooled.unwrap_or_else(|| Vec::with_capacity(class(length)));
        Self { bytes, room }
    }

    /// The bytes, as they will be read: buffer and room go back when the last slice is dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        if bytes.capacity() >= POOLED_FROM {
            let limit = self.room.shared.limit / POOL_FRACTION;
            let evicted = self.room.shared.state().pool.keep(bytes, limit);
            drop(evicted);
        }
    }
}

/// Capacity for a length: four classes to a doubling, so that at most a fifth is idle.
fn class(length: usize) -> usize {
    if length < POOLED_FROM {
        return length;
    }
    let step = (length.next_power_of_two() / 8).max(1);
    length.div_ceil(step) * step
}

/// Idle buffers by capacity, the one used last at the back.
#[derive(Debug, Default)]
struct Pool {
    idle: BTreeMap<usize, VecDeque<Idle>>,
    bytes: usize,
    /// Counts [`Pool::keep`].
    kept: u64,
    /// What it counted to at the last [`Pool::trim`].
    trimmed: u64,
}

#[derive(Debug)]
struct Idle {
    buffer: Vec<u8>,
    since: u64,
}

impl Pool {
    /// An idle buffer that holds `length` bytes and at most half as much again: what it is larger is in memory, but not counted.
    fn lend(&mut self, length: usize) -> Option<Vec<u8>> {
        let (&capacity, stack) = self.idle.range_mut(length..=length.saturating_add(length / 2)).next()?;
        let mut buffer = stack.pop_back()?.buffer;
        if stack.is_empty() {
            self.idle.remove(&capacity);
        }
        self.bytes -= capacity;
        buffer.clear();
        Some(buffer)
    }

    /// Keeps a buffer, and returns those that have been idle longest where more than `limit` bytes are: sizes that are no longer asked
    /// for would otherwise take the room of those that are.
    fn keep(&mut self, buffer: Vec<u8>, limit: usize) -> Vec<Idle> {
        let capacity = buffer.capacity();
        self.kept += 1;
        let idle = Idle { buffer, since: self.kept };
        if capacity > limit {
            return vec![idle];
        }
        let mut evicted = Vec::new();
        while self.bytes + capacity > limit
            && let Some(longest) = self.evict()
        {
            evicted.push(longest);
        }
        self.bytes += capacity;
        self.idle.entry(capacity).or_default().push_back(idle);
        evicted
    }

    /// Since when the buffer is idle that is so longest, and its capacity.
    fn longest(&self) -> Option<(u64, usize)> {
        self.idle.iter().filter_map(|(capacity, stack)| Some((stack.front()?.since, *capacity))).min()
    }

    /// The buffer that has been idle longest.
    fn evict(&mut self) -> Option<Idle> {
        let (_, capacity) = self.longest()?;
        let stack = self.idle.get_mut(&capacity)?;
        let idle = stack.pop_front();
        if stack.is_empty() {
            self.idle.remove(&capacity);
        }
        self.bytes -= capacity;
        idle
    }

    /// What was not used since the last call.
    fn trim(&mut self) -> Vec<Idle> {
        let before = mem::replace(&mut self.trimmed, self.kept);
        let mut gone = Vec::new();
        while self.longest().is_some_and(|(since, _)| since <= before)
            && let Some(idle) = self.evict()
        {
            gone.push(idle);
        }
        gone
    }
}

#[cfg(test)]
mod tests;
