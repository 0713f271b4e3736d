//! Arrows between files, read from the paths in the source text and resolved as a compiler would.
//!
//! An arrow goes from the file that names an item to the file that defines it. Re-exports are followed to the origin, so
//! an arrow to `mod.rs` means that it defines the item itself. `mod x;`, `pub use` and the import of a whole module make
//! no arrow; a path through them does. Code for tests is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Path of a module inside the crate; the crate itself is empty.
pub type ModulePath = Vec<String>;

/// For each pair of files the names of the second that the first uses.
pub type Arrows = BTreeMap<(ModulePath, ModulePath), BTreeSet<String>>;

/// An imported name.
struct Import {
    /// `*` for everything.
    name: String,
    target: Vec<String>,
    public: bool,
}

#[derive(Default)]
struct File {
    imports: Vec<Import>,
    /// Paths outside imports, with the module in which they stand.
    paths: Vec<(ModulePath, Vec<String>)>,
    /// Names of the items that it defines.
    defined: BTreeSet<String>,
}

/// All files of a crate by module.
pub struct Crate {
    files: BTreeMap<ModulePath, File>,
}

impl Crate {
    pub fn read(src: &Path) -> Self {
        let mut texts = BTreeMap::new();
        read_folder(src, &[], &mut texts);
        Self::parse(&texts)
    }

    /// Modules by path, with their text.
    pub fn parse(texts: &BTreeMap<ModulePath, String>) -> Self {
        let mut files = BTreeMap::new();
        let mut tests = BTreeSet::new();
        for (module, text) in texts {
            let tokens = tokens(text);
            let mut parser = Parser { tokens: &tokens, at: 0, file: File::default(), tests: &mut tests };
            parser.items(module);
            files.insert(module.clone(), parser.file);
        }
        files.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Self { files }
    }

    pub fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (module, file) in &self.files {
            let mut add = |target: &[String]| {
                if let Some((to, name)) = self.origin(target, 0)
                    && to != *module
                {
                    arrows.entry((module.clone(), to)).or_default().insert(name);
                }
            };
            let seen: BTreeSet<&str> =
                file.paths.iter().filter_map(|(_, path)| path.first()).map(String::as_str).collect();
            for import in &file.imports {
                if !import.public || seen.contains(import.name.as_str()) {
                    add(&import.target);
                }
            }
            for (scope, path) in &file.paths {
                if let Some(target) = self.absolute(scope, file, path) {
                    add(&target);
                }
            }
        }
        arrows
    }

    /// The path from the root of the crate; none if it leads elsewhere.
    fn absolute(&self, scope: &[String], file: &File, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let mut target = match first.as_str() {
            "crate" => return Some(rest.to_vec()),
            "self" => scope.to_vec(),
            "super" => scope.split_last()?.1.to_vec(),
            // A single name is imported, and the import has the arrow, or it is local.
            _ if rest.is_empty() => return None,
            name => match file.imports.iter().find(|import| import.name == name) {
                Some(import) => import.target.clone(),
                None => {
                    let child = [scope, std::slice::from_ref(first)].concat();
                    self.files.contains_key(&child).then_some(child)?
                }
            },
        };
        for name in rest {
            match name.as_str() {
                "super" => drop(target.pop()?),
                _ => target.push(name.clone()),
            }
        }
        Some(target)
    }

    /// The file that defines the item of an absolute path, and the name of the item. None if the path is a module.
    fn origin(&self, target: &[String], hops: usize) -> Option<(ModulePath, String)> {
        let module = (0..=target.len()).rev().map(|n| &target[..n]).find(|path| self.files.contains_key(*path))?;
        let (name, rest) = target.get(module.len()..)?.split_first()?;
        if name == "*" {
            return Some((module.to_vec(), name.clone()));
        }
        let file = self.files.get(module)?;
        let follow = |target: &[String], name: &[String]| {
            // Bounded, because an unusual import could lead back to itself.
            if hops < 16 { self.origin(&[target, name, rest].concat(), hops + 1) } else { None }
        };
        if let Some(import) = file.imports.iter().find(|import| import.name == *name) {
            return follow(&import.target, &[]);
        }
        if !file.defined.contains(name) {
            let globs = file.imports.iter().filter(|import| import.name == "*");
            let name = std::slice::from_ref(name);
            for import in globs {
                let module = &import.target[..import.target.len() - 1];
                if self.files.get(module).is_some_and(|file| file.defined.contains(&name[0])) {
                    return follow(module, name);
                }
            }
        }
        Some((module.to_vec(), name.clone()))
    }
}

