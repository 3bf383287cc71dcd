//! YAML text as a tree in which every key and value knows where it stands.
//!
//! Serde would be shorter and stop at the first mistake, without its column. Scalars stay text here: what they mean
//! is decided by the key they belong to (`value`), so a secret of digits keeps its leading zeros.

use std::{collections::HashMap, sync::Arc};

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput};

use super::problem::{Diagnostic, Place};

/// Nesting allowed; the configuration itself needs five levels.
const DEPTH: usize = 32;
/// Nodes allowed, aliases counted as often as they are used, so that a few lines cannot grow without end.
const NODES: usize = 100_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub place: Place,
    pub data: Data,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// `~`, `null`, or nothing at all.
    Null,
    /// Any other scalar, quotes and escapes resolved.
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something a problem has been reported for already.
    Faulty,
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The key in its current spelling; `legacy` renames the old ones.
    pub key: String,
    /// The key as it is written, with its sections.
    pub written: String,
    pub place: Place,
    pub node: Node,
}

impl Node {
    pub fn is_null(&self) -> bool {
        self.data == Data::Null
    }

    /// What a person sees there, for "found …".
    pub fn describe(&self) -> String {
        match &self.data {
            Data::Null | Data::Faulty => "nothing".into(),
            Data::Text(text) => format!("\"{text}\""),
            Data::List(_) => "a list".into(),
            Data::Map(_) => "a section".into(),
        }
    }
}

/// Reads `text`. Problems that leave the rest readable (a key given twice) are added to `problems`; on the others
/// the tree is empty.
pub(super) fn parse(file: &Arc<str>, text: &str, problems: &mut Vec<Diagnostic>) -> Node {
    let place = |line, column| Place::Spot { file: file.clone(), line, column };
    compose(text, &place, String::new(), problems)
}

/// Reads the value of an environment variable: a list or section in YAML's flow notation, anything else as it is.
pub(super) fn parse_variable(name: &str, written: String, text: &str, problems: &mut Vec<Diagnostic>) -> Node {
    let place = Place::Variable(name.to_owned());
    match text.trim_start().starts_with(['[', '{']) {
        true => compose(text, &|_, _| place.clone(), written, problems),
        false if text.is_empty() => Node { place, data: Data::Null },
        false => Node { place, data: Data::Text(text.to_owned()) },
    }
}

fn compose(text: &str, place: &dyn Fn(usize, usize) -> Place, written: String, problems: &mut Vec<Diagnostic>) -> Node {
    let mut options = Options::default();
    options.flow_nesting_limit = DEPTH;
    options.block_nesting_limit = DEPTH;
    let parser = Parser::new_from_str_with_options(text, options);
    let mut composer = Composer { parser, place, problems, anchors: HashMap::new(), nodes: 0 };
    composer.document(&written).unwrap_or_else(|problem| {
        let place = problem.place.clone();
        composer.problems.push(*problem);
        Node { place, data: Data::Faulty }
    })
}

/// Boxed: a diagnostic is large, and this travels up through every node.
type Fatal<T> = Result<T, Box<Diagnostic>>;

struct Composer<'a, 't> {
    parser: Parser<'t, StrInput<'t>>,
    place: &'a dyn Fn(usize, usize) -> Place,
    problems: &'a mut Vec<Diagnostic>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

fn fatal(place: &Place, key: &str, message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::new(place, key, message))
}

