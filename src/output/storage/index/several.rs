//! What is asked of several folders at once, each of which may fail.

use std::{collections::HashSet, sync::Arc};

use super::{Entry, Index, Page, Query};
use crate::error::Result;

/// A file, with the number of its folder.
pub type Placed = (usize, Arc<Entry>);

/// Some of the files of several folders, each with the number of its folder, and how many there are. A folder that cannot
/// be read has no files; of two files of one name the first folder's is told. Error: no folder can be read.
pub fn page_of(indexes: &[Index], query: &Query<'_>) -> Result<(Vec<Placed>, usize)> {
    if let [index] = indexes {
        let Page { files, total } = index.page(query)?;
        return Ok((files.into_iter().map(|file| (0, file)).collect(), total));
    }
    // What is on the page is among the first of each folder.
    let first = Query { offset: 0, limit: query.offset.saturating_add(query.limit), ..*query };
    let (mut files, mut total, mut read, mut failure) = (Vec::new(), 0, 0, None);
    for (number, index) in indexes.iter().enumerate() {
        match index.page(&first) {
            Ok(page) => {
                read += 1;
                total += page.total;
                files.extend(page.files.into_iter().map(|file| (number, file)));
            }
            Err(error) => {
                tracing::debug!("a folder is left out of a list: {}", error.chain());
                failure.get_or_insert(error);
            }
        }
    }
    if let (Some(error), 0) = (failure, read) {
        return Err(error);
    }
    let mut names = HashSet::new();
    let all = files.len();
    files.retain(|(_, file)| names.insert(file.stored.name.clone()));
    total -= all - files.len();
    let place = |file: &Entry| (file.stored.modified, file.stored.name.clone());
    files.sort_by_cached_key(|(_, file)| place(file));
    if !query.oldest_first {
        files.reverse();
    }
    Ok((files.into_iter().skip(query.offset).take(query.limit).collect(), total))
}

/// Bytes that the files of several folders take together. A folder that cannot be read has no files. Error: no folder can
/// be read.
pub fn bytes_of(indexes: &[Index]) -> Result<u64> {
    let (read, failed): (Vec<_>, Vec<_>) = indexes.iter().map(Index::bytes).partition(Result::is_ok);
    match failed.into_iter().next() {
        Some(error) if read.is_empty() => error,
        _ => read.into_iter().sum(),
    }
}