fn read_folder(folder: &Path, module: &[String], texts: &mut BTreeMap<ModulePath, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let child = [module, std::slice::from_ref(&name)].concat();
        if path.is_dir() {
            read_folder(&path, &child, texts);
        } else if path.extension().is_some_and(|e| e == "rs") {
            match name.as_str() {
                // Another crate.
                "main" if module.is_empty() => {}
                "lib" | "mod" => drop(texts.insert(module.to_vec(), fs::read_to_string(&path).unwrap())),
                _ => drop(texts.insert(child, fs::read_to_string(&path).unwrap())),
            }
        }
    }
}

/// Words, `::` and single characters; comments, texts and lifetimes are gone.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let get = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        match (get(at), get(at + 1)) {
            ('/', '/') => {
                while at < chars.len() && get(at) != '\n' {
                    at += 1;
                }
            }
            ('/', '*') => {
                while at < chars.len() && (get(at), get(at + 1)) != ('*', '/') {
                    at += 1;
                }
                at += 2;
            }
            ('"', _) => at = end_of_text(&chars, at + 1),
            ('r', '"' | '#') | ('b', 'r') if let Some(end) = end_of_raw_text(&chars, at) => at = end,
            // A character, unless it is a lifetime.
            ('\'', '\\') => {
                at += 3;
                while at < chars.len() && get(at - 1) != '\'' {
                    at += 1;
                }
            }
            ('\'', _) if get(at + 2) == '\'' => at += 3,
            ('\'', _) => {
                at += 1;
                while is_word(get(at)) {
                    at += 1;
                }
            }
            (':', ':') => {
                at += 2;
                tokens.push("::".to_owned());
            }
            (c, _) if is_word(c) => {
                while is_word(get(at)) {
                    at += 1;
                }
                tokens.push(chars[start..at].iter().collect());
            }
            (c, _) => {
                at += 1;
                if !c.is_whitespace() {
                    tokens.push(c.to_string());
                }
            }
        }
    }
    tokens
}

