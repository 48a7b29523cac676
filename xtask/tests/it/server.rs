//! A loopback HTTP server that misbehaves as told, one action a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server does with one connection.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// The whole body with its length, whatever range was asked for.
    Whole,
    /// The whole body in chunks of unknown total, as GitHub's archive service sends it.
    Chunked,
    /// What the range asks for, by 206.
    Ranged,
    /// The first bytes of what [`Act::Whole`] would send, then the end.
    CutAfter(usize),
    /// The same in chunks, without the last one.
    ChunkedCutAfter(usize),
    /// The first bytes, then silence until the client hangs up.
    StallAfter(usize),
    /// A redirect to this location.
    Redirect(String),
    /// An empty answer with this status.
    Status(u16),
}

/// A running server.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves `body`: the first connection gets the first act, and so on; the last act repeats.
    pub(crate) fn start(body: Vec<u8>, acts: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let url = format!(
            "http://{}/archive.tar.gz",
            listener.local_addr().expect("bound")
        );
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, acts) = (Arc::clone(&requests), acts.to_vec());
        thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let Some(act) = acts.get(index).or(acts.last()) else {
                    return;
                };
                let Ok(stream) = stream else { return };
                // A client that hangs up early is no fault of the server.
                let _ = answer(stream, act, &body, &seen);
            }
        });
        Self { url, requests }
    }

    /// The heads of the requests so far, lower case.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no thread panicked").clone()
    }
}

fn answer(
    mut stream: TcpStream,
    act: &Act,
    body: &[u8],
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let head = read_head(&stream)?;
    let start = range_start(&head);
    seen.lock().expect("no thread panicked").push(head);
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    match act {
        Act::Whole => write!(stream, "{whole}").and_then(|()| stream.write_all(body)),
        Act::CutAfter(n) => write!(stream, "{whole}").and_then(|()| stream.write_all(&body[..*n])),
        Act::StallAfter(n) => {
            write!(stream, "{whole}")?;
            stream.write_all(&body[..*n])?;
            wait_for_hang_up(stream)
        }
        Act::Chunked => chunked(&mut stream, body)?.write_all(b"0\r\n\r\n"),
        Act::ChunkedCutAfter(n) => chunked(&mut stream, &body[..*n]).map(|_| ()),
        Act::Ranged => ranged(&mut stream, body, start),
        Act::Redirect(to) => {
            write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
            )
        }
        Act::Status(code) => write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n"),
    }
}

fn read_head(stream: &TcpStream) -> std::io::Result<String> {
    let mut head = String::new();
    for line in BufReader::new(stream).lines() {
        match line? {
            line if line.is_empty() => break,
            line => head.push_str(&(line.to_ascii_lowercase() + "\n")),
        }
    }
    Ok(head)
}

fn range_start(head: &str) -> usize {
    let range = head
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes="));
    range
        .and_then(|range| range.trim_end_matches('-').parse().ok())
        .unwrap_or(0)
}

fn chunked<'a>(stream: &'a mut TcpStream, body: &[u8]) -> std::io::Result<&'a mut TcpStream> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for chunk in body.chunks(1000) {
        write!(stream, "{:x}\r\n", chunk.len())?;
        stream.write_all(chunk)?;
        stream.write_all(b"\r\n")?;
    }
    Ok(stream)
}

fn ranged(stream: &mut TcpStream, body: &[u8], start: usize) -> std::io::Result<()> {
    let (rest, last) = (&body[start..], body.len() - 1);
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len(),
        rest.len()
    )?;
    stream.write_all(rest)
}

fn wait_for_hang_up(mut stream: TcpStream) -> std::io::Result<()> {
    // Ends when the client closes, however long it waits: no clock here.
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}
