//! What is wrong with a configuration, and where.

use std::{fmt, sync::Arc};

/// Where a value comes from. Sorts in the order a person reads: the file from top to bottom, then the environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole: it cannot be read.
    WholeFile(Arc<str>),
    /// A spot in the file. Line and column count from 1, the column in characters.
    Spot {
        /// The file, as it was named by the caller.
        file: Arc<str>,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// An environment variable.
    Variable(String),
    /// Nobody wrote it: the default.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WholeFile(file) => f.write_str(file),
            Self::Spot { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One finding: an error, or a warning when it stands in [`Loaded::warnings`](super::Loaded::warnings).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// The key as it is written there, with its sections: `server.port`. Empty when it is about no single key.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What stands there. Never a secret.
    pub found: Option<String>,
    /// What may stand there.
    pub valid: Option<String>,
    /// The valid word most like the one found.
    pub nearest: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(place: &Place, key: impl Into<String>, message: impl Into<String>) -> Self {
        let (key, message) = (key.into(), message.into());
        Self { place: place.clone(), key, message, found: None, valid: None, nearest: None }
    }

    pub(super) fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    pub(super) fn valid(mut self, valid: impl Into<String>) -> Self {
        self.valid = Some(valid.into());
        self
    }

    /// Adds the one of `words` that `found` was probably meant to be.
    pub(super) fn nearest<'a>(mut self, found: &str, words: impl IntoIterator<Item = &'a str>) -> Self {
        let wanted = found.to_lowercase();
        self.nearest = words
            .into_iter()
            .map(|word| (strsim::damerau_levenshtein(&wanted, word), word))
            .filter(|(distance, word)| *distance <= 1 + word.len() / 3)
            .min()
            .map(|(_, word)| word.to_owned());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(found) = &self.found {
            write!(f, "; found {found}")?;
        }
        if let Some(valid) = &self.valid {
            write!(f, "; valid: {valid}")?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean \"{nearest}\"?")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Diagnostic>);

impl fmt::Display for Problems {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
