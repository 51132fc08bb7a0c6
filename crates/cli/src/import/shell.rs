//! Splits a pasted command into words, by the rules of the shell for which it was written: a POSIX shell, cmd
//! of Windows, or PowerShell.
//!
//! Invariant: for a POSIX shell and PowerShell, a variable is an error, and so is a command whose output the
//! shell would insert, because only a shell can replace them. Other text that a shell replaces, such as `~`,
//! `*` and `%NAME%` of cmd, is not changed.

/// The words of a command, and the text after them.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Split {
    pub(super) words: Vec<String>,
    /// The file of `> FILE`, if there is one.
    pub(super) into: Option<String>,
    /// True if a redirection other than `> FILE` was left out, such as `2>/dev/null`.
    pub(super) redirects: bool,
    /// The text after the command. It begins with an operator, as in `| tar xz`, or it is on a new line.
    pub(super) rest: Option<String>,
}

/// Splits a command. The way in which lines continue and quotes are escaped shows for which shell the command
/// was written.
///
/// # Errors
/// Returns what is wrong with the command, in words for the user.
pub(super) fn split(text: &str) -> Result<Split, String> {
    let text = text.replace("\r\n", "\n");
    let continues = |c: char| text.lines().rev().skip(1).any(|line| line.trim_end().ends_with(c));
    if continues('^') || text.contains(" ^\"") {
        let (command, rest) = without_carets(&text)?;
        Ok(Split { words: of_windows(&command), rest, ..Split::default() })
    } else {
        Posix::new(&text, if continues('`') { '`' } else { '\\' }).split()
    }
}

/// Splits a command by the rules of a POSIX shell, even if it looks like a command for another shell.
///
/// # Errors
/// Returns what is wrong with the command, in words for the user.
pub(super) fn split_posix(text: &str) -> Result<Split, String> {
    Posix::new(&text.replace("\r\n", "\n"), '\\').split()
}

/// Returns the command line that cmd passes to a program, and the text after the command. A `^` removes the
/// special meaning of the next character, except between double quotes.
fn without_carets(text: &str) -> Result<(String, Option<String>), String> {
    let (mut out, mut is_quoted) = (String::new(), false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let rest = chars.as_str();
        match c {
            '&' | '|' if !is_quoted && (out.ends_with(' ') || ends_word(c, rest)) => {
                return Ok((out, Some(format!("{c}{}", rest.trim_end()))));
            }
            '<' | '>' if !is_quoted => {
                return Err(format!(
                    "it contains {c}, and only a shell can redirect. Use -o for the name of the file"
                ));
            }
            // A line that is not continued ends the command, unless the next line begins with an option.
            '\n' if !is_quoted && !rest.trim().is_empty() && !rest.trim_start().starts_with('-') => {
                return Ok((out, Some(rest.trim().into())));
            }
            '^' if !is_quoted => match chars.next() {
                // The command continues on the next line, whose first character has no special meaning.
                Some('\n') => out.extend(chars.next()),
                next => out.extend(next),
            },
            '\n' => {
                is_quoted = false;
                out.push(' ');
            }
            _ => {
                is_quoted ^= c == '"';
                out.push(c);
            }
        }
    }
    Ok((out, None))
}

/// Returns true if an operator before this text ends a command. Returns false if the operator is part of a
/// URL without quotes.
fn ends_word(operator: char, rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(|next: char| next.is_whitespace() || next == operator)
}

