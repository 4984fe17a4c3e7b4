//! Guests that make the host write: what is printed of it is bounded, whoever prints it.

use pelton_tests::site::{Pipeline, Site};
use std::path::Path;

/// A command that calls fifty thousand times what its library has not, and says so each time.
const SHUTDOWNS: &str = r#"(module
  (import "wasi_snapshot_preview1" "sock_shutdown" (func $shutdown (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "pelton_command"))
  (func (export "_start") (local $n i32)
    (loop $again
      (drop (call $shutdown (i32.const 1) (i32.const 0)))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 50000))))))"#;

fn site(folder: &Path) -> Site {
    let component = folder.join("shutdowns.wasm");
    std::fs::write(&component, wat::parse_str(SHUTDOWNS).expect("well formed")).expect("it is written");
    Site::new(&[Pipeline::new("floods", component).with("handler", "log_rate = \"1KiB\"")])
}

#[test]
fn what_a_library_says_of_a_guest_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = site(folder.path());
    site.send_lines("floods", &[], &["a".to_owned(), "b".to_owned()]);
    let (worker, _) = site.until_empty();
    let lines = worker.log.lines();
    let written: usize = lines.iter().map(|line| line.text.len()).sum();
    assert!(written < 16 << 10, "{written} bytes{}", worker.log.tail());
    let said = lines.iter().filter(|line| line.field("target").starts_with("wasmtime")).count();
    assert!((1..=10).contains(&said), "{said} lines{}", worker.log.tail());
    assert!(
        lines.iter().any(|line| line.says("lines of libraries were not written")),
        "{}",
        worker.log.tail()
    );
    assert_eq!(site.status("floods").handled, 2);
}
