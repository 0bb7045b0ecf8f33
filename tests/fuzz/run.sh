#!/bin/sh
# Fuzzes every target, or those named, for so many seconds each: run.sh SECONDS [TARGET...]
# libFuzzer with coverage from LLVM's own pass, which the stable compiler has too. What is found is kept in
# tests/fuzz/corpus; a crash leaves its input in tests/fuzz/crashes and ends the run.
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

[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\(.*\)"/\1/p' "$here/Cargo.toml" | grep -v '^tollgate-fuzz$')
for target in "$@"; do
    mkdir -p "$here/corpus/$target" "$here/crashes" "$here/corpus-new/$target"
    echo "fuzz: $target for $seconds s"
    "$target_dir/$triple/release/$target" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -dict="$here/json.dict" -artifact_prefix="$here/crashes/$target-" -print_final_stats=1 -verbosity=0 \
        "$here/corpus-new/$target" "$here/corpus/$target" "$samples"
    # Of small inputs, those that cover something new are kept.
    "$target_dir/$triple/release/$target" -set_cover_merge=1 -max_len=2048 -verbosity=0 \
        "$here/corpus/$target" "$here/corpus-new/$target" "$samples" 2>/dev/null
    rm -rf "$here/corpus-new/$target"
done
echo "fuzz: clean"
