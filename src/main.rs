//! The `napt` binary: what happens on a panic, then the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // A node starts this program again as the launcher of what it shuts in.
    if let Some(code) = napt_sandbox::launched(&arguments) {
        return code;
    }
    // Tests say by `FAILPOINTS` where it breaks; what users get has no such points.
    let _points = fail::has_failpoints().then(fail::FailScenario::setup);
    std::panic::set_hook(Box::new(|info| {
        let text = format!("{info}");
        eprint_bug(&text);
    }));
    std::panic::catch_unwind(|| napt::cli::main(&arguments)).unwrap_or_else(|_| napt::cli::stopped(&arguments))
}

#[expect(clippy::print_stderr, reason = "the shell may be what panicked")]
fn eprint_bug(text: &str) {
    eprintln!(
        "error: napt has a defect and stopped\n\n{}\n\nhint: please report it with the text above",
        napt::secrets::redact(text)
    );
}
