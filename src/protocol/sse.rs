//! Reads event streams: their messages as the bytes arrive, and whether the last event has ended
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>).

/// A push reader that finds the messages in an event stream. It buffers one event at a time and does
/// not change the stream.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    line: Vec<u8>,
    data: Vec<u8>,
    event: Vec<u8>,
    saw_id: bool,
    after_cr: bool,
    after_first_line: bool,
}

impl EventReader {
    /// Reads the next bytes and calls `on_message` with the data of each message event that they
    /// complete.
    pub(crate) fn push(&mut self, bytes: &[u8], mut on_message: impl FnMut(&[u8])) {
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line.extend_from_slice(&rest[..end]);
            self.end_line(&mut on_message);
            let is_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_cr && rest.is_empty() {
                self.after_cr = true;
            } else if is_cr {
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.line.extend_from_slice(rest);
    }

    /// Returns whether an event had an id, so that the client can resume the stream.
    pub(crate) fn saw_id(&self) -> bool {
        self.saw_id
    }

    fn end_line(&mut self, on_message: &mut impl FnMut(&[u8])) {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.after_first_line, true) && line.starts_with(BOM) {
            line.drain(..BOM.len());
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"" if colon.is_none() => self.end_event(on_message),
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.event = value.to_vec(),
            b"id" if !value.contains(&0) => self.saw_id |= !value.is_empty(),
            _ => {}
        }
        line.clear();
        self.line = line;
    }

    fn end_event(&mut self, on_message: &mut impl FnMut(&[u8])) {
        // Clients read messages from events of the type `message`, which is also the default.
        if let Some(data) = self.data.strip_suffix(b"\n")
            && matches!(&*self.event, b"" | b"message")
        {
            on_message(data);
        }
        self.data.clear();
        self.event.clear();
    }
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The last bytes of an event stream, which show whether its last event has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail {
    last: [u8; 4],
    len: usize,
}

impl Tail {
    #[inline]
    pub(crate) fn push(&mut self, data: &[u8]) {
        match data.last_chunk() {
            Some(last) => (self.last, self.len) = (*last, 4),
            None => self.push_few(data),
        }
    }

    #[inline(never)]
    fn push_few(&mut self, data: &[u8]) {
        for byte in data {
            self.last.rotate_left(1);
            self.last[3] = *byte;
        }
        self.len = 4.min(self.len + data.len());
    }

    /// Returns whether the last event has ended. An empty line ends an event; a line ends in CR, LF or both
    /// (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).
    pub(crate) fn is_between_events(self) -> bool {
        let seen = &self.last[4 - self.len..];
        let Some(line) = without_line_end(seen) else {
            return seen.is_empty();
        };
        line.is_empty() || without_line_end(line).is_some()
    }
}

fn without_line_end(text: &[u8]) -> Option<&[u8]> {
    [b"\r\n".as_slice(), b"\n", b"\r"]
        .into_iter()
        .find_map(|end| text.strip_suffix(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(frames: &[&str]) -> Vec<String> {
        let mut reader = EventReader::default();
        let mut messages = Vec::new();
        for frame in frames {
            reader.push(frame.as_bytes(), |data| {
                messages.push(String::from_utf8(data.to_vec()).unwrap());
            });
        }
        messages
    }

    #[test]
    fn lines_end_in_lf_cr_or_both_wherever_frames_are_cut() {
        for text in [
            "data: a\n\ndata: b\n\n",
            "data: a\r\n\r\ndata: b\r\n\r\n",
            "data:a\r\rdata:b\r\r",
        ] {
            assert_eq!(read(&[text]), ["a", "b"], "{text:?}");
            let bytes: Vec<String> = text.chars().map(String::from).collect();
            assert_eq!(
                read(&bytes.iter().map(String::as_str).collect::<Vec<_>>()),
                ["a", "b"]
            );
        }
    }

    #[test]
    fn data_lines_join_and_comments_other_fields_and_other_events_are_passed_over() {
        assert_eq!(
            read(&[": hi\nid: 1\ndata: {\nretry: 5\ndata: }\n\n"]),
            ["{\n}"]
        );
        assert_eq!(
            read(&["event: ping\ndata: x\n\nevent: message\ndata: y\n\n"]),
            ["y"]
        );
        assert_eq!(read(&["id: 1\n\n", "data\n\n"]), [""]);
        assert_eq!(read(&["\u{feff}data: x\n\n"]), ["x"]);
        assert_eq!(read(&["data: unfinished\n"]), [""; 0]);
    }

    #[test]
    fn an_id_is_noticed_unless_it_is_empty_or_holds_nul() {
        for (text, saw) in [
            ("id: 7\n", true),
            ("id\n", false),
            ("id: \0\n", false),
            ("", false),
        ] {
            let mut reader = EventReader::default();
            reader.push(text.as_bytes(), |_| {});
            assert_eq!(reader.saw_id(), saw, "{text:?}");
        }
    }

    #[test]
    fn an_event_ends_with_an_empty_line_however_lines_end() {
        let ends = |frames: &[&str]| {
            let mut tail = Tail::default();
            frames.iter().for_each(|frame| tail.push(frame.as_bytes()));
            tail.is_between_events()
        };
        for frames in [
            &[][..],
            &["data: x\n\n"],
            &["data: x\r\n\r\n"],
            &["data: x\r\r"],
            &["data: x\n", "\n"],
            &["data: x\r\n", "\r", "\n"],
            &[": comment\n\n", ""],
        ] {
            assert!(ends(frames), "{frames:?}");
        }
        for frames in [
            &["data: x"][..],
            &["d"],
            &["da", "ta"],
            &["data: x\n"],
            &["data: x\r\n"],
            &["data: x\n\n", "id: 1"],
        ] {
            assert!(!ends(frames), "{frames:?}");
        }
    }
}
