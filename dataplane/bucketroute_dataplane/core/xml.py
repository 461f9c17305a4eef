"""XML in and out, for documents of S3's size: whole, bounded, without DTD.

In: a tree of the standard library's elements, tags without their namespace. Document type
declarations (and with them every entity) and processing instructions are refused. Attributes and
text between elements carry nothing in S3's documents; `write` leaves them out.
Out: strings, escaped so that every character of a key survives.
Source: XML 1.0 (Fifth Edition) §2.2 and §4.6; AWS "Error responses".
"""

from __future__ import annotations

import re
from itertools import chain
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from bucketroute_dataplane.core.errors import S3Error

MiB = 1024 * 1024
MAX_DOCUMENT_BYTES = 16 * MiB  # a page of 1,000 versions with 1 KiB keys, encoded, is below 8 MiB
MAX_ELEMENTS = 100_000  # ten times what a page of 1,000 entries holds
MAX_DEPTH = 16  # S3's deepest document has six levels

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
_root_with_namespace = re.compile(
    rb'\s*(?:<\?xml[^>]*\?>\s*)?<\w+( xmlns="http://s3\.amazonaws\.com/doc/2006-03-01/")'
).match
_special = re.compile("[&<>\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_find_special = _special.search
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class XMLSyntaxError(ValueError):
    """The document is not well-formed, too large, or uses what S3's documents never do."""


class _Builder(TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise XMLSyntaxError("a document type declaration is not allowed")

    def pi(self, target: str, text: str | None = None) -> Element:
        raise XMLSyntaxError("a processing instruction is not allowed")


def parse(document: bytes, *, limit_bytes: int = MAX_DOCUMENT_BYTES) -> Element:
    """The root element.

    Raises: XMLSyntaxError.
    """
    # Counting `<` bounds the elements before a single one is made of a hostile document.
    if len(document) > limit_bytes or document.count(b"<") > 2 * MAX_ELEMENTS:
        raise XMLSyntaxError("the document is too large")
    # Nearly every document declares S3's namespace once; without it no tag needs to be cut.
    if found := _root_with_namespace(document):
        document = document[: found.start(1)] + document[found.end(1) :]
    parser = XMLParser(target=_Builder())  # noqa: S314 - no DTD gets past the builder
    try:
        parser.feed(document)
        root: Element = parser.close()
    except (ParseError, ValueError, LookupError) as exc:
        raise XMLSyntaxError(str(exc)) from exc
    if b"xmlns" in document:
        for element in root.iter():
            element.tag = element.tag[element.tag.rfind("}") + 1 :]
    _check_depth(root)
    return root


def _check_depth(root: Element) -> None:
    level = [root]
    for _ in range(MAX_DEPTH):
        level = list(chain.from_iterable(level))
        if not level:
            return
    raise XMLSyntaxError("the document is nested too deeply")


def escape(text: str) -> str:
    """Text as element content.

    A control character becomes a numeric reference, as S3 writes it: XML 1.0 has no form for most
    of them, which is what encoding-type=url is for. A byte that was no UTF-8 becomes U+FFFD.
    """
    return _special.sub(_reference, text) if _find_special(text) else text


def _reference(match: re.Match[str]) -> str:
    char = match[0]
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    return _NAMED.get(char) or f"&#x{ord(char):x};"


def leaf(tag: str, text: str) -> str:
    """An element that holds text only."""
    return f"<{tag}>{escape(text)}</{tag}>"


def write(element: Element) -> str:
    """An element and all below it, on one line."""
    tag = element.tag
    if len(element):
        return f"<{tag}>{''.join([write(child) for child in element])}</{tag}>"
    text = element.text or ""
    # `escape` in place: this line runs for every field of every entry of a list page.
    return f"<{tag}>{_special.sub(_reference, text) if _find_special(text) else text}</{tag}>"


def document(root: str, inner: str) -> bytes:
    """A document in S3's namespace; `inner` is written already."""
    return f'{_DECLARATION}<{root} xmlns="{_XMLNS}">{inner}</{root}>'.encode()


def error_document(error: S3Error, *, resource: str, request_id: str) -> bytes:
    """The body of an error response, which has no namespace."""
    return write_error(
        [("Code", error.code), ("Message", error.message), *error.fields.items()],
        resource=resource,
        request_id=request_id,
    )


def write_error(fields: list[tuple[str, str]], *, resource: str, request_id: str) -> bytes:
    """An error document of these fields, then the resource and the request ID."""
    last = [("Resource", resource), ("RequestId", request_id)]
    inner = "".join([leaf(tag, text) for tag, text in [*fields, *last]])
    return f"{_DECLARATION}<Error>{inner}</Error>".encode()
