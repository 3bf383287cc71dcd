//! Lists, a page at a time.

use serde::Serialize;

use super::{Answer, Refusal};

/// A page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    item_count: usize,
    page_count: usize,
    pub(super) items: Vec<T>,
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    items_per_page: usize,
    page: usize,
}

impl<T> List<T> {
    /// The same page of other things.
    pub(super) fn map<U>(self, how: impl FnMut(T) -> U) -> List<U> {
        let Self { item_count, page_count, items } = self;
        List { item_count, page_count, items: items.into_iter().map(how).collect() }
    }
}

impl Page {
    /// Everything on one page.
    pub(super) const ALL: Self = Self { items_per_page: usize::MAX, page: 0 };

    /// The page that a request asks for with `itemsPerPage` and `page`; without, it is the first hundred.
    /// Error: they are no numbers that fit into 31 bits; a page without items.
    pub fn read(items_per_page: &str, page: &str) -> Answer<Self> {
        let number = |text: &str, otherwise| if text.is_empty() { Ok(otherwise) } else { number(text) };
        let items_per_page = number(items_per_page, 100)?;
        if items_per_page == 0 {
            return Err(Refusal::Invalid("invalid items per page".into()));
        }
        Ok(Self { items_per_page, page: number(page, 0)? })
    }

    /// This page of all.
    pub fn of<T>(self, all: Vec<T>) -> List<T> {
        let item_count = all.len();
        let items = all.into_iter().skip(self.page.saturating_mul(self.items_per_page)).take(self.items_per_page);
        List { item_count, page_count: item_count.div_ceil(self.items_per_page), items: items.collect() }
    }
}

/// Go's `strconv.ParseUint(text, 10, 31)`.
fn number(text: &str) -> Answer<usize> {
    let wrong = |what| Refusal::Invalid(format!("strconv.ParseUint: parsing {text:?}: {what}"));
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("invalid syntax"));
    }
    text.parse::<usize>().ok().filter(|number| *number < 1 << 31).ok_or_else(|| wrong("value out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_true_counts_also_behind_the_end() {
        let list = |items: &str, page: &str| Page::read(items, page).map(|page| page.of((0..5).collect()));
        let seen =
            |items: &str, page: &str| list(items, page).map(|list| (list.item_count, list.page_count, list.items));
        assert_eq!(seen("", ""), Ok((5, 1, vec![0, 1, 2, 3, 4])));
        assert_eq!(seen("2", "1"), Ok((5, 3, vec![2, 3])));
        assert_eq!(seen("2", "9"), Ok((5, 3, vec![])));
        assert_eq!(Page::read("", "").unwrap().of(Vec::<u8>::new()).page_count, 0);
        for (items, page, message) in [
            ("0", "", "invalid items per page"),
            ("x", "", "strconv.ParseUint: parsing \"x\": invalid syntax"),
            ("", "-1", "strconv.ParseUint: parsing \"-1\": invalid syntax"),
            ("", "2147483648", "strconv.ParseUint: parsing \"2147483648\": value out of range"),
        ] {
            assert_eq!(Page::read(items, page), Err(Refusal::Invalid(message.into())));
        }
    }
}
