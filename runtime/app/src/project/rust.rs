//! Rust's two ways to a component: rustup's ready-made standard library, or Debian's compiler, which builds
//! one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

const TARGET: &str = "wasm32-wasip2";

/// What Debian's compiler needs for it; packages rustc-web, cargo-web, libstd-rust-web-dev, rust-web-src,
/// rust-web-llvm, lld-22 and wasi-libc.
const DEBIAN: [&str; 5] = [
    "/usr/bin/rustc",
    "/usr/bin/cargo",
    "/usr/bin/rust-lld",
    "/usr/lib/wasm32-wasi/libc.a",
    "/usr/lib/rustlib/src/rust/library/Cargo.lock",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Rustup,
    Debian,
    None,
}

static WAY: LazyLock<Way> = LazyLock::new(|| {
    if has_target("rustc", TARGET) {
        Way::Rustup
    } else if DEBIAN.iter().all(|part| Path::new(part).exists()) {
        Way::Debian
    } else {
        Way::None
    }
});

/// Whether there is a standard library for a target.
pub fn can_build(target: &str) -> bool {
    has_target("rustc", target) || (target == TARGET && *WAY == Way::Debian)
}

/// What the commands of a project need in their environment.
pub fn environment() -> Vec<(&'static str, &'static str)> {
    if *WAY != Way::Debian {
        return Vec::new();
    }
    // `std` is built from source, which only unstable flags allow; they hold for the component alone, since
    // only its target is named.
    vec![
        ("RUSTC", "/usr/bin/rustc"),
        ("RUSTC_BOOTSTRAP", "1"),
        (
            "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS",
            "-L native=/usr/lib/wasm32-wasi -C link-self-contained=no",
        ),
        ("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort"),
    ]
}

/// A folder whose programs come first.
pub fn programs() -> Option<&'static str> {
    (*WAY == Way::Debian).then_some("/usr/bin")
}

fn has_target(rustc: &str, target: &str) -> bool {
    let asked = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .stderr(Stdio::null())
        .output();
    let Ok(answer) = asked else { return false };
    let folder = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    })
}
