//! The VM's root: reads the configuration, makes streams, ticks.

use std::rc::Rc;

use log::error;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use tollgate_core::policy::Policy;

use crate::host::{self, Buffer};
use crate::stream::Stream;
use crate::sync::Link;
use crate::worker::Worker;

/// Between two ticks: short enough for metrics and batches, 0.2 % of a core for all VMs together.
const TICK_MS: u32 = 200;

/// The root context.
#[derive(Default)]
pub struct Root {
    worker: Option<Rc<Worker>>,
}

impl Root {
    fn configure(&mut self, size: usize) -> Result<(), String> {
        let bytes = if size == 0 { None } else { host::buffer(Buffer::Configuration, size) };
        let policy = Policy::from_bytes(&bytes.unwrap_or_default()).map_err(|error| error.to_string())?;
        let worker = Worker::start(policy).map_err(|error| error.to_string())?;
        host::tick_every(TICK_MS).map_err(|failed| format!("no ticks: status {}", failed.0))?;
        self.worker = Some(Rc::new(worker));
        Ok(())
    }
}

impl Context for Root {
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
        if let Some(worker) = &self.worker {
            worker.tick();
        }
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        let worker = self.worker.as_ref()?;
        Some(Box::new(Stream::new(Rc::clone(worker))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
