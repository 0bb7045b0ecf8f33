//! Reading a journal line by line, also while Envoy writes it and when it is rotated.

use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest line in bytes: a tally with the longest names and the most warnings has less.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its end. What is no UTF-8 is replaced, and no tally then.
    Text(String),
    /// Longer than [`LINE_BYTES_MAX`].
    TooLong,
}

/// A file that is read.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: BufReader<File>,
    identity: (u64, u64),
    /// Bytes read of this file.
    position: u64,
    lines: u64,
    /// A line whose end has not come yet.
    begun: Vec<u8>,
    too_long: bool,
}

impl Journal {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)
            .map_err(|why| std::io::Error::new(why.kind(), format!("{}: {why}", path.display())))?;
        let identity = identity(&file.metadata()?);
        Ok(Self {
            path: path.to_path_buf(),
            file: BufReader::new(file),
            identity,
            position: 0,
            lines: 0,
            begun: Vec::new(),
            too_long: false,
        })
    }

    /// The next line and its number. The last one, whose end is missing, is a line too, unless the file is followed: then
    /// the rest is waited for.
    pub(super) fn next_line(&mut self, follow: bool) -> std::io::Result<Option<(u64, Line)>> {
        if follow {
            self.start_over_if_cut()?;
        }
        if self.read_to_end_of_line()? {
            return Ok(Some(self.finish()));
        }
        // The end of the file. Another one under the same name: what was begun here will not be finished.
        let rotated = follow && self.is_replaced();
        let rest = (!self.begun.is_empty() || self.too_long) && (!follow || rotated);
        let line = rest.then(|| self.finish());
        if rotated {
            let next = Self::open(&self.path)?;
            let nothing_more = line.is_none();
            *self = next;
            if nothing_more {
                return self.next_line(follow);
            }
        }
        Ok(line)
    }

    fn read_to_end_of_line(&mut self) -> std::io::Result<bool> {
        loop {
            // One byte more than a line may have: what is longer is read on and thrown away.
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.begun.len()).max(1) as u64;
            let mut part: Take<&mut BufReader<File>> = (&mut self.file).take(room);
            let read = part.read_until(b'\n', &mut self.begun)?;
            self.position += read as u64;
            if self.begun.last() == Some(&b'\n') {
                self.begun.pop();
                return Ok(true);
            }
            if read == 0 {
                return Ok(false);
            }
            if self.begun.len() > LINE_BYTES_MAX {
                self.too_long = true;
                self.begun.clear();
            }
        }
    }

    fn finish(&mut self) -> (u64, Line) {
        self.lines += 1;
        let bytes = std::mem::take(&mut self.begun);
        let line = match std::mem::take(&mut self.too_long) || bytes.len() > LINE_BYTES_MAX {
            true => Line::TooLong,
            false => Line::Text(String::from_utf8_lossy(&bytes).into_owned()),
        };
        (self.lines, line)
    }

    /// A file that became shorter was copied away and emptied.
    fn start_over_if_cut(&mut self) -> std::io::Result<()> {
        if self.file.get_ref().metadata()?.len() < self.position {
            self.file.seek(SeekFrom::Start(0))?;
            (self.position, self.lines, self.too_long) = (0, 0, false);
            self.begun.clear();
        }
        Ok(())
    }

    fn is_replaced(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|found| identity(&found) != self.identity)
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text(line: &str) -> Line {
        Line::Text(line.into())
    }

    fn journal(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn lines_have_numbers_and_the_last_needs_no_end() {
        let (_folder, path) = journal(b"a\n\nb\xff\nlast");
        let mut journal = Journal::open(&path).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = journal.next_line(false).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, [(1, text("a")), (2, text("")), (3, text("b\u{fffd}")), (4, text("last"))]);
    }

    #[test]
    fn a_line_at_the_bound_is_read_and_one_past_it_is_too_long() {
        let (at, past) = ("x".repeat(LINE_BYTES_MAX), "x".repeat(LINE_BYTES_MAX + 1));
        let far = "x".repeat(3 * LINE_BYTES_MAX);
        let (_folder, path) = journal(format!("{at}\n{past}\n{far}\nb\n").as_bytes());
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.next_line(false).unwrap(), Some((1, text(&at))));
        assert_eq!(journal.next_line(false).unwrap(), Some((2, Line::TooLong)));
        assert_eq!(journal.next_line(false).unwrap(), Some((3, Line::TooLong)));
        assert_eq!(journal.next_line(false).unwrap(), Some((4, text("b"))));
        assert_eq!(journal.next_line(false).unwrap(), None);
    }

    #[test]
    fn a_followed_file_is_read_as_it_grows() {
        let (_folder, path) = journal(b"a\nb");
        let mut writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.next_line(true).unwrap(), Some((1, text("a"))));
        assert_eq!(journal.next_line(true).unwrap(), None);
        writer.write_all(b"c\nd\n").unwrap();
        assert_eq!(journal.next_line(true).unwrap(), Some((2, text("bc"))));
        assert_eq!(journal.next_line(true).unwrap(), Some((3, text("d"))));
    }

    #[test]
    fn a_rotated_file_is_read_to_its_end_and_then_the_new_one() {
        let (folder, path) = journal(b"a\n");
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.next_line(true).unwrap(), Some((1, text("a"))));
        let mut writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::fs::rename(&path, folder.path().join("journal.1")).unwrap();
        writer.write_all(b"b\nbroken").unwrap();
        std::fs::write(&path, "c\n").unwrap();
        let lines = [(2, text("b")), (3, text("broken")), (1, text("c"))];
        for line in lines {
            assert_eq!(journal.next_line(true).unwrap(), Some(line));
        }
        assert_eq!(journal.next_line(true).unwrap(), None);
    }

    #[test]
    fn a_file_that_was_emptied_is_read_from_its_beginning() {
        let (_folder, path) = journal(b"a\nb\n");
        let mut journal = Journal::open(&path).unwrap();
        while journal.next_line(true).unwrap().is_some() {}
        std::fs::write(&path, "c\n").unwrap();
        assert_eq!(journal.next_line(true).unwrap(), Some((1, text("c"))));
    }
}
