//! A real `napt dev`: the binary in its own process on free ports, and what it says line by line.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::Sandbox;

/// It is killed when dropped.
pub struct TestDev {
    process: Child,
    lines: Receiver<String>,
}

impl TestDev {
    /// Starts it in a folder of the sandbox, and waits until it awaits changes.
    #[track_caller]
    pub fn start(sandbox: &Sandbox, folder: &str, flags: &[&str]) -> Self {
        let mut dev = Self::begin(sandbox, folder, flags);
        dev.until("Watching");
        dev
    }

    /// Starts it, and waits for nothing.
    pub fn begin(sandbox: &Sandbox, folder: &str, flags: &[&str]) -> Self {
        let mut command = sandbox.command(&["-C", folder, "dev", "--node-port", "0", "--registry-port", "0"]);
        let mut process =
            command.args(flags).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("napt starts");
        let (sender, lines) = channel();
        let stderr = BufReader::new(process.stderr.take().expect("a pipe"));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // A test that has ended reads no more.
                let _ = sender.send(line);
            }
        });
        TestDev { process, lines }
    }

    /// The lines up to the next one with `text` in it, that one included, without the spaces around them.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> Vec<String> {
        self.until_any(&[text])
    }

    /// The same with several texts, of which one is enough.
    #[track_caller]
    pub fn until_any(&mut self, texts: &[&str]) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        while !seen.last().is_some_and(|line| texts.iter().any(|text| line.contains(text))) {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => seen.push(line.trim().to_owned()),
                Err(error) => panic!("waited for {texts:?} ({error}):\n{}", seen.join("\n")),
            }
        }
        seen
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal, and waits for its end: the exit code and what it said after the last line that was read.
    #[track_caller]
    pub fn end(mut self, signal: Signal) -> (Option<i32>, Vec<String>) {
        kill_process(Pid::from_child(&self.process), signal).expect("it is there");
        let code = self.process.wait().expect("it ends").code();
        (code, self.lines.iter().map(|line| line.trim().to_owned()).collect())
    }
}

impl Drop for TestDev {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
