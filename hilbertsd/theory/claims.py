"""What the checker of certificates asks of a claim."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from hilbertsd.theory.balls import flint
from hilbertsd.theory.certificate import CertificateError, Enclosure


def require(condition: bool, claim: str) -> None:
    """Refuse the certificate unless the claim was re-established."""
    if not condition:
        raise CertificateError(f"this certificate is refused: {claim} could not be re-established")


def fmpq(value: Fraction) -> flint.fmpq:
    """Return a fraction as flint has it."""
    return flint.fmpq(value.numerator, value.denominator)


def claims(enclosure: Enclosure, ball: flint.arb) -> bool:
    """Whether all of a ball lies in an enclosure."""
    return bool(fmpq(enclosure.lower) <= ball) and bool(ball <= fmpq(enclosure.upper))


def spelled(enclosures: Iterable[Enclosure], bits: int) -> bool:
    """Whether each is positive and has the number of bits that the certificate promises."""
    return all(e.mantissa > 0 and e.mantissa.bit_length() == bits for e in enclosures)
