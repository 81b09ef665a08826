//! Standard input and output as the files that they are. The standard library takes one that is closed, or open the other way
//! round, for one at its end; and one that does not block fails where it has to wait.

#[cfg(unix)]
pub(super) use unix::{errors, input, output, patient};

#[cfg(unix)]
mod unix {
    use std::fs::{self, File};
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    /// A file that is waited for wherever it is not ready, also where it does not block.
    #[derive(Debug)]
    pub(in super::super) struct Patient(File);

    /// `file`, waited for.
    pub(in super::super) fn patient(file: File) -> Patient {
        Patient(file)
    }

    /// Standard input.
    ///
    /// # Errors
    /// It was closed when this process began.
    pub(in super::super) fn input() -> io::Result<Patient> {
        let file = clone(io::stdin().as_fd())?;
        if is_stopgap(&file)? {
            return Err(io::Error::other("it is closed"));
        }
        Ok(Patient(file))
    }

    /// Standard output.
    ///
    /// # Errors
    /// The process may open no further file.
    pub(in super::super) fn output() -> io::Result<Patient> {
        clone(io::stdout().as_fd()).map(Patient)
    }

    /// Standard error.
    ///
    /// # Errors
    /// As [`output`].
    pub(in super::super) fn errors() -> io::Result<Patient> {
        clone(io::stderr().as_fd()).map(Patient)
    }

    fn clone(descriptor: BorrowedFd<'_>) -> io::Result<File> {
        descriptor.try_clone_to_owned().map(File::from)
    }

    /// Whether it is what Rust puts in the place of a standard stream that is closed: `/dev/null`, to be read and written. A
    /// shell opens `/dev/null` for one of the two.
    fn is_stopgap(file: &File) -> io::Result<bool> {
        let found = file.metadata()?;
        if !found.file_type().is_char_device() {
            return Ok(false);
        }
        let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
        let null = fs::metadata("/dev/null")?;
        Ok(found.rdev() == null.rdev() && flags & OFlag::O_ACCMODE == OFlag::O_RDWR)
    }

    impl Patient {
        /// Whether `outcome` says to wait; it has waited then.
        fn has_waited<T>(&self, outcome: &io::Result<T>, readiness: PollFlags) -> io::Result<bool> {
            if !matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Ok(false);
            }
            match poll(&mut [PollFd::new(self.0.as_fd(), readiness)], PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => Ok(true),
                Err(error) => Err(error.into()),
            }
        }
    }

    impl Read for Patient {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            loop {
                let outcome = self.0.read(buffer);
                if !self.has_waited(&outcome, PollFlags::POLLIN)? {
                    return outcome;
                }
            }
        }
    }

    impl Write for Patient {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            loop {
                let outcome = self.0.write(bytes);
                if !self.has_waited(&outcome, PollFlags::POLLOUT)? {
                    return outcome;
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::os::fd::OwnedFd;
        use std::os::unix::net::UnixStream;

        #[test]
        fn what_does_not_block_is_waited_for_until_all_is_through() {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let mut patient = patient(File::from(OwnedFd::from(ours)));
            let sent = vec![7; 4 << 20];
            let expected = sent.clone();
            let reader = std::thread::spawn(move || {
                let mut got = vec![0; 4 << 20];
                theirs.read_exact(&mut got).unwrap();
                theirs.write_all(b"done").unwrap();
                got
            });
            patient.write_all(&sent).unwrap();
            let mut answer = [0; 4];
            patient.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"done");
            assert!(reader.join().unwrap() == expected);
        }

        #[test]
        fn a_shells_dev_null_is_an_empty_input_and_rusts_stands_for_a_closed_one() {
            let read_only = File::open("/dev/null").unwrap();
            assert!(!is_stopgap(&read_only).unwrap());
            let both = File::options().read(true).write(true).open("/dev/null").unwrap();
            assert!(is_stopgap(&both).unwrap());
            let zero = File::options().read(true).write(true).open("/dev/zero").unwrap();
            assert!(!is_stopgap(&zero).unwrap());
        }
    }
}

#[cfg(not(unix))]
pub(super) use elsewhere::{input, output, patient};

#[cfg(not(unix))]
mod elsewhere {
    use std::fs::File;
    use std::io;

    /// `file` as it is.
    pub(in super::super) fn patient(file: File) -> File {
        file
    }

    /// Standard input.
    ///
    /// # Errors
    /// None here.
    pub(in super::super) fn input() -> io::Result<io::Stdin> {
        Ok(io::stdin())
    }

    /// Standard output.
    ///
    /// # Errors
    /// None here.
    pub(in super::super) fn output() -> io::Result<io::Stdout> {
        Ok(io::stdout())
    }
}