/// Behind the closing quote.
fn end_of_text(chars: &[char], mut at: usize) -> usize {
    while let Some(c) = chars.get(at) {
        match c {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Behind `r#"…"#`, if one begins here.
fn end_of_raw_text(chars: &[char], mut at: usize) -> Option<usize> {
    while matches!(chars.get(at), Some('b' | 'r')) {
        at += 1;
    }
    let marks = chars.get(at..)?.iter().take_while(|c| **c == '#').count();
    at += marks;
    (chars.get(at) == Some(&'"')).then_some(())?;
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', marks)).collect();
    let found = chars.get(at + 1..)?.windows(marks + 1).position(|w| w == closing)?;
    Some(at + 1 + found + closing.len())
}

struct Parser<'t> {
    tokens: &'t [String],
    at: usize,
    file: File,
    /// Modules that are only compiled for tests.
    tests: &'t mut BTreeSet<ModulePath>,
}

impl Parser<'_> {
    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    /// Reads up to the brace that closes the module `scope`.
    fn items(&mut self, scope: &[String]) {
        let mut depth = 0usize;
        let mut public = false;
        while self.at < self.tokens.len() {
            match (self.peek(0), self.peek(1)) {
                ("#", "[") => {
                    if self.attribute_is_for_tests() {
                        self.skip_item(scope);
                    }
                    continue;
                }
                ("pub", "(") => {
                    public = true;
                    while self.peek(0) != ")" {
                        self.at += 1;
                    }
                }
                ("pub", _) => public = true,
                ("use", _) => {
                    self.at += 1;
                    self.import(scope, Vec::new(), public);
                    public = false;
                    continue;
                }
                ("mod", name) if self.peek(2) == "{" => {
                    let inner = [scope, &[name.to_owned()]].concat();
                    self.at += 3;
                    self.items(&inner);
                    public = false;
                    continue;
                }
                ("{", _) => depth += 1,
                ("}", _) if depth == 0 => {
                    self.at += 1;
                    return;
                }
                ("}", _) => depth -= 1,
                ("fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union", name) => {
                    // Includes methods: extra names do no harm.
                    self.file.defined.insert(name.to_owned());
                    self.at += 1;
                    public = false;
                }
                (word, _) if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                    let path = self.path();
                    self.file.paths.push((scope.to_vec(), path));
                    public = false;
                    continue;
                }
                _ => public = false,
            }
            self.at += 1;
        }
    }

    /// Reads `a::b::c`, up to generic arguments.
    fn path(&mut self) -> Vec<String> {
        let mut path = vec![self.peek(0).to_owned()];
        self.at += 1;
        while self.peek(0) == "::" && self.peek(1).starts_with(|c: char| c.is_alphabetic() || c == '_') {
            path.push(self.peek(1).to_owned());
            self.at += 2;
        }
        path
    }

    /// Reads one tree of an import below `prefix`. Stops at `,` and `}`, or behind `;`.
    fn import(&mut self, scope: &[String], mut prefix: Vec<String>, public: bool) {
        loop {
            match self.peek(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while self.peek(0) != "}" && self.at < self.tokens.len() {
                        self.import(scope, prefix.clone(), public);
                        if self.peek(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    if self.peek(0) == ";" {
                        self.at += 1;
                    }
                    return;
                }
                "as" => {
                    let name = self.peek(1).to_owned();
                    self.at += 2;
                    self.add_import(scope, &prefix, Some(name), public);
                    prefix.clear();
                }
                end @ ("," | "}" | ";" | "") => {
                    let is_last = end == ";";
                    if !prefix.is_empty() {
                        self.add_import(scope, &prefix, None, public);
                    }
                    if is_last {
                        self.at += 1;
                    }
                    return;
                }
                name => {
                    // `self` at the end of a path stands for the path in front of it.
                    if name != "self" || prefix.is_empty() {
                        prefix.push(name.to_owned());
                    }
                    self.at += 1;
                }
            }
        }
    }

    fn add_import(&mut self, scope: &[String], path: &[String], name: Option<String>, public: bool) {
        let Some(last) = path.last() else { return };
        let name = name.unwrap_or_else(|| last.clone());
        let mut target = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => scope.to_vec(),
            Some("super") => scope.split_last().map_or_else(Vec::new, |(_, parent)| parent.to_vec()),
            // A child module, or another crate: then no file has this path.
            Some(first) => [scope, &[first.to_owned()]].concat(),
            None => return,
        };
        for step in &path[1..] {
            match step.as_str() {
                "super" => drop(target.pop()),
                _ => target.push(step.clone()),
            }
        }
        self.file.imports.push(Import { name, target, public });
    }

    /// Skips an attribute. True if it is `#[cfg(test)]` or similar.
    fn attribute_is_for_tests(&mut self) -> bool {
        let is_inner = self.peek(1) == "!";
        let mut words = Vec::new();
        let mut depth = 0;
        loop {
            match self.peek(0) {
                "[" => depth += 1,
                "]" => depth -= 1,
                "" => return false,
                word => words.push(word.to_owned()),
            }
            self.at += 1;
            if depth == 0 && words.len() > 1 {
                break;
            }
        }
        let has = |word: &str| words.iter().any(|w| w == word);
        !is_inner && has("cfg") && has("test") && !has("not")
    }

    /// Skips the item, field or statement after an attribute.
    fn skip_item(&mut self, scope: &[String]) {
        while self.peek(0) == "#" {
            self.attribute_is_for_tests();
        }
        let start = self.at;
        let mut depth = 0;
        while self.at < self.tokens.len() {
            let words = &self.tokens[start..self.at];
            let has = |word: &str| words.iter().any(|w| w == word);
            match self.peek(0) {
                "(" | "[" | "{" => depth += 1,
                "}" if depth == 0 => break,
                ")" | "]" => depth -= 1,
                "}" => {
                    depth -= 1;
                    if depth == 0 && !has("use") {
                        self.at += 1;
                        break;
                    }
                }
                ";" if depth == 0 => {
                    self.at += 1;
                    break;
                }
                "," if depth == 0 && !has("fn") && !has("impl") => {
                    self.at += 1;
                    break;
                }
                _ => {}
            }
            self.at += 1;
        }
        let item = &self.tokens[start..self.at];
        if let Some(at) = item.iter().position(|word| word == "mod")
            && item.get(at + 2).is_some_and(|word| word == ";")
        {
            self.tests.insert([scope, &item[at + 1..at + 2]].concat());
        }
    }
}

