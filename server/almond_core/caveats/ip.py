"""The caveat `ip`: restricts the addresses that a call may come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, ClassVar, Final, Self

from almond_core.caveats.verdict import NOTHING, NOWHERE, PERMITS, Denies, Verdict, either
from almond_core.errors import CaveatError, Reason

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances

_CIDR: Final = re.compile(r"[0-9a-fA-F:.]{2,45}(?:/(?:0|[1-9][0-9]{0,2}))?")
_FORM: Final = "every CIDR is like 10.0.0.0/8 or 2001:db8::/32, with zeros after the prefix"
_MAPPED_BITS: Final = 96


@dataclass(frozen=True, slots=True)
class Ip:
    """`["ip", [cidr..]]`: the attribute `ip` must be in one of the networks; a missing one denies.

    IPv4-mapped IPv6 (RFC 4291, 2.5.5.2) is compared as IPv4, on both sides.
    """

    NAME: ClassVar[str] = "ip"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    cidrs: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `[cidr..]`. An address without a prefix is itself; bits after the prefix must be zero."""
        given = arguments[0] if len(arguments) == 1 else None
        if not isinstance(given, list):
            raise CaveatError(cls.NAME, "an array of CIDRs")
        return cls(tuple(map(str, given)), tuple(map(_network, given)))

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, list(self.cidrs)]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if the attribute `ip` is in one of the networks."""
        del circumstances
        given = access.attributes.get("ip")
        if given is not None:
            address = ip_address(given)
            if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            if any(address in network for network in self.networks):
                return PERMITS
        allowed, wanted = self._allowed(), given or "an unknown address"
        return Denies(
            Reason.IP,
            f"a call from {wanted}",
            allowed,
            f"The token is good only for calls from {allowed}, and this one comes from {wanted}.",
        )

    def describe(self) -> str:
        """Describe the networks."""
        return f"only calls from {self._allowed()}" if self.cidrs else NOTHING

    def _allowed(self) -> str:
        return either(self.cidrs) or "nowhere"


def _network(text: Json) -> IPv4Network | IPv6Network:
    if not isinstance(text, str) or _CIDR.fullmatch(text) is None:
        raise CaveatError(Ip.NAME, _FORM)
    try:
        network = ip_network(text)
    except ValueError:
        raise CaveatError(Ip.NAME, _FORM) from None
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network
