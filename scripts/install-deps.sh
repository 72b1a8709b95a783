#!/usr/bin/env bash
# Installs what the build needs and the machine lacks: a C++ compiler, pkg-config, libclang (bindgen)
# and, on Debian 12, RocksDB. Debian and Ubuntu as root or with sudo; elsewhere it says what to install.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

if ! command -v cargo >/dev/null 2>&1 && [ ! -x "$HOME/.cargo/bin/cargo" ]; then
  say "Rust is missing. Install it with"
  say "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain none"
  say "and run make again: rust-toolchain.toml names the version, rustup fetches it."
  exit 1
fi

have_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  local hit
  for hit in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* /usr/lib64/libclang*.so* \
    /usr/lib/libclang*.so* /opt/homebrew/opt/llvm/lib/libclang.dylib; do
    [ -e "$hit" ] && return 0
  done
  return 1
}

if [ ! -r /etc/debian_version ]; then
  missing=()
  command -v c++ >/dev/null 2>&1 || missing+=("a C++ compiler")
  command -v pkg-config >/dev/null 2>&1 || missing+=("pkg-config")
  have_libclang || missing+=("libclang (LLVM 14 or later; LIBCLANG_PATH may name its folder)")
  [ "${#missing[@]}" -eq 0 ] && exit 0
  say "Please install first:"
  printf '    %s\n' "${missing[@]}" >&2
  exit 1
fi

missing=()
add_missing() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed' || missing+=("$1"); }
command -v c++ >/dev/null 2>&1 && command -v make >/dev/null 2>&1 || missing+=(build-essential)
command -v pkg-config >/dev/null 2>&1 || missing+=(pkg-config)
if grep -qs '^VERSION_ID="12"' /etc/os-release && grep -qs '^ID=debian' /etc/os-release; then
  have_libclang || add_missing libclang1-14
  # bindgen needs clang's own headers (stddef.h) beside the library.
  add_missing libclang-common-14-dev
  add_missing librocksdb-dev
else
  have_libclang || missing+=(libclang-dev)
fi
[ "${#missing[@]}" -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    say "Please install as root: apt-get install ${missing[*]}"
    exit 1
  fi
  as_root=(sudo)
fi
say "Installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
