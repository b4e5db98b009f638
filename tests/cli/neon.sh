#!/usr/bin/env bash
# The NEON kernels, built by a cross compiler and checked under qemu's user emulation; skipped where
# either is missing, and where the tests run on AArch64 anyway. CHECK_SEED=N tries other inputs.
set -euo pipefail

cc=${AARCH64_CC:-aarch64-linux-gnu-gcc}
qemu=${QEMU_AARCH64:-$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)}
if [ "$(uname -m)" = aarch64 ] || ! command -v "$cc" >/dev/null || [ -z "$qemu" ]; then
    echo "needs $cc and qemu-aarch64 on another architecture"
    exit 77
fi

out=${ASHLAR_BUILD:-build}/aarch64
objects=()
for source in src/kernels/*.c src/base/*.c src/model/tensor.c \
    tests/kernels/check_main.c; do
    objects+=("$out/${source%.c}.o")
done
# Settings of the make that runs the tests must not reach this one.
env -u MAKEFLAGS -u MFLAGS make -s CC="$cc" SAN= CFLAGS=-O2 O="$out" "${objects[@]}"
"$cc" -static -o "$out/check_kernels" "${objects[@]}" -lm -pthread
"$qemu" -cpu max "$out/check_kernels" neon "${CHECK_SEED:-1}"
