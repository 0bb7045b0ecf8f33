//! The VM's root: reads the configuration, makes streams, ticks.

use std::rc::Rc;

use log::error;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use tollgate_core::policy::Policy;

use crate::host::{self, Buffer};
use crate::stream::Shared;
use crate::sync::Link;
use crate::worker::Worker;

/// The root context.
pub struct Root {
    id: u32,
    worker: Option<Rc<Worker>>,
}

impl Root {
    /// A root context that has no configuration yet, by the number Envoy gave it.
    pub const fn new(id: u32) -> Self {
        Self { id, worker: None }
    }

    fn configure(&mut self, size: usize) -> Result<(), String> {
        let bytes = if size == 0 { None } else { host::buffer(Buffer::Configuration, size) };
        let policy = Policy::from_bytes(&bytes.unwrap_or_default()).map_err(|error| error.to_string())?;
        host::read_wall_clock();
        let worker = Worker::start(policy, self.id).map_err(|error| error.to_string())?;
        worker.state.borrow_mut().waiting.arm(host::now().mono_ns, true);
        self.worker = Some(Rc::new(worker));
        Ok(())
    }
}

impl Context for Root {
    fn on_done(&mut self) -> bool {
        if let Some(worker) = &self.worker {
            worker.end();
        }
        true
    }

    fn on_http_call_response(&mut self, token: u32, _headers: usize, body_size: usize, _trailers: usize) {
        if let Some(worker) = &self.worker {
            Link::answered(worker, token, body_size);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match self.configure(size) {
            Ok(()) => true,
            Err(problem) => {
                error!("tollgate: configuration refused: {problem}");
                false
            }
        }
    }

    fn on_tick(&mut self) {
        host::read_wall_clock();
        if let Some(worker) = &self.worker {
            worker.tick();
        }
    }

    fn on_queue_ready(&mut self, _queue: u32) {
        if let Some(worker) = &self.worker {
            worker.rung();
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let worker = self.worker.as_ref()?;
        Some(Box::new(Shared::new(Rc::clone(worker), id)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
