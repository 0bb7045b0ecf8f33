//! How fast requests and answers are read, in bytes per second: `cargo bench -p tollgate-core --bench traffic`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "traffic/cases.rs"]
mod cases;

fn reading(criterion: &mut Criterion) {
    let mut cases = cases::all();
    // Sorted by group: criterion wants each once.
    cases.sort_by_key(|case| case.group);
    for group in cases.chunk_by_mut(|one, other| one.group == other.group) {
        let Some(name) = group.first().map(|case| case.group) else { continue };
        let mut measured = criterion.benchmark_group(name);
        for case in group {
            measured.throughput(Throughput::Bytes(case.bytes as u64));
            measured.bench_function(&case.name, |bencher| bencher.iter(&mut case.run));
        }
        measured.finish();
    }
}

criterion_group!(benches, reading);
criterion_main!(benches);
