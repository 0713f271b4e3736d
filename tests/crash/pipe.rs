//! A reader that closes the pipe early: `datacoord … | head`.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
};

/// The process ends by SIGPIPE, as other programs do, and prints nothing.
#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    for arguments in [&["config"][..], &["config", "--example"], &["completions", "bash"], &["man"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_datacoord"));
        let ended = command.args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(ended.status.signal(), Some(13), "{arguments:?}: {:?}", ended.status);
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
    }
}
