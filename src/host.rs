//! Envoy's side of proxy-wasm (ABI 0.2.1), thin and fallible: the one file with `unsafe`.
//!
//! The SDK's own wrappers panic on statuses they do not expect, and copy what is read once more. A trap refuses the
//! requests of a whole worker, so here every call returns what Envoy said.
#![allow(unsafe_code)]

use core::cell::Cell;
use core::ptr::{null, null_mut};
use core::time::Duration;

use proxy_wasm::hostcalls;
use tollgate_core::store::{Expected, SharedStore, Slot, StoreError, Swap, Version};
use tollgate_core::time::Now;
use tollgate_wire::UnixNanos;

/// What Envoy answered instead of success: the ABI's status number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed(pub u32);

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;

/// A header map of the ABI.
#[derive(Clone, Copy)]
pub enum Map {
    /// Request headers.
    Request = 0,
    /// Response headers.
    Response = 2,
    /// Headers of the answer to a call of our own.
    CallAnswer = 6,
}

/// A buffer of the ABI.
#[derive(Clone, Copy)]
pub enum Buffer {
    /// Request body.
    Request = 0,
    /// Response body.
    Response = 1,
    /// Body of the answer to a call of our own.
    CallAnswer = 4,
    /// The plugin's configuration.
    Configuration = 7,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        most: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, most: usize, data: *const u8, size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, size: usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, size: usize, cas: u32)
    -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(id: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_register_shared_queue(name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_enqueue_shared_queue(id: u32, data: *const u8, size: usize) -> u32;
    fn proxy_dequeue_shared_queue(id: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u16;
    fn random_get(data: *mut u8, size: usize) -> u16;
}

fn check(status: u32) -> Result<(), Failed> {
    if status == OK { Ok(()) } else { Err(Failed(status)) }
}

/// Takes what Envoy wrote into memory that it had this module allocate.
///
/// # Safety
/// `data` is null or came from `proxy_on_memory_allocate` (a `Vec<u8>` of capacity `size`), is initialised, and
/// nobody else owns it.
unsafe fn own(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() { Vec::new() } else { unsafe { Vec::from_raw_parts(data, size, size) } }
}

/// Calls a function that returns bytes; None when there is nothing of the kind.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Option<Vec<u8>>, Failed> {
    let (mut data, mut size) = (null_mut(), 0);
    match call(&mut data, &mut size) {
        // SAFETY: on success the host has filled memory it had us allocate, and has handed it over.
        OK if !data.is_null() => Ok(Some(unsafe { own(data, size) })),
        OK | NOT_FOUND => Ok(None),
        status => Err(Failed(status)),
    }
}

thread_local! {
    /// How far the wall clock is ahead of the monotonic one, as [`read_wall_clock`] found it.
    static WALL_AHEAD_NS: Cell<u64> = const { Cell::new(0) };
}

/// Reads the wall clock, for [`now`]. Call it with every tick: a step of the clock is seen by then.
pub fn read_wall_clock() {
    let mut wall = 0;
    // SAFETY: writes one u64.
    unsafe {
        proxy_get_current_time_nanoseconds(&mut wall);
    }
    WALL_AHEAD_NS.set(wall.wrapping_sub(monotonic_ns()));
}

/// Both clocks, for the price of one call to the host. The monotonic one is the machine's, hence the same for all workers.
pub fn now() -> Now {
    let mono_ns = monotonic_ns();
    Now { mono_ns, wall: UnixNanos(mono_ns.wrapping_add(WALL_AHEAD_NS.get())) }
}

fn monotonic_ns() -> u64 {
    let mut mono_ns = 0;
    // SAFETY: writes one u64.
    unsafe {
        clock_time_get(1, 0, &mut mono_ns);
    }
    mono_ns
}

/// Fills with random bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut all = [0; N];
    // SAFETY: writes N bytes.
    unsafe { random_get(all.as_mut_ptr(), N) };
    all
}

/// A whole header map in its serialised form: see [`crate::headers`].
pub fn header_pairs(map: Map) -> Option<Vec<u8>> {
    // SAFETY: see `bytes`.
    bytes(|data, size| unsafe { proxy_get_header_map_pairs(map as u32, data, size) }).ok().flatten()
}

/// One header's value.
pub fn header(map: Map, name: &str) -> Option<Vec<u8>> {
    // SAFETY: see `bytes`.
    bytes(|data, size| unsafe {
        proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size)
    })
    .ok()
    .flatten()
}

