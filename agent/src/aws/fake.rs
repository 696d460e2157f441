//! An AWS on a loopback port, for the tests beside it: plain answers in their order, or one without end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// One request: its headers in lower case, and its body.
pub(super) struct Asked {
    head: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    /// A header, empty where it is missing.
    pub(super) fn header(&self, name: &str) -> String {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned)).unwrap_or_default()
    }
}

/// Answers one connection after the other with a status and a body, and gives what was asked of each.
pub(super) fn serve(answers: Vec<(u16, String)>) -> (String, JoinHandle<Vec<Asked>>) {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let answer = |(status, body): (u16, String)| {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let asked = read(&mut stream);
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.get_mut().write_all((head + &body).as_bytes()).unwrap();
            asked
        };
        answers.into_iter().map(answer).collect()
    });
    (address, server)
}

/// Answers one question with this head, then with blanks until the asker hangs up. Gives how many bytes it took.
pub(super) fn serve_without_end(head: &'static str) -> (String, JoinHandle<usize>) {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        read(&mut stream);
        let stream = stream.get_mut();
        stream.write_all(head.as_bytes()).unwrap();
        std::iter::repeat_with(|| stream.write(&[b' '; 1 << 16])).map_while(Result::ok).sum()
    });
    (address, server)
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

fn read(stream: &mut BufReader<TcpStream>) -> Asked {
    let head: Vec<String> = stream.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).map(|line| line.to_ascii_lowercase()).collect();
    let mut asked = Asked { head, body: Vec::new() };
    asked.body = vec![0; asked.header("content-length").parse().unwrap()];
    stream.read_exact(&mut asked.body).unwrap();
    asked
}
