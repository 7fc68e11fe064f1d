"""Runs of the command `segclient` that change nothing about the pictures."""

import subprocess

from segclient_process import PROGRAM

from segtriton_server.launch import TritonProcess

DONE, FAILED, USAGE, UNREADABLE, DROPPED = range(5)
_FAITHFUL = ("--strength", "0", "--preset", "ultrafast", "--crf", "8")

Finished = subprocess.CompletedProcess[bytes]


def line(server: TritonProcess, *arguments: object) -> list[str]:
    """The command's words."""
    return [*PROGRAM, "--endpoint", server.grpc_address, *_FAITHFUL, *map(str, arguments)]


def run(server: TritonProcess, *arguments: object, stdin: bytes = b"") -> Finished:
    """Run it to its end, whatever that is."""
    done = subprocess.run(line(server, *arguments), input=stdin, capture_output=True, timeout=50, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def succeed(server: TritonProcess, *arguments: object, stdin: bytes = b"") -> Finished:
    """Run it and see it succeed."""
    done = run(server, *arguments, stdin=stdin)
    assert done.returncode == DONE, done.stderr.decode()
    return done
