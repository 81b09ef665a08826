//! Standard input and output as the files that they are. The standard library reads one that is closed, or open the other way
//! round, as one at its end; and one that does not block fails where it would have to wait.

#[cfg(unix)]
pub(super) use unix::{input, patient, standard};

#[cfg(not(unix))]
pub(super) use elsewhere::{input, patient, standard};

#[cfg(unix)]
mod unix {
    use std::fs::{self, File};
    use std::io::{self, Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    /// A file whose reads and writes wait until it is ready, also where it does not block.
    #[derive(Debug)]
    pub(in crate::cli) struct Patient(File);

    /// `file`, waited for.
    pub(in crate::cli) fn patient(file: File) -> Patient {
        Patient(file)
    }

    /// Standard input.
    ///
    /// # Errors
    /// It was closed when this process began.
    pub(in crate::cli) fn input() -> io::Result<Patient> {
        let input = standard(io::stdin())?;
        if is_stopgap(&input.0)? { Err(io::Error::other("it is closed")) } else { Ok(input) }
    }

    /// A standard stream, waited for.
    ///
    /// # Errors
    /// The process may open no further file.
    pub(in crate::cli) fn standard(stream: impl AsFd) -> io::Result<Patient> {
        stream.as_fd().try_clone_to_owned().map(|descriptor| patient(descriptor.into()))
    }

    /// Whether it is Rust's substitute for a standard stream that was closed: `/dev/null`, open for both reading and writing. A
    /// shell opens `/dev/null` for one of the two.
    fn is_stopgap(file: &File) -> io::Result<bool> {
        let (found, null) = (file.metadata()?, fs::metadata("/dev/null")?);
        let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
        let is_null = found.file_type().is_char_device() && found.rdev() == null.rdev();
        Ok(is_null && flags & OFlag::O_ACCMODE == OFlag::O_RDWR)
    }

    impl Patient {
        /// Repeats `work` on the file for as long as that would block.
        fn wait<T>(&mut self, for_what: PollFlags, mut work: impl FnMut(&mut File) -> io::Result<T>) -> io::Result<T> {
            loop {
                match work(&mut self.0) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    ended => return ended,
                }
                match poll(&mut [PollFd::new(self.0.as_fd(), for_what)], PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    impl Read for Patient {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.wait(PollFlags::POLLIN, |file| file.read(buffer))
        }
    }

    impl Write for Patient {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.wait(PollFlags::POLLOUT, |file| file.write(bytes))
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
mod elsewhere {
    use std::fs::File;
    use std::io;

    /// `file` as it is.
    pub(in crate::cli) fn patient(file: File) -> File {
        file
    }

    /// Standard input.
    ///
    /// # Errors
    /// None here.
    pub(in crate::cli) fn input() -> io::Result<io::Stdin> {
        Ok(io::stdin())
    }

    /// A standard stream as it is.
    ///
    /// # Errors
    /// None here.
    pub(in crate::cli) fn standard<T>(stream: T) -> io::Result<T> {
        Ok(stream)
    }
}
