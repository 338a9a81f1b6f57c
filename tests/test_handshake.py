"""Processes that meet before JAX joins them, and the end of those whose partner is lost."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from class_jax import handshake
from class_jax.errors import UserError
from class_jax.handshake import Role, meet
from tests.program import ROOT


def address():
    """A free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def all_meet(*roles, at=None, seconds=10):
    """The links of some processes, or the sentence that each ends with."""
    at, outcomes = at or address(), {}

    def go(place, role):
        try:
            outcomes[place] = meet(at, Role(*role), seconds=seconds)
        except UserError as error:
            outcomes[place] = str(error)

    threads = [threading.Thread(target=go, args=each, daemon=True) for each in enumerate(roles)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [outcomes[place] for place in range(len(roles))]


def test_all_are_linked_with_the_first_in_whatever_order_they_come():
    third, first, second = all_meet((2, 3), (0, 3), (1, 3))
    assert set(first) == {1, 2}
    for process, links in ((1, second), (2, third)):
        links[0].send(a=process)
        assert first[process].receive(5) == {"a": process}
        first[process].send(b=process)
        assert links[0].receive(5) == {"b": process}


def test_the_port_is_free_for_jax_while_the_links_stand():
    at = address()
    links = all_meet((0, 2), (1, 2), at=at)
    with socket.create_server(("127.0.0.1", int(at.split(":")[1]))):
        links[1][0].send(still="there")
        assert links[0][1].receive(5) == {"still": "there"}


def test_processes_that_disagree_on_their_number_all_say_so():
    first, second = all_meet((0, 2), (1, 3))
    assert first == second
    assert "process 1 was started as one of 3 processes, and process 0 as one of 2" in first


def test_a_number_that_is_given_twice_is_refused_in_all():
    first, *others = all_meet((0, 3), (1, 3), (1, 3))
    assert "two processes came as process 1" in first
    assert all("process 1" in other for other in others)


def test_those_that_never_come_are_named_in_all():
    first, third = all_meet((0, 4), (2, 4), seconds=1)
    assert first == third
    assert "2 of 4 processes came in time, and not process 1, 3" in first


def serve(answer, server):
    """Answer the first client as a foreign program would, and stay silent."""
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(answer)
        connection.recv(1000)
        connection.recv(1000)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.9\r\n", b"\0\0\x12\x04\0", b"", b"{}\n", b"[" * 9999, b"1\n"]
)
def test_a_foreign_server_is_told_from_process_0(monkeypatch, answer):
    monkeypatch.setattr(handshake, "GREETING_SECONDS", 0.5)  # silence alone takes longer
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(answer, server), daemon=True)
        thread.start()
        at = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=f"{at} is served by another program"):
            meet(at, Role(1, 2), seconds=10)
        thread.join()


def come(at, said):
    """Connect to process 0 as a foreign client, or as a process that is ended at once."""
    while True:
        try:
            client = socket.create_connection(("127.0.0.1", int(at.split(":")[1])))
            break
        except OSError:
            time.sleep(0.05)
    with client:
        client.recv(1000)
        client.sendall(said)


def test_foreign_clients_and_processes_that_were_started_again_do_no_harm():
    at, outcomes = address(), []
    thread = threading.Thread(
        target=lambda: outcomes.append(meet(at, Role(0, 2), seconds=20)), daemon=True
    )
    # Two are to come, so that process 0 still waits when process 1 comes again.
    waiting = threading.Thread(
        target=lambda: outcomes.append(meet(at, Role(0, 3), seconds=20)), daemon=True
    )
    thread.start()
    for said in (b"", b"GET / HTTP/1.1\r\n", b'{"process": "x", "processes": 2}\n', b"[]\n"):
        come(at, said)
    assert set(meet(at, Role(1, 2), seconds=10)) == {0}
    thread.join()
    waiting.start()
    come(at, json.dumps({"process": 1, "processes": 3}).encode() + b"\n")
    third = threading.Thread(
        target=lambda: outcomes.append(meet(at, Role(2, 3), seconds=20)), daemon=True
    )
    third.start()
    time.sleep(0.5)  # the third is there when the second comes again: two links, of which one died
    assert set(meet(at, Role(1, 3), seconds=10)) == {0}
    third.join()
    waiting.join()
    first, *others = map(set, outcomes)
    assert first == {1}
    assert sorted(others, key=len) == [{0}, {1, 2}]


def test_a_first_process_that_is_ended_while_it_waits_is_missed_by_the_others():
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = f"127.0.0.1:{server.getsockname()[1]}"
        greeting = json.dumps(handshake.GREETING).encode() + b"\n"

        def leave():
            connection, _ = server.accept()
            with connection:
                connection.sendall(greeting)
                connection.recv(1000)

        thread = threading.Thread(target=leave, daemon=True)
        thread.start()
        with pytest.raises(UserError, match="process 0 was ended before all processes were there"):
            meet(at, Role(1, 2), seconds=10)
        thread.join()


WATCHED = """
import sys, time
from class_jax import watchdog
from class_jax.handshake import Role, meet

watchdog.GRACE_SECONDS = 1
me = int(sys.argv[2])
dog = watchdog.Watchdog(me, meet(sys.argv[1], Role(me, 3), seconds=60))
print("ready", flush=True)
status = sys.stdin.readline()
if status:
    dog.say_farewell(int(status))
    sys.exit(int(status))
time.sleep(600)
"""


@pytest.fixture
def trio(tmp_path):
    """Three processes that watch each other."""
    script, at = tmp_path / "watched.py", address()
    script.write_text(WATCHED)
    three = [
        subprocess.Popen(
            [sys.executable, str(script), at, str(process)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(3)
    ]
    try:
        for process in three:
            assert process.stdout.readline() == "ready\n"
        yield three
    finally:
        for process in three:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("lost", [0, 2])
def test_the_loss_of_one_ends_the_others_with_a_sentence(trio, lost):
    trio[lost].send_signal(signal.SIGKILL)
    for process in (trio[i] for i in range(3) if i != lost):
        # The link of the killed one breaks for the others at once; process 0 tells the rest.
        assert process.wait(30) == 1
        error = process.stderr.read()
        assert f"error: process {lost} was lost" in error
        assert "Traceback" not in error
        assert error.count("error") == 1


@pytest.mark.parametrize("failed", [0, 2])
def test_one_that_fails_ends_those_that_wait_for_it(trio, failed):
    trio[failed].stdin.write("2\n")
    trio[failed].stdin.flush()
    for process in (trio[i] for i in range(3) if i != failed):
        assert process.wait(30) == 2
        assert (
            process.stderr.read().strip() == f"error: process {failed} has stopped, and says why."
        )


def test_those_that_leave_in_good_order_are_not_missed(trio):
    for process in (2, 0, 1):
        trio[process].stdin.write("0\n")
        trio[process].stdin.flush()
        assert trio[process].wait(30) == 0
        time.sleep(0.3)
    assert [process.stderr.read() for process in trio] == ["", "", ""]
