"""A download ends in time and takes no more than was published, however the server behaves."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.models import store


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that treats its one visitor so."""

    def serve() -> None:
        visitor, _ = listener.accept()
        with visitor, contextlib.suppress(OSError):
            visitor.recv(4096)
            answer(visitor)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/weights.h5"


def dripping(visitor: socket.socket) -> None:
    """A byte now and then, each in time for itself."""
    while True:
        visitor.sendall(b"X")
        time.sleep(0.05)


def slow_header(visitor: socket.socket) -> None:
    visitor.sendall(b"HTTP/1.1 200 OK\r\nServer: ")
    dripping(visitor)


def slow_content(visitor: socket.socket) -> None:
    visitor.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    dripping(visitor)


def endless(visitor: socket.socket) -> None:
    visitor.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        visitor.sendall(bytes(1 << 16))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (slow_header, "no answer within"),
        (slow_content, "bytes came in"),
        (endless, "sends more than the 100000 bytes"),
    ],
)
def test_a_download_ends_whatever_the_server_does(tmp_path, monkeypatch, answer, words):
    monkeypatch.setattr(store, "_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(store, "_LONGEST_SECONDS", 1)
    started = time.monotonic()
    with serving(answer) as url, pytest.raises(InputError, match=words) as caught:
        store._fetch(url, tmp_path / "weights.h5", None, 100_000)
    assert time.monotonic() - started < 10
    assert "\n" not in str(caught.value)
