//! The text engine's data: dictionaries, arrays, numbers, truth values and strings in a syntax close to PDF's.

/// Dictionaries and arrays in each other.
const MAX_DEPTH: u32 = 64;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Dictionary(Vec<(String, Node)>),
    Array(Vec<Node>),
    Number(f64),
    Text(String),
    /// Truth values and names.
    Word,
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let Node::Dictionary(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Empty unless it is an array.
    pub(super) fn items(&self) -> &[Node] {
        if let Node::Array(items) = self { items } else { &[] }
    }

    pub(super) fn number(&self) -> Option<f64> {
        if let Node::Number(number) = self { Some(*number) } else { None }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Node::Text(text) = self { Some(text) } else { None }
    }
}

/// `None` where it is broken.
pub(super) fn parse(data: &[u8]) -> Option<Node> {
    Parser { rest: data, depth: 0 }.node()
}

struct Parser<'a> {
    rest: &'a [u8],
    depth: u32,
}

impl Parser<'_> {
    fn skip_space(&mut self) {
        let space = self.rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0).count();
        self.rest = &self.rest[space..];
    }

    fn eat(&mut self, token: &[u8]) -> bool {
        self.skip_space();
        let found = self.rest.strip_prefix(token);
        if let Some(rest) = found {
            self.rest = rest;
        }
        found.is_some()
    }

    /// Letters, digits and signs up to what ends a word.
    fn word(&mut self) -> &str {
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"<>[]()/\0".contains(byte);
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        std::str::from_utf8(word).unwrap_or_default()
    }

    fn node(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let node = if self.eat(b"<<") {
            let mut entries = Vec::new();
            while !self.eat(b">>") {
                if !self.eat(b"/") {
                    return None;
                }
                let key = self.word().to_owned();
                entries.push((key, self.node()?));
            }
            Node::Dictionary(entries)
        } else if self.eat(b"[") {
            let mut items = Vec::new();
            while !self.eat(b"]") {
                items.push(self.node()?);
            }
            Node::Array(items)
        } else if self.eat(b"(") {
            Node::Text(self.string()?)
        } else if self.eat(b"/") {
            self.word();
            Node::Word
        } else {
            let word = self.word();
            if word.is_empty() {
                return None;
            }
            word.parse().map_or(Node::Word, Node::Number)
        };
        self.depth -= 1;
        Some(node)
    }

    /// The rest of a string: UTF-16 behind a byte order mark, else bytes; `\` stands before brackets and itself.
    fn string(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b')' => break,
                b'\\' => {
                    let (&escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    bytes.push(escaped);
                }
                _ => bytes.push(byte),
            }
        }
        Some(match bytes.strip_prefix(&[0xfe, 0xff]) {
            Some(utf16) => {
                let units: Vec<u16> = utf16.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
                String::from_utf16_lossy(&units)
            }
            None => String::from_utf8_lossy(&bytes).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nested_values_and_escapes() {
        let mut data = b"\n\n<< /A [ 1 -.5 true ] /B << /T (".to_vec();
        data.extend([0xfe, 0xff, 0, b'a', 0, b'\\', b')', 0, b'z']);
        data.extend(b") >> >>");
        let node = parse(&data).unwrap();
        assert_eq!(node.get("A").unwrap().items(), [Node::Number(1.0), Node::Number(-0.5), Node::Word]);
        assert_eq!(node.get("B").unwrap().get("T").unwrap().text(), Some("a)z"));
    }

    #[test]
    fn broken_data_is_nothing() {
        for data in [&b"<< /A"[..], b"[ 1", b"(abc", b"<< 1 >>", b"", &b"[".repeat(100_000)] {
            assert_eq!(parse(data), None, "{}", String::from_utf8_lossy(data));
        }
    }
}