/// Splits a command line by the rules of the C library of Windows. A backslash is special only before a
/// quote, and `""` between quotes is one quote.
fn of_windows(text: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    let mut chars = text.chars().peekable();
    let mut backslashes = 0;
    while let Some(c) = chars.next() {
        if c == '\\' {
            backslashes += 1;
            continue;
        }
        let is_escaped = c == '"' && backslashes % 2 == 1;
        let kept = if c == '"' { backslashes / 2 } else { backslashes };
        if kept > 0 {
            word.get_or_insert_default().extend(std::iter::repeat_n('\\', kept));
        }
        backslashes = 0;
        match c {
            '"' if !is_escaped => {
                word.get_or_insert_default();
                if is_quoted && chars.next_if_eq(&'"').is_some() {
                    word.get_or_insert_default().push('"');
                } else {
                    is_quoted = !is_quoted;
                }
            }
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if backslashes > 0 {
        word.get_or_insert_default().extend(std::iter::repeat_n('\\', backslashes));
    }
    words.extend(word);
    words
}

/// Splits a command by the rules of a POSIX shell, or by the rules of PowerShell if the escape character is a
/// backquote.
struct Posix<'t> {
    text: &'t str,
    rest: &'t str,
    escape: char,
    word: Option<String>,
    split: Split,
}

impl<'t> Posix<'t> {
    fn new(text: &'t str, escape: char) -> Posix<'t> {
        Posix { text, rest: text, escape, word: None, split: Split::default() }
    }

    fn split(mut self) -> Result<Split, String> {
        while let Some(c) = self.next() {
            match c {
                '\'' => self.single()?,
                '"' => self.double()?,
                '$' if self.escape == '\\' && self.rest.starts_with('\'') => {
                    self.next();
                    self.ansi()?;
                }
                c if c == self.escape => match self.next() {
                    Some('\n') | None => {}
                    Some(' ' | '\t') if self.rest.trim_start_matches([' ', '\t']).starts_with('\n') => {
                        return Err(format!("a line ends with {c} and a blank. Remove the blank"));
                    }
                    Some(c) => self.push(c),
                },
                '$' | '`' => self.variable(c)?,
                '<' if self.word.is_none() => {
                    return Err("it contains <, and only a shell can redirect the input".into());
                }
                '>' => self.redirect()?,
                '|' | ';' | '&' if self.ends_command(c) => {
                    self.split.rest = Some(format!("{c}{}", self.rest.trim_end()));
                    break;
                }
                // A line that is not continued ends the command, unless the next line begins with an option.
                '\n' if !self.rest.trim().is_empty() && !self.rest.trim_start().starts_with('-') => {
                    self.split.rest = Some(self.rest.trim().into());
                    break;
                }
                c if c.is_whitespace() => self.end_word(),
                c => self.push(c),
            }
        }
        self.end_word();
        Ok(self.split)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        match &self.split.into {
            // The name of the file follows `>`.
            Some(name) if name.is_empty() => self.split.into = Some(word),
            _ => self.split.words.push(word),
        }
    }

    /// Reads `'...'`.
    fn single(&mut self) -> Result<(), String> {
        self.word.get_or_insert_default();
        loop {
            match self.next().ok_or("a ' is not closed")? {
                // In PowerShell, a doubled quote stands for one quote.
                '\'' if self.escape == '`' && self.rest.starts_with('\'') => {
                    self.next();
                    self.push('\'');
                }
                '\'' => return Ok(()),
                c => self.push(c),
            }
        }
    }

    /// Reads `"..."`.
    fn double(&mut self) -> Result<(), String> {
        self.word.get_or_insert_default();
        loop {
            match self.next().ok_or("a \" is not closed")? {
                '"' => return Ok(()),
                c if c == self.escape => match self.next().ok_or("a \" is not closed")? {
                    '\n' => {}
                    c if self.escape == '`' || "$`\"\\".contains(c) => self.push(c),
                    c => {
                        self.push('\\');
                        self.push(c);
                    }
                },
                c @ ('$' | '`') => self.variable(c)?,
                c => self.push(c),
            }
        }
    }

    /// Reads `$'...'`, which has the escapes of C. `\x` and octal numbers stand for bytes, and all bytes
    /// together must be UTF-8.
    fn ansi(&mut self) -> Result<(), String> {
        let mut bytes = Vec::new();
        loop {
            match self.next().ok_or("a $' is not closed")? {
                '\'' => break,
                '\\' => {
                    let c = self.next().ok_or("a $' is not closed")?;
                    let c = match c {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'a' => '\u{7}',
                        'b' => '\u{8}',
                        'e' | 'E' => '\u{1b}',
                        'f' => '\u{c}',
                        'v' => '\u{b}',
                        'x' => {
                            bytes.push(self.digits(16, 2)? as u8);
                            continue;
                        }
                        'u' => self.character(4)?,
                        'U' => self.character(8)?,
                        '0'..='7' => {
                            // The first digit was read already, and belongs to the number.
                            self.rest = &self.text[self.text.len() - self.rest.len() - 1..];
                            bytes.push(self.digits(8, 3)? as u8);
                            continue;
                        }
                        c => c,
                    };
                    push_utf8(&mut bytes, c);
                }
                c => push_utf8(&mut bytes, c),
            }
        }
        let text = String::from_utf8(bytes).map_err(|_| "a text in $'...' has bytes that are not UTF-8")?;
        self.word.get_or_insert_default().push_str(&text);
        Ok(())
    }

    /// Reads a hexadecimal number of at most `most` digits, and returns the character with this number.
    fn character(&mut self, most: usize) -> Result<char, String> {
        let number = self.digits(16, most)?;
        char::from_u32(number).ok_or_else(|| "a text in $'...' has an escape that is not a character".into())
    }

    fn digits(&mut self, radix: u32, most: usize) -> Result<u32, String> {
        let length = self.rest.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        u32::from_str_radix(digits, radix)
            .map_err(|_| "a text in $'...' has an escape that is not a character".into())
    }

    /// Returns an error for `$NAME`, `${NAME}`, `$(COMMAND)` and a command between backquotes, because only a
    /// shell can replace them. Any other `$` or backquote becomes a part of the word. `c` is the `$` or the
    /// backquote.
    fn variable(&mut self, c: char) -> Result<(), String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let next = self.rest.chars().next().unwrap_or(' ');
        if c == '$' && !(is_name(next) || "{(".contains(next)) || c == '`' && self.escape == '`' {
            self.push(c);
            return Ok(());
        }
        let shown: String = self.rest.chars().take_while(|c| is_name(*c)).collect();
        Err(match c {
            '$' if !shown.is_empty() => format!("it contains ${shown}, and only a shell knows its value"),
            _ => format!(
                "it contains {c}{}, which only a shell can replace",
                if c == '$' { next } else { ' ' }.to_string().trim()
            ),
        })
    }

    /// Reads `> FILE`. `>> FILE` is an error. Other redirections, such as `2>/dev/null`, are left out.
    fn redirect(&mut self) -> Result<(), String> {
        let number = self.word.take_if(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()));
        self.end_word();
        let is_output = number.as_deref().is_none_or(|number| number == "1");
        if is_output && self.rest.starts_with('>') {
            return Err("it contains >>, and downhaul cannot append to a file".into());
        }
        self.rest = self.rest.trim_start_matches('>').trim_start_matches(' ');
        if is_output {
            self.split.into = Some(String::new());
        } else {
            self.split.redirects = true;
            let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
            self.rest = &self.rest[end..];
        }
        Ok(())
    }

    /// Returns true if the operator `c` ends the command. Otherwise, the operator belongs to a URL that was
    /// pasted without quotes.
    fn ends_command(&self, c: char) -> bool {
        self.word.is_none() || ends_word(c, self.rest)
    }
}

