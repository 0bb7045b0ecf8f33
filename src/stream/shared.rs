//! A stream as both Envoy's callbacks and the waiting room reach it.
//!
//! The waiting room only speaks to a stream from the root's callbacks, and what it asks of Envoy there happens once
//! they have returned: the two never meet.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::Stream;
use crate::worker::Worker;

/// What Envoy calls.
pub struct Shared(Rc<RefCell<Stream>>);

impl Shared {
    /// A new stream, by the number Envoy gave it.
    pub fn new(worker: Rc<Worker>, id: u32) -> Self {
        Self(Rc::new_cyclic(|me| RefCell::new(Stream::new(worker, id, me.clone()))))
    }
}

impl Context for Shared {}

impl HttpContext for Shared {
    fn on_http_request_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        self.0.borrow_mut().on_http_request_headers(count, end_of_stream)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.0.borrow_mut().on_http_request_body(size, end_of_stream)
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        self.0.borrow_mut().on_http_request_trailers(count)
    }

    fn on_http_response_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        self.0.borrow_mut().on_http_response_headers(count, end_of_stream)
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.0.borrow_mut().on_http_response_body(size, end_of_stream)
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        self.0.borrow_mut().on_http_response_trailers(count)
    }

    fn on_log(&mut self) {
        self.0.borrow_mut().on_log();
    }
}
