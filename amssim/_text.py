"""Text out of files, made fit to be shown: a tensor's name may hold anything."""

from __future__ import annotations

_MOST, _ENDS = 600, 20


def shown(text: str) -> str:
    r"""Return ``text`` with everything that is not printable escaped.

    >>> print(shown("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def is_unicode(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8; names of files may hold bytes that cannot.

    >>> is_unicode("größe"), is_unicode("\\udcff")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def brief(sentence: str) -> str:
    """Return ``sentence`` with words of hundreds of characters cut in the middle.

    >>> brief("the path " + "x" * 5000)
    'the path xxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxx'
    """
    words = sentence.split(" ")
    return " ".join(w if len(w) <= _MOST else f"{w[:_ENDS]}...{w[-_ENDS:]}" for w in words)


def tail(name: str, width: int = 30) -> str:
    """Return the end of a long name, which tells tensors apart, printable.

    >>> tail("model.layers.0.mlp.down_proj.weight", 19)
    '...down_proj.weight'
    """
    name = shown(name)
    return name if len(name) <= width else "..." + name[3 - width :]