fn push_utf8(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        split(text).unwrap_or_else(|why| panic!("{text}: {why}")).words
    }

    #[test]
    fn a_posix_shell_and_powershell_quote_in_their_own_ways() {
        assert_eq!(words(r#"curl 'a b' "c \"d\" \x" e\ f ''"#), ["curl", "a b", r#"c "d" \x"#, "e f", ""]);
        assert_eq!(
            words("curl 'u' \\\n  -H 'a: b' \\\n  --compressed"),
            ["curl", "u", "-H", "a: b", "--compressed"]
        );
        assert_eq!(words(r"curl $'it\'s\u0021\x41\101\n'"), ["curl", "it's!AA\n"]);
        assert_eq!(words(r"curl $'\xc3\xa4\303\244\u00e4'"), ["curl", "äää"]);
        assert_eq!(words("curl u'x'\"y\"\\z"), ["curl", "uxyz"]);
        assert_eq!(words("curl `\n  'u''v' `\n  -H \"a: `\"b`\"\""), ["curl", "u'v", "-H", "a: \"b\""]);
        assert_eq!(words("curl u\r\n  -H 'a: b'\r\n"), ["curl", "u", "-H", "a: b"]);
        assert_eq!(words("curl 'a$b' \"100$\" 5$"), ["curl", "a$b", "100$", "5$"]);
    }

    #[test]
    fn cmd_quotes_with_carets() {
        let text = "curl ^\"https://h/a?b=1^&c=2^\" ^\r\n  -H ^\"x: ^\\^\"y^\\^\"^\" ^\r\n  --compressed";
        assert_eq!(words(text), ["curl", "https://h/a?b=1&c=2", "-H", "x: \"y\"", "--compressed"]);
        let older = "curl \"https://h/a?b=1&c=2\" ^\n  -H \"x: \\\"y^z\\\"\" ^\n  -d \"a\"\"b\" C:\\d\\";
        assert_eq!(words(older), ["curl", "https://h/a?b=1&c=2", "-H", "x: \"yz\"", "-d", "a\"b", "C:\\d\\"]);
    }

    #[test]
    fn the_text_after_a_command_is_not_part_of_it() {
        let one = split("curl https://h/a?b=1&c=2 -L | tar xz").expect("a command");
        assert_eq!(one.words, ["curl", "https://h/a?b=1&c=2", "-L"]);
        assert_eq!(one.rest.as_deref(), Some("| tar xz"));
        let one = split("curl u 2>/dev/null > 'my file' && echo").expect("a command");
        assert_eq!((one.words, one.into.as_deref()), (vec!["curl".to_string(), "u".into()], Some("my file")));
        assert_eq!(one.rest.as_deref(), Some("&& echo"));
        assert_eq!(split("curl u\ncurl v").expect("a command").rest.as_deref(), Some("curl v"));
        for windows in
            ["curl ^\"u^\" &\ncurl ^\"v^\"", "curl ^\"u^\" ^\n  -L\ncurl v", "curl ^\"u^\" | tar x"]
        {
            let one = split(windows).expect(windows);
            assert!(one.words.iter().all(|word| ["curl", "u", "-L"].contains(&word.as_str())), "{windows}");
            assert!(one.rest.is_some(), "{windows}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_split_without_a_panic(text in r#"(curl |\$'|[\\\\'"^`$>|&;0-9xuU \n\r]|\PC){0,40}"#) {
            let _ = split(&text);
            let _ = split_posix(&text);
        }
    }

    #[test]
    fn text_that_only_a_shell_can_replace_is_an_error() {
        for (text, says) in [
            ("curl -H \"Authorization: Bearer $TOKEN\" u", "it contains $TOKEN"),
            ("curl $(cat url)", "it contains $("),
            ("curl `cat url`", "which only a shell can replace"),
            ("curl 'u", "a ' is not closed"),
            ("curl \"u", "a \" is not closed"),
            ("curl $'u", "a $' is not closed"),
            ("curl $'\\ud800'", "not a character"),
            ("curl $'\\xe4'", "not UTF-8"),
            ("curl u \\ \n -L", "ends with \\ and a blank"),
            ("curl ^\"u^\" > f", "it contains >"),
        ] {
            let error = split(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
