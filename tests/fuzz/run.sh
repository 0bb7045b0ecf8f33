#!/bin/sh
# Fuzzes every target, or those named, for so many seconds each: run.sh SECONDS [TARGET...]
# libFuzzer with coverage from LLVM's own pass, which the stable compiler has too. Of what is found, the fewest inputs
# that cover all of it are kept in tests/fuzz/corpus, where the core's tests read them. A crash leaves its input in
# tests/fuzz/crashes; the other targets have their turn all the same, and the run fails in the end.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:?seconds per target}
shift
samples=$here/../../crates/tollgate-core/tests/samples
triple=$(rustc -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-$here/../../target}/fuzz

coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"

CARGO_TARGET_DIR=$target_dir RUSTFLAGS=$coverage \
    cargo build --locked --release --quiet --features run --manifest-path "$here/Cargo.toml" --target "$triple"

fuzz() {
    "$target_dir/$triple/release/$target" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -dict="$here/json.dict" -artifact_prefix="$here/crashes/$target-" -print_final_stats=1 -verbosity=0 \
        "$work/new" "$work/kept" "$samples"
}

# Small inputs only: a large one that covers something is followed by a small one that does.
keep() {
    "$target_dir/$triple/release/$target" -set_cover_merge=1 -max_len=512 -verbosity=0 \
        "$work/fewest" "$work/kept" "$work/new" "$samples" 2>"$work/merge.log" &&
        python3 "$here/corpus.py" pack "$work/fewest" "$here/corpus/$target.txt"
}

[ $# -gt 0 ] || set -- $(cd "$here/src/bin" && ls | sed 's/\.rs$//')
mkdir -p "$here/crashes"
failed=
for target in "$@"; do
    work=$target_dir/corpus/$target
    rm -rf "$work"
    mkdir -p "$work/kept" "$work/new" "$work/fewest"
    python3 "$here/corpus.py" unpack "$here/corpus/$target.txt" "$work/kept"
    echo "fuzz: $target for $seconds s"
    fuzz || failed="$failed $target"
    keep || failed="$failed $target (its corpus)"
done
[ -z "$failed" ] || { echo "fuzz: failed:$failed; inputs are in tests/fuzz/crashes"; exit 1; }
echo "fuzz: clean"
