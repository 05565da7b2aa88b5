"""Families of binary codes with large least distances (MacWilliams and Sloane, 1977).

A `Code` knows its length, number of words and least distance before any word is made; words are
made when a codebook needs them. Words are u8[n d] of 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

_ENOUGH = 12  # log2 of the words to choose from; more are made only for more classes


@dataclass(frozen=True)
class Code:
    """A code of which words can be made.

    length: d, bits of a word.
    size: number of words.
    distance: least Hamming distance between two words.
    made: gives all words u8[n d], or the generator matrix u8[k d] of a linear code.
    is_linear: whether `made` gives a generator matrix.
    """

    length: int
    size: int
    distance: int
    made: Callable[[], np.ndarray]
    is_linear: bool = False

    def words(self, least: int) -> np.ndarray:
        """Words u8[n d] to choose `least` from: all, or of a large linear code the fewest.

        A part of such a code has its distance; it has 2^12 words or as many as are needed.
        """
        if not self.is_linear:
            return self.made()
        return _span(_few(self.made(), max(_ENOUGH, (least - 1).bit_length())))

    def punctured(self, bits: int) -> Code:
        """Without its last bits: each costs at most one of the distance."""
        length = self.length - bits
        return replace(
            self,
            length=length,
            distance=self.distance - bits,
            made=lambda: self.made()[:, :length],
        )

    def shortened(self, bits: int) -> Code:
        """Of a linear code, the words that end with zeros, without them."""
        assert self.is_linear

        def remaining() -> np.ndarray:
            # The last bits first: after elimination, the rows that begin with zeros remain.
            reduced = _reduced(np.roll(self.made(), bits, axis=1))
            return reduced[~reduced[:, :bits].any(axis=1), bits:]

        return linear(self.length - bits, self.size >> bits, self.distance, remaining)


def linear(length: int, size: int, distance: int, rows: Callable[[], np.ndarray]) -> Code:
    """A linear code with the generator matrix that `rows` gives."""
    return Code(length, size, distance, rows, is_linear=True)


def families(classes: int, longest: int) -> Iterator[Code]:
    """Codes of at least this many words and at most about `longest` bits, in a fixed order."""
    for code in (
        *_hadamard_codes(longest),
        *map(_extended_bch, *zip(*_bch_sizes(longest), strict=True)),
        Code(16, 256, 6, nordstrom_robinson),
        linear(24, 4096, 8, golay_rows),
        *(_quasi_cyclic(*row) for row in _QUASI_CYCLIC),
    ):
        if code.size >= classes and code.length <= longest + longest // 2 + 4:
            yield code


def even_words(bits: int) -> Code:
    """All words with an even number of ones."""
    identity = partial(np.eye, bits - 1, dtype=np.uint8)
    return linear(bits, 2 ** (bits - 1), 2, lambda: _with_parity(identity()))


def all_words(bits: int) -> Code:
    """All words."""
    return linear(bits, 2**bits, 1, partial(np.eye, bits, dtype=np.uint8))


def has_hadamard(order: int) -> bool:
    """Whether `hadamard` knows a matrix of this order: up to 128, 1, 2 and the multiples of 4 but
    52, 92, 100 and 116."""
    return order in (1, 2) or (
        order % 4 == 0
        and (_is_prime(order - 1) or _is_paley_double(order) or has_hadamard(order // 2))
    )


def hadamard(order: int) -> np.ndarray:
    """A Hadamard matrix i8[n n] of ±1, its first row and column ones.

    By Paley's two constructions over prime fields, or Sylvester's doubling of a smaller one.
    """
    if order in (1, 2):
        return np.array([[1, 1], [1, -1]], np.int8)[:order, :order]
    if _is_prime(order - 1):
        matrix = _paley(order - 1)
    elif _is_paley_double(order):
        matrix = _paley_double(order // 2 - 1)
    else:
        matrix = np.kron(np.array([[1, 1], [1, -1]]), hadamard(order // 2))
    matrix = matrix * matrix[:1]
    return (matrix * matrix[:, :1]).astype(np.int8)


def _is_paley_double(order: int) -> bool:
    return order // 2 % 4 == 2 and _is_prime(order // 2 - 1)


def nordstrom_robinson() -> np.ndarray:
    """The 256 words of 16 bits and distance 6: the Gray image of the octacode.

    (Hammons, Kumar, Calderbank, Sloane and Solé, 1994.)
    """
    cyclic = np.array([3, 1, 2, 1, 0, 0, 0])
    rows = np.stack([np.append(np.roll(cyclic, shift), 1) for shift in range(4)])
    messages = np.stack(np.meshgrid(*[range(4)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    gray = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.uint8)
    return gray[messages @ rows % 4].reshape(256, 16)


def golay_rows() -> np.ndarray:
    """A generator matrix u8[12 24] of the extended Golay code, of distance 8."""
    return _with_parity(_cyclic_rows(0xAE3, 23))


def _hadamard_codes(longest: int) -> Iterator[Code]:
    """Rows of a Hadamard matrix and their complements, and the two codes shortened from the rows.

    Levenshtein (1961) showed that pasting the latter meets Plotkin's bound.
    """
    for order in range(4, longest + longest // 2 + 5, 4):
        if not has_hadamard(order):
            continue
        words, half = partial(_hadamard_words, order), order // 2
        yield Code(order, 2 * order, half, lambda words=words: _with_complements(words()))
        yield Code(order - 1, order, half, lambda words=words: words()[:, 1:])
        yield Code(order - 2, half, half, lambda words=words: _shortened_rows(words()))


def _with_complements(words: np.ndarray) -> np.ndarray:
    return np.concatenate([words, 1 - words])


def _shortened_rows(words: np.ndarray) -> np.ndarray:
    return words[words[:, 1] == 0, 2:]


def _hadamard_words(order: int) -> np.ndarray:
    return (hadamard(order) < 0).astype(np.uint8)


def _paley(prime: int) -> np.ndarray:
    """Of order q + 1, for a prime q that is 3 mod 4."""
    size = prime + 1
    skew = np.zeros((size, size), int)
    skew[0, 1:], skew[1:, 0], skew[1:, 1:] = 1, -1, _residues(prime)
    return skew + np.eye(size, dtype=int)


def _paley_double(prime: int) -> np.ndarray:
    """Of order 2 (q + 1), for a prime q that is 1 mod 4."""
    size = prime + 1
    conference = np.zeros((size, size), int)
    conference[0, 1:] = conference[1:, 0] = 1
    conference[1:, 1:] = _residues(prime)
    blocks = np.array([[1, 1], [1, -1]]), np.array([[1, -1], [-1, -1]])
    return np.kron(conference, blocks[0]) + np.kron(np.eye(size, dtype=int), blocks[1])


def _residues(prime: int) -> np.ndarray:
    """Jacobsthal's matrix: 1 where i - j is a square, -1 where it is not, 0 for i = j."""
    signs = np.full(prime, -1)
    signs[np.arange(prime) ** 2 % prime] = 1
    signs[0] = 0
    places = np.arange(prime)
    return signs[(places[:, None] - places) % prime]


