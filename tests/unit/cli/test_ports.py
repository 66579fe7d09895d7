"""Port choice."""

import socket
from contextlib import contextmanager

from zerostate.cli.ports import StackPorts, choose_ports


@contextmanager
def taken_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        yield holder.getsockname()[1]


def free_port():
    with taken_port() as port:
        return port


def test_free_ports_are_kept():
    wanted = StackPorts(otlp_http=free_port(), otlp_grpc=free_port(), ui=free_port())

    assert choose_ports(wanted) == wanted


def test_a_taken_port_is_replaced_and_only_that_one():
    with taken_port() as taken:
        wanted = StackPorts(otlp_http=taken, otlp_grpc=free_port(), ui=free_port())

        chosen = choose_ports(wanted)

    assert chosen.otlp_http != taken
    assert (chosen.otlp_grpc, chosen.ui) == (wanted.otlp_grpc, wanted.ui)


def test_no_port_is_given_twice():
    with taken_port() as taken:
        chosen = choose_ports(StackPorts(otlp_http=taken, otlp_grpc=taken, ui=taken))

    assert len({chosen.otlp_http, chosen.otlp_grpc, chosen.ui, taken}) == 4


def test_the_chosen_ports_are_left_free():
    chosen = choose_ports(StackPorts(otlp_http=0, otlp_grpc=0, ui=0))

    assert choose_ports(chosen) == chosen


def test_the_defaults_are_the_ones_that_people_expect():
    assert StackPorts() == StackPorts(otlp_http=4318, otlp_grpc=4317, ui=16686)
