"""Shares a rate between the processes of a host, or of many hosts."""

from bulksync.quota.opening import Seat, open_station, password_of, seat_for
from bulksync.quota.shared import SharedPacer
from bulksync.quota.station import Station

__all__ = ["Seat", "SharedPacer", "Station", "open_station", "password_of", "seat_for"]
