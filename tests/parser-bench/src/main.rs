//! How fast bodies are read where the filter runs: a table of the core's own cases. Built for wasm32-wasip1 as the filter
//! is and run by Node it says what V8 makes of them; built natively it can be compared with that.

use std::time::{Duration, Instant};

#[path = "../../../crates/tollgate-core/benches/traffic/cases.rs"]
mod cases;

use cases::Case;

/// Repetitions are measured together for so long, often enough that the clock doesn't matter.
const BATCH: Duration = Duration::from_millis(10);

/// Of so many batches the fastest and the median are told; V8 has compiled everything by then.
const BATCHES: usize = 25;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!("{:<12} {:<24} {:>9} {:>10} {:>10} {:>9}", "", "", "KB", "us least", "us median", "MB/s");
    for mut case in cases::all() {
        if !wanted.is_empty() && !wanted.iter().any(|group| group == case.group) {
            continue;
        }
        let [least, micros] = micros(&mut case);
        let megabytes = case.bytes as f64 / micros;
        let kilobytes = case.bytes as f64 / 1e3;
        println!(
            "{:<12} {:<24} {kilobytes:>9.2} {least:>10.2} {micros:>10.2} {megabytes:>9.0}",
            case.group, case.name
        );
    }
}

/// Microseconds of one run: in the fastest batch and in the median one.
fn micros(case: &mut Case) -> [f64; 2] {
    let repetitions = repetitions(case);
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let began = Instant::now();
            (0..repetitions).for_each(|_| (case.run)());
            began.elapsed().as_secs_f64() * 1e6 / f64::from(repetitions)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    [batches[0], batches[BATCHES / 2]]
}

/// How many runs make a batch; finding out warms up.
fn repetitions(case: &mut Case) -> u32 {
    let (began, mut runs) = (Instant::now(), 0_u32);
    while began.elapsed() < BATCH * 5 {
        (case.run)();
        runs += 1;
    }
    (runs / 5).max(1)
}
