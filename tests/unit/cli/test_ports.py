"""Port choice."""

import socket
from contextlib import contextmanager
from dataclasses import astuple, replace

from zerostate.cli.ports import DemoPorts, choose_ports


@contextmanager
def taken_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        yield holder.getsockname()[1]


def free_ports():
    # Chosen together: one after the other, the machine might give one of them twice.
    return choose_ports(DemoPorts(otlp_http=0, otlp_grpc=0, ui=0, chain=0))


def test_free_ports_are_kept():
    wanted = free_ports()

    assert choose_ports(wanted) == wanted


def test_a_taken_port_is_replaced_and_only_that_one():
    with taken_port() as taken:
        wanted = replace(free_ports(), otlp_http=taken)

        chosen = choose_ports(wanted)

    assert chosen.otlp_http != taken
    assert replace(chosen, otlp_http=taken) == wanted


def test_no_port_is_given_twice():
    with taken_port() as taken:
        chosen = choose_ports(
            DemoPorts(otlp_http=taken, otlp_grpc=taken, ui=taken, chain=taken)
        )

    assert len({*astuple(chosen), taken}) == 5


def test_the_chosen_ports_are_left_free():
    chosen = choose_ports(DemoPorts(otlp_http=0, otlp_grpc=0, ui=0, chain=0))

    assert choose_ports(chosen) == chosen


def test_the_defaults_are_the_ones_that_people_expect():
    assert astuple(DemoPorts()) == (4318, 4317, 16686, 8545)