/// A circle: parts of the folder `of` that use each other, each the next one, the last the first.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle {
    pub of: ModulePath,
    pub parts: Vec<String>,
    /// For each part one arrow to the next: its files and names.
    pub because: Vec<String>,
}

impl std::fmt::Display for Circle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = if self.of.is_empty() { "the crate".to_owned() } else { self.of.join("::") };
        let first = self.parts.first().map_or("", String::as_str);
        writeln!(f, "{of}: {} -> {first}", self.parts.join(" -> "))?;
        self.because.iter().try_for_each(|arrow| writeln!(f, "    {arrow}"))
    }
}

/// For each folder the shortest circles between its parts, at least one of each set of parts that reach each other. Parts
/// are the files and folders directly inside it, and its own `mod.rs`. Deeper files count for the part that has them.
pub fn circles(arrows: &Arrows) -> Vec<Circle> {
    type Graph = BTreeMap<String, BTreeMap<String, String>>;
    let mut folders: BTreeMap<ModulePath, Graph> = BTreeMap::new();
    for ((from, to), names) in arrows {
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        let part = |of: &ModulePath| of.get(shared).cloned().unwrap_or_else(|| "mod.rs".to_owned());
        let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let because = format!("{} uses {}: {names}", from.join("::"), to.join("::"));
        let graph = folders.entry(from[..shared].to_vec()).or_default();
        graph.entry(part(from)).or_default().entry(part(to)).or_insert(because);
    }
    let mut found = Vec::new();
    for (of, graph) in folders {
        let mut done = BTreeSet::new();
        for start in graph.keys() {
            if done.contains(start) {
                continue;
            }
            if let Some(parts) = shortest(start, |part| graph.get(part).into_iter().flat_map(BTreeMap::keys)) {
                done.extend(parts.iter().cloned());
                let next = parts.iter().cycle().skip(1);
                let because = parts.iter().zip(next).map(|(a, b)| graph[a][b].clone()).collect();
                found.push(Circle { of: of.clone(), parts, because });
            }
        }
    }
    found
}

/// The shortest way from `start` back to it.
fn shortest<'g, I: Iterator<Item = &'g String>>(start: &String, next: impl Fn(&str) -> I) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for part in next(way.last()?) {
                if part == start {
                    return Some(way);
                }
                if seen.insert(part.clone()) {
                    longer.push([way.as_slice(), std::slice::from_ref(part)].concat());
                }
            }
        }
        ways = longer;
    }
    None
}