def _bch_sizes(longest: int) -> list[tuple[int, int]]:
    """(m, t) of the extended BCH codes of 2^m bits, the largest t for each dimension."""
    sizes = []
    for power in range(3, max(4, math.ceil(math.log2(longest)) + 1)):
        dimensions = {len(_bch_roots(power, t)): t for t in range(1, 2 ** (power - 2))}
        sizes += [(power, errors) for errors in dimensions.values()]
    return sizes


@cache
def _bch_roots(power: int, errors: int) -> tuple[int, ...]:
    """The exponents of α, α², ..., α^2t and of their conjugates."""
    order = 2**power - 1
    odd = range(1, 2 * errors, 2)
    return tuple(sorted({root * 2**place % order for root in odd for place in range(power)}))


def _extended_bch(power: int, errors: int) -> Code:
    """The extended primitive BCH code of 2^m bits that corrects t errors: distance 2t + 2."""
    length = 2**power - 1
    dimension = length - len(_bch_roots(power, errors))
    rows = lambda: _with_parity(_cyclic_rows(_bch_generator(power, errors), length))  # noqa: E731
    return linear(length + 1, 2**dimension, 2 * errors + 2, rows)


# Primitive polynomials over GF(2) by degree (Lidl and Niederreiter 1997, table D): the fields.
_PRIMITIVE = {3: 0xB, 4: 0x13, 5: 0x25, 6: 0x43, 7: 0x83, 8: 0x11D, 9: 0x211}


def _bch_generator(power: int, errors: int) -> int:
    """The polynomial of least degree with the roots α, α², ..., α^2t: bits are coefficients."""
    order, logs, powers = 2**power - 1, {}, [1]
    for exponent in range(order):
        logs[powers[-1]] = exponent
        following = powers[-1] << 1
        powers.append(following ^ _PRIMITIVE[power] if following >> power else following)
    coefficients = [1]  # of the product of (x - root), in the field
    for root in _bch_roots(power, errors):
        scaled = [powers[(logs[c] + root) % order] if c else 0 for c in coefficients]
        coefficients = [a ^ b for a, b in zip([0, *coefficients], [*scaled, 0], strict=True)]
    return sum(bit << place for place, bit in enumerate(coefficients))


