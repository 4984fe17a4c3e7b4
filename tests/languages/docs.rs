//! The code that the documents show is the templates' own.

use pelton_tests::binary::root;
use std::path::Path;

/// A block of code after a comment that names its file: `<!-- sdk/templates/... -->`.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in text.split("<!-- sdk/templates/").skip(1) {
        let (file, rest) = part.split_once(" -->").expect("the comment ends");
        let code = rest.split("```").nth(1).expect("a block of code follows");
        let (_language, code) = code.split_once('\n').expect("lines of code");
        found.push((format!("sdk/templates/{file}"), code.to_owned()));
    }
    found
}

#[test]
fn the_documents_show_the_templates_code() {
    let read = |file: &Path| std::fs::read_to_string(root().join(file)).expect("a file of the repository");
    for (document, least) in [("docs/handlers/languages.md", 6), ("README.md", 2)] {
        let found = blocks(&read(Path::new(document)));
        assert!(found.len() >= least, "{document}: only {} blocks of code are the templates'", found.len());
        for (file, code) in found {
            let template = read(Path::new(&file));
            assert!(template.contains(code.trim_end()), "{document} shows of {file}:\n{code}");
        }
    }
}