/// Sets a header. Refused once the headers have been sent.
pub fn set_header(map: Map, name: &str, value: &str) -> Result<(), Failed> {
    // SAFETY: the host reads within the given lengths.
    check(unsafe {
        proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Adds a header that is not there: cheaper than to set it. Refused once the headers have been sent.
pub fn add_header(map: Map, name: &str, value: &str) -> Result<(), Failed> {
    // SAFETY: the host reads within the given lengths.
    check(unsafe {
        proxy_add_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Removes a header.
pub fn remove_header(map: Map, name: &str) -> Result<(), Failed> {
    // SAFETY: the host reads within the given length.
    check(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// Up to `most` bytes of a buffer from its start.
pub fn buffer(buffer: Buffer, most: usize) -> Option<Vec<u8>> {
    // SAFETY: see `bytes`.
    bytes(|data, size| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, most, data, size) }).ok().flatten()
}

/// Replaces all that a buffer holds now: `held` bytes.
pub fn set_buffer(buffer: Buffer, held: usize, value: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads within the given length.
    check(unsafe { proxy_set_buffer_bytes(buffer as u32, 0, held, value.as_ptr(), value.len()) })
}

/// A property; path elements are separated by NUL.
pub fn property(path: &str) -> Option<Vec<u8>> {
    // SAFETY: see `bytes`.
    bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }).ok().flatten()
}

/// Sets a property: Envoy keeps it as filter state under `wasm.` and its name.
pub fn set_property(path: &str, value: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads within the given lengths.
    check(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

/// Answers the request in the upstream's place.
pub fn respond<'a>(
    status: u16,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &str,
) -> Result<(), Failed> {
    const DETAILS: &str = "tollgate";
    let headers = pairs(headers);
    // SAFETY: the host reads within the given lengths.
    check(unsafe {
        proxy_send_local_response(
            u32::from(status),
            DETAILS.as_ptr(),
            DETAILS.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    })
}

/// Sends a request to a cluster; the answer comes with the returned token.
///
/// The SDK's own call: its dispatcher traps on an answer to a call it does not know of. It panics on statuses other
/// than the two Envoy gives (unknown cluster, circuit breaker).
pub fn call(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    body: &[u8],
    timeout: Duration,
) -> Result<u32, Failed> {
    hostcalls::dispatch_http_call(cluster, headers, Some(body), Vec::new(), timeout)
        .map_err(|status| Failed(status as u32))
}

/// Asks for a tick every so many milliseconds.
pub fn tick_every(period_ms: u32) -> Result<(), Failed> {
    // SAFETY: no memory is involved.
    check(unsafe { proxy_set_tick_period_milliseconds(period_ms) })
}

/// Has the calls that follow speak of this context. Refused when it is gone, as a stream may be.
pub fn speak_of(context: u32) -> Result<(), Failed> {
    // SAFETY: no memory is involved.
    check(unsafe { proxy_set_effective_context(context) })
}

/// Lets a paused request go on, once this callback has returned.
pub fn resume_request() -> Result<(), Failed> {
    const REQUEST: u32 = 0;
    // SAFETY: no memory is involved.
    check(unsafe { proxy_continue_stream(REQUEST) })
}

/// Resets a stream whose answer has begun, on both sides, once this callback has returned.
pub fn reset_response() -> Result<(), Failed> {
    const RESPONSE: u32 = 1;
    // SAFETY: no memory is involved.
    check(unsafe { proxy_close_stream(RESPONSE) })
}

/// A queue of Envoy's whose messages wake the VM that registered it, whatever thread they come from.
#[derive(Clone, Copy, Debug)]
pub struct Queue(pub u32);

/// Registers a queue for this VM; a name that another VM has registered would be taken from it.
pub fn register_queue(name: &str) -> Result<Queue, Failed> {
    let mut id = 0;
    // SAFETY: the host reads within the given length and writes one u32.
    check(unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &mut id) })?;
    Ok(Queue(id))
}

/// Puts a message into a queue, of this VM or another.
pub fn enqueue(queue: Queue, message: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads within the given length.
    check(unsafe { proxy_enqueue_shared_queue(queue.0, message.as_ptr(), message.len()) })
}

/// Takes the next message out; None when there is none.
pub fn dequeue(queue: Queue) -> Option<Vec<u8>> {
    // SAFETY: see `bytes`.
    bytes(|data, size| unsafe { proxy_dequeue_shared_queue(queue.0, data, size) }).ok().flatten()
}

/// A metric of Envoy's.
#[derive(Clone, Copy, Debug)]
pub struct Metric(u32);

/// Defines a counter, or finds it: all workers share it.
pub fn counter(name: &str) -> Result<Metric, Failed> {
    define(0, name)
}

/// Defines a histogram, or finds it.
pub fn histogram(name: &str) -> Result<Metric, Failed> {
    define(2, name)
}

fn define(kind: u32, name: &str) -> Result<Metric, Failed> {
    let mut id = 0;
    // SAFETY: the host reads within the given length and writes one u32.
    check(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) })?;
    Ok(Metric(id))
}

/// Adds a value to a histogram.
pub fn record(metric: Metric, value: u64) -> Result<(), Failed> {
    // SAFETY: no memory is involved.
    check(unsafe { proxy_record_metric(metric.0, value) })
}

/// Adds to a counter.
pub fn increment(metric: Metric, by: u64) -> Result<(), Failed> {
    // SAFETY: no memory is involved.
    check(unsafe { proxy_increment_metric(metric.0, i64::try_from(by).unwrap_or(i64::MAX)) })
}

/// The ABI's form of a list of pairs: count, both lengths of each, then each text with a NUL.
fn pairs<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let all: Vec<_> = all.collect();
    let mut out = Vec::with_capacity(64 * (all.len() + 1));
    out.extend_from_slice(&(all.len() as u32).to_le_bytes());
    for (key, value) in &all {
        out.extend_from_slice(&(key.len() as u32).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (key, value) in &all {
        for text in [key, value] {
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
    }
    out
}

/// Envoy's shared data as the limiter's store. Keys carry the policy's name: filters with one `vm_id` share the map.
#[derive(Debug)]
pub struct SharedData {
    prefix: String,
}

/// Expects that there is no value. Envoy compares a non-zero number with the value's own if there is one, and numbers
/// begin at 1, so this one differs from all of them; zero would overwrite blindly.
const NO_VALUE: u32 = u32::MAX;

impl SharedData {
    /// The store of one policy.
    pub fn new(policy: &str) -> Self {
        Self { prefix: format!("tollgate.1.{policy}.") }
    }

    fn key(&self, slot: Slot) -> String {
        let mut key = String::with_capacity(self.prefix.len() + 11);
        key.push_str(&self.prefix);
        slot.name(&mut key);
        key
    }
}

impl SharedStore for SharedData {
    fn load(&self, slot: Slot, into: &mut Vec<u8>) -> Result<Expected, StoreError> {
        let key = self.key(slot);
        let (mut data, mut size, mut cas) = (null_mut(), 0, 0);
        into.clear();
        // SAFETY: the host reads the key within its length and writes a pointer, a length and a u32.
        let status =
            unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), &mut data, &mut size, &mut cas) };
        match status {
            OK => {
                // SAFETY: on success the host has filled memory it had us allocate, and has handed it over.
                *into = unsafe { own(data, size) };
                Ok(if cas == 0 { Expected::Absent } else { Expected::Version(Version(cas)) })
            }
            NOT_FOUND => Ok(Expected::Absent),
            status => Err(StoreError { doing: "loading", status }),
        }
    }

    fn swap(&self, slot: Slot, value: &[u8], expected: Expected) -> Result<Swap, StoreError> {
        let key = self.key(slot);
        let cas = match expected {
            Expected::Absent => NO_VALUE,
            Expected::Version(Version(cas)) => cas,
        };
        let data = if value.is_empty() { null() } else { value.as_ptr() };
        // SAFETY: the host reads within the given lengths.
        match unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), data, value.len(), cas) } {
            OK => Ok(Swap::Done),
            CAS_MISMATCH => Ok(Swap::Lost),
            status => Err(StoreError { doing: "swapping", status }),
        }
    }

    /// Lets the winner get on: a short spin, longer with every loss and different for every worker.
    fn lost(&self, attempt: u32) {
        let spins = u32::from_le_bytes(random()) % (attempt.min(16) * 64);
        (0..spins).for_each(|spin| {
            core::hint::black_box(spin);
        });
    }
}
