"""A small tokenizer: control tokens, characters, common words, and the 256 bytes for everything else.

0..7 control   8..104 printable ASCII, newline, tab   105..299 words with their space   300..555 single bytes
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["END", "IMAGE", "SIZE", "SPOKEN", "START", "decode", "encode", "piece"]

END, START, IMAGE = 0, 1, 3
_FIRST_CHARACTER, _FIRST_WORD, _FIRST_BYTE = 8, 105, 300
SIZE = _FIRST_BYTE + 256

_WORDS = re.findall(
    r"\w+",
    """
    the of and to in is it you that he was for on are with as his they be at one have this from or had by hot
    word but what some we can out other were all there when up use your how said an each she which do their
    time if will way about many then them write would like so these her long make thing see him two has look
    more day could go come did number sound no most people my over know water than call first who may down
    side been now find any new work part take get place made live where after back little only round man year
    came show every good me give our under name very through just form sentence great think say help low line
    differ turn cause much mean before move right boy old too same tell does set three want air well also play
    small end put home read hand port large spell add even land here must big high such follow act why ask men
    change went light kind off need house picture try us again animal point mother world near build self earth
    father
    """,
)

_CHARACTERS = [chr(code) for code in range(32, 127)] + ["\n", "\t"]
_PIECES: list[bytes] = [b""] * SIZE
for _offset, _text in enumerate(_CHARACTERS):
    _PIECES[_FIRST_CHARACTER + _offset] = _text.encode()
for _offset, _text in enumerate(_WORDS[: _FIRST_BYTE - _FIRST_WORD]):
    _PIECES[_FIRST_WORD + _offset] = b" " + _text.encode()
for _offset in range(256):
    _PIECES[_FIRST_BYTE + _offset] = bytes([_offset])

_IDS = {bytes_.decode(): id_ for id_, bytes_ in enumerate(_PIECES[:_FIRST_BYTE]) if bytes_}
_SPLIT = re.compile(r" [a-z]+(?![a-zA-Z])|.", re.DOTALL)

SPOKEN = tuple(id_ for id_, bytes_ in enumerate(_PIECES[:_FIRST_BYTE]) if bytes_)
"""What the model says of its own accord: no control tokens and no halves of characters."""


def piece(token: int) -> bytes:
    """The bytes of one token; control tokens have none."""
    return _PIECES[token]


def decode(tokens: Sequence[int]) -> str:
    return b"".join(map(piece, tokens)).decode("utf-8", "replace")


@lru_cache(4096)
def encode(text: str) -> tuple[int, ...]:
    tokens: list[int] = []
    for part in _SPLIT.findall(text):
        known = _IDS.get(part)
        if known is not None:
            tokens.append(known)
            continue
        for character in part:
            known = _IDS.get(character)
            raw = character.encode("utf-8", "surrogatepass")
            tokens += [known] if known is not None else [_FIRST_BYTE + byte for byte in raw]
    return tuple(tokens)
