//! The terminal in raw mode, on its alternate screen, and the signals that concern it. The terminal is restored when the
//! program ends, also by a panic or a signal.

use std::io::{self, BufWriter, Stdout, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ratatui::Terminal;
use ratatui::backend::TermionBackend;
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::{flag, low_level::pipe};

/// The modes of the terminal before this program changed them, while they are changed. The panic hook needs them, too.
static EARLIER_MODES: Mutex<Option<Termios>> = Mutex::new(None);

/// Selects the alternate screen and hides the cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
/// Resets colors, shows the cursor and selects the normal screen.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";

/// Standard output. Errors are ignored: without a terminal, input ends, or SIGHUP arrives, and then the program ends. An
/// error in the destructor of `Terminal` would print to a terminal that is gone, and panic.
pub(super) struct TerminalOutput(BufWriter<Stdout>);

impl Write for TerminalOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// The terminal. Dropping it restores the earlier modes.
pub(super) struct Screen {
    pub(super) terminal: Terminal<TermionBackend<TerminalOutput>>,
}

impl Screen {
    /// Takes over the terminal.
    pub(super) fn enter() -> io::Result<Screen> {
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            earlier(panic);
        }));
        change_modes()?;
        let output = TerminalOutput(BufWriter::with_capacity(64 << 10, io::stdout()));
        match Terminal::new(TermionBackend::new(output)) {
            Ok(terminal) => Ok(Screen { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Takes over the terminal again, after another program has used it, and forgets what is drawn.
    pub(super) fn enter_again(&mut self) -> io::Result<()> {
        change_modes()?;
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Gives the terminal back to the shell and stops, until SIGCONT arrives.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        restore();
        // As the terminal does for Ctrl-Z: the other programs of a pipeline stop, too.
        kill_current_process_group(Signal::TSTP)?;
        self.enter_again()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Switches the terminal to raw mode and the alternate screen.
fn change_modes() -> io::Result<()> {
    let stdin = io::stdin();
    let mut modes = tcgetattr(&stdin)?;
    // Without restoring, the current modes may be those of this program.
    EARLIER_MODES.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| modes.clone());
    modes.make_raw();
    tcsetattr(&stdin, OptionalActions::Now, &modes)?;
    write(ENTER)
}

/// Restores the terminal, if it is changed.
fn restore() {
    if let Some(modes) = EARLIER_MODES.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut output = io::stdout();
    output.write_all(bytes).and_then(|()| output.flush())
}

/// The signals that have arrived.
pub(super) struct Signals {
    /// Readable after any signal.
    awake: UnixStream,
    /// The signal that ends the program, or 0.
    ending: Arc<AtomicUsize>,
    is_continued: Arc<AtomicBool>,
}

impl Signals {
    /// Receives signals from now on. SIGWINCH only interrupts the wait: every drawing asks for the size.
    pub(super) fn receive() -> io::Result<Signals> {
        let (awake, sender) = UnixStream::pair()?;
        awake.set_nonblocking(true)?;
        let (ending, is_continued) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            flag::register_usize(signal, Arc::clone(&ending), signal as usize)?;
        }
        flag::register(SIGCONT, Arc::clone(&is_continued))?;
        // Registered last, so that the flags are set before the wait ends.
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCONT, SIGWINCH] {
            pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(Signals { awake, ending, is_continued })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.awake.as_fd()
    }

    /// Makes the descriptor wait for the next signal. Returns the signal that ends the program, if there was one.
    pub(super) fn take_ending(&mut self) -> Option<u8> {
        let mut bytes = [0; 64];
        while io::Read::read(&mut self.awake, &mut bytes).is_ok_and(|count| count > 0) {}
        u8::try_from(self.ending.load(Ordering::Relaxed)).ok().filter(|signal| *signal > 0)
    }

    /// Returns whether the program was stopped and continued since the last call.
    pub(super) fn take_continued(&self) -> bool {
        self.is_continued.swap(false, Ordering::Relaxed)
    }
}
