//! What cannot be done is said with what to do.

use crate::project::{Project, command, said};

#[test]
fn a_missing_tool_is_named_with_what_to_type() {
    let wanted = [
        ("python", "componentize-py is missing", ".venv/bin/pip install -r requirements-dev.txt"),
        ("javascript", "pelton-componentize is missing", "npm install"),
        ("typescript", "node is missing", "https://nodejs.org"),
        ("rust", "cargo is missing", "https://rustup.rs"),
        ("c", "make is missing", "your system's package make"),
    ];
    for (language, what, install) in wanted {
        let project = Project::bare(language, false);
        let said = said(command(&project.dir).arg("build").env("PATH", &project.dir));
        assert_eq!(said.code, 1, "{language}");
        assert!(said.err.contains(what) && said.err.contains(install), "{language}: {}", said.err);
    }
}

#[test]
fn a_compiler_that_is_missing_is_called_what_it_is() {
    for language in ["c", "any"] {
        let project = Project::bare(language, false);
        let mut build = command(&project.dir);
        build.arg("build").env("WASM_CC", "/nowhere/clang").env("WASI_SDK_PATH", "/nowhere");
        let said = said(&mut build);
        assert_eq!(said.code, 1, "{language}");
        for text in ["a C compiler for WebAssembly is missing (`", "apt-get install clang lld wasi-libc"] {
            assert!(said.err.contains(text), "{language}: {}", said.err);
        }
        assert!(
            !said.err.contains("make is missing") && !said.err.contains("sh is missing"),
            "{}",
            said.err
        );
    }
}

#[test]
fn a_kind_that_a_language_does_not_have_is_refused() {
    let empty = tempfile::tempdir().expect("a folder");
    for (language, kind, why) in [
        ("python", "worker", "a handler in Python is a component, not a worker"),
        ("go", "component", "a handler in Go is a worker, not a component"),
    ] {
        let said = said(command(empty.path()).args(["new", "orders", "-l", language, "--kind", kind]));
        assert_eq!(said.code, 64);
        assert!(said.err.contains(why), "{}", said.err);
        assert!(!empty.path().join("orders").exists());
    }
}

#[test]
fn a_build_that_makes_another_kind_is_told() {
    let project = Project::bare("c", false);
    project.edit("handler.toml", "module.wasm\"\n", "module.wasm KIND=worker\"\n");
    let said = project.pelton(&["build"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("is a worker, and handler.toml says another `kind`"), "{}", said.err);
}

#[test]
fn a_tool_that_is_too_old_is_told_apart() {
    let project = Project::bare("python", false);
    project.edit("handler.toml", "at_least = \"3.10\"", "at_least = \"30.1\"");
    let said = project.pelton(&["build"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("python3 30.1 or newer is wanted; there is: Python 3."), "{}", said.err);
}

#[test]
fn a_folder_that_is_taken_stays_as_it_is() {
    let project = Project::bare("rust", false);
    let said =
        said(command(project.dir.parent().expect("a folder")).args(["new", &project.name, "-l", "python"]));
    assert_eq!(said.code, 1);
    assert!(said.err.contains("is there already"), "{}", said.err);
    assert!(!project.dir.join("handler.py").exists());
}

#[test]
fn a_folder_that_is_no_project_says_how_to_make_one() {
    let empty = tempfile::tempdir().expect("a folder");
    for name in ["build", "test", "dev"] {
        let said = said(command(empty.path()).arg(name));
        assert_eq!(said.code, 64, "{name}");
        assert!(said.err.contains("pelton new NAME --language"), "{name}: {}", said.err);
    }
}

#[test]
fn a_case_that_cannot_be_read_is_found_before_anything_is_built() {
    let project = Project::bare("python", false);
    project.edit("tests/cases.toml", "outcome = \"ok\"", "outcome = \"fine\"");
    let said = project.pelton(&["test"]);
    assert_eq!(said.code, 1);
    let wanted = ["tests/cases.toml", "an order is taken", "`fine`"];
    wanted.iter().for_each(|text| assert!(said.err.contains(text), "{text}: {}", said.err));
    assert!(!said.out.contains("building"), "{}", said.out);
}

#[test]
fn a_handler_that_is_not_marked_is_a_build_error_in_words() {
    let project = Project::new("python", false);
    project.edit("handler.py", "@handler\n", "");
    let said = project.pelton(&["build"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("handler.py has no @handler function: no function is marked"),
        "{}",
        said.err
    );
    assert!(!said.err.contains("Traceback"), "{}", said.err);
    let project = Project::new("javascript", false);
    project.edit("src/handler.js", "export default async function", "export async function");
    let said = project.pelton(&["build"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("no `export default function`"), "{}", said.err);
}

#[test]
fn a_command_has_no_form_for_batches() {
    let empty = tempfile::tempdir().expect("a folder");
    let said = said(command(empty.path()).args(["new", "orders", "--language", "any", "--batch"]));
    assert_eq!(said.code, 64);
    assert!(said.err.contains("run once for each message"), "{}", said.err);
    assert!(!empty.path().join("orders").exists());
}
