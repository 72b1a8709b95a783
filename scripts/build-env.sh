# Sourced by every recipe of the Makefile: where the build finds RocksDB and where it puts products.

# Debian's librocksdb saves 20 minutes of C++, but only 7.8 and 7.9 have the interface that the
# rocksdb crate in use was written for; otherwise the crate builds the copy that it ships.
if [ -z "${ROCKSDB_LIB_DIR:-}" ]; then
  version=$(dpkg-query -W -f='${Version}' librocksdb-dev 2>/dev/null || true)
  case "$version" in
    7.8.* | 7.9.*)
      folder=$(dirname "$(dpkg -L librocksdb-dev | grep -m1 '/librocksdb\.so$')")
      export ROCKSDB_LIB_DIR="$folder" ROCKSDB_INCLUDE_DIR=/usr/include
      ;;
    *)
      # GCC 13 and later no longer include <cstdint> by accident.
      export CXXFLAGS="${CXXFLAGS:-} -include cstdint"
      ;;
  esac
fi

if [ "${CI:-}" = true ] && [ -z "${CARGO_TARGET_DIR:-}" ]; then
  export CARGO_TARGET_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/trine/target"
fi

# rustup's tools, on a machine whose shell has not read its profile yet.
if ! command -v cargo >/dev/null 2>&1 && [ -x "$HOME/.cargo/bin/cargo" ]; then
  export PATH="$HOME/.cargo/bin:$PATH"
fi
