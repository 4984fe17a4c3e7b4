# Compiles main.c for WASI with the first compiler there is: WASI SDK's, the system's clang, zig's.
set -e
if [ -n "$WASI_SDK_PATH" ]; then
    cc="$WASI_SDK_PATH/bin/clang --target=wasm32-wasip1"
elif [ -e /usr/lib/wasm32-wasi/libc.a ]; then
    clang=$(ls /usr/bin/clang-[0-9][0-9] 2>/dev/null | sort | tail -1)
    cc="${clang:-clang} --target=wasm32-wasi -Wno-deprecated"
else
    cc="python3 -m ziglang cc -target wasm32-wasi"
fi
if [ "$1" = --version ]; then exec $cc --version; fi
exec $cc -O2 -Wall -Wextra main.c -o "$1"