# Quasi-cyclic codes with one generator, found by hill climbing over its polynomials: length,
# dimension, distance, order m of the circulants, divisor g of x^m - 1, factor of each circulant.
_QUASI_CYCLIC: tuple[tuple[int, int, int, int, int, tuple[int, ...]], ...] = (
    (24, 7, 10, 8, 3, (9, 100, 13)),
    (32, 7, 14, 8, 3, (38, 46, 121, 126)),
    (40, 10, 16, 10, 1, (38, 65, 844, 846)),
    (48, 8, 22, 8, 1, (157, 44, 214, 202, 138, 33)),
    (48, 10, 20, 12, 5, (48, 443, 498, 769)),
    (56, 7, 26, 7, 1, (109, 52, 103, 8, 14, 50, 49, 74)),
    (56, 9, 24, 14, 39, (408, 236, 397, 476)),
    (72, 9, 32, 12, 9, (159, 236, 397, 484, 259, 394)),
    (72, 10, 30, 12, 5, (38, 49, 909, 684, 768, 573)),
    (80, 8, 37, 8, 1, (117, 111, 147, 12, 161, 128, 164, 236, 44, 227)),
    (80, 9, 36, 10, 3, (277, 410, 91, 269, 439, 511, 104, 224)),
    (80, 10, 34, 10, 1, (315, 782, 925, 112, 115, 687, 409, 111)),
    (96, 9, 44, 12, 15, (23, 77, 105, 271, 124, 95, 8, 103)),
    (96, 10, 42, 12, 5, (405, 319, 909, 73, 853, 72, 716, 790)),
    (112, 8, 53, 14, 81, (63, 67, 100, 124, 28, 71, 113, 128)),
    (112, 9, 52, 14, 39, (30, 424, 293, 216, 91, 291, 323, 510)),
    (112, 10, 50, 14, 23, (1020, 385, 50, 450, 1009, 213, 97, 528)),
)


def _quasi_cyclic(
    length: int, dimension: int, distance: int, order: int, divisor: int, factors: tuple[int, ...]
) -> Code:
    """The words (a g f₁, a g f₂, ...) mod x^m - 1 for all polynomials a."""

    def rows() -> np.ndarray:
        blocks = [_circulant(_product(divisor, factor, order), order) for factor in factors]
        return np.concatenate(blocks, axis=1)[:dimension]

    return linear(length, 2**dimension, distance, rows)


def _product(first: int, second: int, order: int) -> int:
    """The product of two polynomials over GF(2), mod x^m - 1."""
    product = 0
    for place in range(second.bit_length()):
        if second >> place & 1:
            product ^= first << place
    while product >> order:
        product = (product & (1 << order) - 1) ^ product >> order
    return product


def _circulant(polynomial: int, order: int) -> np.ndarray:
    """Its m cyclic shifts u8[m m]."""
    row = np.array([polynomial >> place & 1 for place in range(order)], np.uint8)
    return np.stack([np.roll(row, shift) for shift in range(order)])


def _cyclic_rows(generator: int, length: int) -> np.ndarray:
    """The generator matrix of a cyclic code u8[k n]."""
    return _circulant(generator, length)[: length - generator.bit_length() + 1]


def _with_parity(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows, rows.sum(axis=1, keepdims=True, dtype=np.uint8) % 2], axis=1)


def _few(rows: np.ndarray, most: int) -> np.ndarray:
    """At most this many rows of the same code: sums of all, with the word of ones if it has it.

    Sums of all rows rather than the first ones: those would leave some bits equal to each other.
    """
    if len(rows) <= most:
        return rows
    ones = np.ones((1, rows.shape[1]), np.uint8)
    has_ones = len(_reduced(np.concatenate([rows, ones]))) == len(rows)
    rng = np.random.default_rng(0)
    best, largest = rows[:0], -1
    # Most draws of 12 rows have a pair of equal columns among 128; a few have none.
    for _ in range(300):
        some = (rng.integers(0, 2, (most, len(rows))) @ rows % 2).astype(np.uint8)
        if has_ones:
            some[0] = 1
        different = len(np.unique(some, axis=1).T)
        if different > largest and len(_reduced(some)) == most:
            best, largest = some, different
        if largest == rows.shape[1]:
            break
    return best


def _reduced(rows: np.ndarray) -> np.ndarray:
    """A generator matrix of the same code in reduced echelon form, without rows of zeros."""
    rows, rank = rows.copy(), 0
    for column in range(rows.shape[1]):
        pivots = np.flatnonzero(rows[rank:, column])
        if not len(pivots):
            continue
        rows[[rank, rank + pivots[0]]] = rows[[rank + pivots[0], rank]]
        others = rows[:, column].astype(bool)
        others[rank] = False
        rows[others] ^= rows[rank]
        rank += 1
    return rows[:rank]


def _span(rows: np.ndarray) -> np.ndarray:
    """All sums of the rows u8[k n]: u8[2^k n]."""
    words = np.zeros((1, rows.shape[1]), np.uint8)
    for row in rows:
        words = np.concatenate([words, words ^ row])
    return words


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, math.isqrt(number) + 1))
