//! stub
#![allow(missing_docs)]
use tollgate_wire::NanoUsd;
#[derive(Clone, Debug)]
pub struct Price {
    pub input: NanoUsd,
    pub output: NanoUsd,
    pub cached_input: Option<NanoUsd>,
    pub cache_write: Option<NanoUsd>,
    pub long_context: Option<()>,
    pub max_output_tokens: Option<u64>,
}
#[derive(Debug)]
pub struct PriceTable {}
impl PriceTable {
    pub fn builtin() -> Self {
        Self {}
    }
    pub fn insert(&mut self, _m: &str, _p: Price) {}
}
