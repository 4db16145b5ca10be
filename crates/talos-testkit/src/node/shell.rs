//! The program in a debug container: a small shell, without any I/O of its own.

use std::collections::BTreeMap;

/// What the program has to say, and whether it has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    pub(crate) exit: Option<i32>,
}

/// Exit codes of shells: for a command that is not there, and for the end by signal 0.
const NOT_FOUND: i32 = 127;
const BY_SIGNAL: i32 = 128;
const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;
/// What a terminal makes of Control-C and Control-D.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const SIGINT: i32 = 2;
const PROMPT: &[u8] = b"/ # ";

/// A shell that knows `echo`, `cat`, `env`, `exit`, `size`, `trap` and `true`.
///
/// `cat` repeats its input until that ends, `size` prints the terminal's size as `rows columns`, and after
/// `trap` signals are printed instead of obeyed, apart from SIGKILL.
#[derive(Debug)]
pub(crate) struct Shell {
    env: BTreeMap<String, String>,
    tty: bool,
    /// Width and height.
    size: (i32, i32),
    line: Vec<u8>,
    /// `cat` has the input.
    cat: bool,
    trap: bool,
    /// Exit code of the last command.
    last: i32,
    exit: Option<i32>,
}

impl Shell {
    /// Starts the program. `args` is a shell (nothing, `sh`, `/bin/sh`), a shell with `-c` and a script, or a
    /// command of the shell's.
    pub(crate) fn start(args: &[String], env: BTreeMap<String, String>, tty: bool) -> (Self, Output) {
        let mut shell = Self {
            env,
            tty,
            size: (80, 24),
            line: Vec::new(),
            cat: false,
            trap: false,
            last: 0,
            exit: None,
        };
        let mut output = Vec::new();
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] | ["sh" | "/bin/sh" | "bash"] => shell.prompt(&mut output),
            ["sh" | "/bin/sh" | "bash", "-c", script, ..] => {
                for command in script.split([';', '\n']) {
                    shell.run(command, &mut output);
                }
                shell.end_unless_reading();
            }
            command => {
                shell.run(&command.join(" "), &mut output);
                shell.end_unless_reading();
            }
        }
        let output = shell.said(output);
        (shell, output)
    }

    /// Takes input.
    pub(crate) fn input(&mut self, bytes: &[u8]) -> Output {
        let mut output = Vec::new();
        for byte in bytes {
            if self.exit.is_some() {
                break;
            }
            match *byte {
                INTERRUPT if self.tty => {
                    output.extend_from_slice(b"^C\n");
                    output.extend(self.signal(SIGINT).bytes);
                }
                END if self.tty => self.end_of_input(&mut output),
                byte => {
                    // A terminal shows what is typed, and its Enter key is a carriage return.
                    let byte = if self.tty && byte == b'\r' { b'\n' } else { byte };
                    if self.tty {
                        output.push(byte);
                    }
                    self.line.push(byte);
                    if byte == b'\n' {
                        let line = std::mem::take(&mut self.line);
                        self.whole_line(&line, &mut output);
                    }
                }
            }
        }
        self.said(output)
    }

    /// The input has ended. With a terminal this hangs up.
    pub(crate) fn end(&mut self) -> Output {
        let mut output = Vec::new();
        if self.tty {
            self.exit.get_or_insert(BY_SIGNAL + SIGHUP);
        } else {
            let line = std::mem::take(&mut self.line);
            if !line.is_empty() {
                self.whole_line(&line, &mut output);
            }
            if self.cat {
                self.cat = false;
                self.last = 0;
            }
            let last = self.last;
            self.exit.get_or_insert(last);
        }
        self.said(output)
    }

    pub(crate) fn signal(&mut self, number: i32) -> Output {
        let mut output = Vec::new();
        if self.trap && number != SIGKILL {
            output.extend_from_slice(format!("signal {number}\n").as_bytes());
        } else {
            self.exit.get_or_insert(BY_SIGNAL + number);
        }
        self.said(output)
    }

    pub(crate) fn resize(&mut self, width: i32, height: i32) {
        self.size = (width, height);
    }

    fn whole_line(&mut self, line: &[u8], output: &mut Vec<u8>) {
        if self.cat {
            output.extend_from_slice(line);
            return;
        }
        let text = String::from_utf8_lossy(line).into_owned();
        self.run(&text, output);
        self.prompt(output);
    }

    /// Control-D at the beginning of a line.
    fn end_of_input(&mut self, output: &mut Vec<u8>) {
        if self.cat {
            self.cat = false;
            self.prompt(output);
        } else {
            let last = self.last;
            self.exit.get_or_insert(last);
        }
    }

    fn run(&mut self, line: &str, output: &mut Vec<u8>) {
        if self.exit.is_some() {
            return;
        }
        let line = line.trim();
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        self.last = 0;
        match command {
            "" | "true" => {}
            "echo" => output.extend_from_slice(format!("{}\n", rest.trim()).as_bytes()),
            "cat" => self.cat = true,
            "env" => {
                for (name, value) in &self.env {
                    output.extend_from_slice(format!("{name}={value}\n").as_bytes());
                }
            }
            "size" => output.extend_from_slice(format!("{} {}\n", self.size.1, self.size.0).as_bytes()),
            "trap" => self.trap = true,
            // Exit codes are one byte.
            "exit" => self.exit = Some(rest.trim().parse::<i32>().unwrap_or_default() & 0xff),
            other => {
                output.extend_from_slice(format!("sh: {other}: not found\n").as_bytes());
                self.last = NOT_FOUND;
            }
        }
    }

    fn end_unless_reading(&mut self) {
        if !self.cat {
            let last = self.last;
            self.exit.get_or_insert(last);
        }
    }

    fn prompt(&self, output: &mut Vec<u8>) {
        if self.tty && !self.cat && self.exit.is_none() {
            output.extend_from_slice(PROMPT);
        }
    }

    /// A terminal ends lines with two characters.
    fn said(&self, bytes: Vec<u8>) -> Output {
        let bytes = if self.tty {
            let line_ends = bytes.iter().flat_map(|byte| match byte {
                b'\n' => b"\r\n".as_slice(),
                other => std::slice::from_ref(other),
            });
            line_ends.copied().collect()
        } else {
            bytes
        };
        Output {
            bytes,
            exit: self.exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(args: &[&str], tty: bool) -> (Shell, Output) {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        Shell::start(&args, env, tty)
    }

    fn output(bytes: &str, exit: Option<i32>) -> Output {
        Output {
            bytes: bytes.into(),
            exit,
        }
    }

    #[test]
    fn commands_come_as_arguments_or_as_lines() {
        assert_eq!(start(&["echo", "a", "b"], false).1, output("a b\n", Some(0)));
        assert_eq!(
            start(&["sh", "-c", "env; exit 259"], false).1,
            output("A=1\n", Some(3))
        );
        assert_eq!(
            start(&["nothing"], false).1,
            output("sh: nothing: not found\n", Some(127))
        );
        let (mut shell, first) = start(&["sh"], false);
        assert_eq!(first, output("", None));
        assert_eq!(shell.input(b"echo o"), output("", None));
        assert_eq!(
            shell.input(b"ne\necho two\nexit 4\necho three\n"),
            output("one\ntwo\n", Some(4))
        );
    }

    #[test]
    fn cat_repeats_its_input_until_that_ends() {
        let (mut shell, first) = start(&["cat"], false);
        assert_eq!(first, output("", None));
        assert_eq!(shell.input(b"a\nb"), output("a\n", None));
        assert_eq!(shell.end(), output("b", Some(0)));
    }

    #[test]
    fn a_terminal_echoes_prompts_and_hangs_up() {
        let (mut shell, first) = start(&[], true);
        assert_eq!(first, output("/ # ", None));
        assert_eq!(shell.input(b"size\r"), output("size\r\n24 80\r\n/ # ", None));
        shell.resize(100, 30);
        assert_eq!(shell.input(b"size\n"), output("size\r\n30 100\r\n/ # ", None));
        assert_eq!(shell.end(), output("", Some(129)));
        let (mut shell, _) = start(&[], true);
        assert_eq!(shell.input(&[END]), output("", Some(0)));
    }

    #[test]
    fn signals_end_it_unless_they_are_caught() {
        assert_eq!(start(&[], false).0.signal(15), output("", Some(143)));
        let (mut shell, _) = start(&[], false);
        shell.input(b"trap\n");
        assert_eq!(shell.signal(15), output("signal 15\n", None));
        assert_eq!(shell.signal(9), output("", Some(137)));
    }
}
