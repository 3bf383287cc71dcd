//! What a configuration file may say, and what is said about one that is wrong.

mod reference;
mod said;
mod wrong;

use std::{fs, path::Path};

use camera_service::config::{Config, Diagnostic, Loaded, Place, Problems};

fn no_env() -> std::iter::Empty<(String, String)> {
    std::iter::empty()
}

fn env(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> + use<> {
    let owned: Vec<_> = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    owned.into_iter()
}

fn parse(text: &str) -> Result<Loaded, Problems> {
    Config::parse("file.yaml", text, no_env())
}

fn problems(text: &str) -> Vec<Diagnostic> {
    match parse(text) {
        Ok(loaded) => panic!("accepted: {loaded:?}\n{text}"),
        Err(problems) => problems.0,
    }
}

fn config(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}")).config
}

/// The one problem of `text`, as line and column, found, valid, nearest.
fn problem(text: &str) -> Diagnostic {
    let mut problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.remove(0)
}

fn at(problem: &Diagnostic) -> (usize, usize) {
    match &problem.place {
        Place::Spot { file, line, column } => {
            assert_eq!(&**file, "file.yaml");
            (*line, *column)
        }
        place => panic!("{place:?}"),
    }
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