impl<'t> Composer<'_, 't> {
    fn document(&mut self, written: &str) -> Fatal<Node> {
        let mut root = None;
        loop {
            let (event, span) = self.event()?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => {
                    return Ok(root.unwrap_or(Node { place: self.place(span), data: Data::Null }));
                }
                _ if root.is_some() => return Err(fatal(&self.place(span), "", "a second YAML document")),
                event => root = Some(self.node(event, span, written)?),
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, written: &str) -> Fatal<Node> {
        let (place, before) = (self.place(span), self.nodes);
        self.count(1, &place)?;
        let (anchor, data) = match event {
            Event::Scalar(text, style, anchor, _) => (anchor, scalar(text.into_owned(), style)),
            Event::SequenceStart(_, anchor, _) => (anchor, self.list(written)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.map(written)?),
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(fatal(&place, written, "an alias inside its own anchor"));
                };
                self.count(size, &place)?;
                return Ok(Node { place, data: node.data });
            }
            _ => return Err(fatal(&place, written, "no YAML value")),
        };
        let node = Node { place, data };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn list(&mut self, written: &str) -> Fatal<Data> {
        let mut nodes = Vec::new();
        loop {
            match self.event()? {
                (Event::SequenceEnd, _) => return Ok(Data::List(nodes)),
                (event, span) => nodes.push(self.node(event, span, &format!("{written}[{}]", nodes.len()))?),
            }
        }
    }

    fn map(&mut self, written: &str) -> Fatal<Data> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = match self.event()? {
                (Event::MappingEnd, _) => return Ok(Data::Map(entries)),
                next => next,
            };
            let key = self.node(event, span, written)?;
            let name = match key.data {
                Data::Text(text) => text,
                Data::Null => "null".into(),
                _ => return Err(fatal(&key.place, written, "a key that is not a word")),
            };
            let path = if written.is_empty() { name.clone() } else { format!("{written}.{name}") };
            let (event, span) = self.event()?;
            let node = self.node(event, span, &path)?;
            match entries.iter().find(|entry| entry.key == name) {
                Some(first) => {
                    let message = format!("given twice, first at {}", first.place);
                    self.problems.push(Diagnostic::new(&key.place, path, message));
                }
                None => entries.push(Entry { key: name, written: path, place: key.place, node }),
            }
        }
    }

    fn count(&mut self, nodes: usize, place: &Place) -> Fatal<()> {
        self.nodes += nodes;
        match self.nodes > NODES {
            true => Err(fatal(place, "", format!("more than {NODES} values"))),
            false => Ok(()),
        }
    }

    /// The next event that is not a comment.
    fn event(&mut self) -> Fatal<(Event<'t>, Span)> {
        loop {
            match self.parser.next_event() {
                Some(Ok((event, span))) if event.is_node() || is_structure(&event) => return Ok((event, span)),
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let (line, column) = (error.marker().line(), error.marker().col() + 1);
                    let message = format!("not YAML: {}", error.info());
                    return Err(fatal(&(self.place)(line, column), "", message));
                }
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn place(&self, span: Span) -> Place {
        (self.place)(span.start.line().max(1), span.start.col() + 1)
    }
}

fn is_structure(event: &Event<'_>) -> bool {
    use Event::{DocumentEnd, DocumentStart, MappingEnd, SequenceEnd, StreamEnd, StreamStart};
    matches!(event, DocumentEnd | DocumentStart(..) | MappingEnd | SequenceEnd | StreamEnd | StreamStart)
}

fn scalar(text: String, style: ScalarStyle) -> Data {
    let null = matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
    if null && style == ScalarStyle::Plain { Data::Null } else { Data::Text(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Node, Vec<Diagnostic>) {
        let mut problems = Vec::new();
        (parse(&"f".into(), text, &mut problems), problems)
    }

    #[test]
    fn keys_and_values_know_their_places() {
        let (node, problems) = read("server:\n  port: 8002 # comment\n  host: 'a'\n");
        let Data::Map(entries) = node.data else { panic!("{node:?}") };
        let Data::Map(inner) = &entries[0].node.data else { panic!() };
        assert_eq!((inner[0].written.as_str(), inner[0].place.to_string()), ("server.port", "f:2:3".into()));
        assert_eq!(inner[0].node.place.to_string(), "f:2:9");
        assert_eq!(inner[1].node.data, Data::Text("a".into()));
        assert!(problems.is_empty());
    }

    #[test]
    fn aliases_are_copies_and_cannot_explode() {
        let (node, problems) = read("a: &x [1, 2]\nb: *x\n");
        let Data::Map(entries) = node.data else { panic!() };
        assert_eq!(entries[1].node.place.to_string(), "f:2:4");
        assert!(matches!(&entries[1].node.data, Data::List(list) if list.len() == 2) && problems.is_empty());

        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let last = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", [last.as_str(); 9].join(", "));
        }
        assert!(read(&bomb).1[0].message.contains("more than"), "{:?}", read(&bomb).1);
    }

    #[test]
    fn a_key_given_twice_and_broken_yaml_have_places() {
        assert_eq!(read("a: 1\nb: 2\na: 3\n").1[0].to_string(), "f:3:1: a: given twice, first at f:1:1");
        let broken = &read("a: [1\nb: 2\n").1[0];
        assert!(matches!(broken.place, Place::Spot { line: 2.., .. }), "{broken}");
        assert_eq!(read("a: 1\n---\nb: 2\n").1[0].message, "a second YAML document");
    }
}
