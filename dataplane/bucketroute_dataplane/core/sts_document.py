"""The XML documents of an STS: credentials or an error, read with expat, no DTD, no entities."""

from __future__ import annotations

from dataclasses import dataclass
from xml.parsers import expat

# The answers of AWS, MinIO, Ceph and moto are at most five levels deep.
_MAX_DEPTH = 16

_CREDENTIALS = "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/"
# Query-protocol services wrap the error; S3 dialects answer it bare when the path is S3's.
_ERRORS = ("ErrorResponse/Error/", "Error/")


class StsDocumentError(Exception):
    """The body is no document of an STS. The message holds nothing of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StsDocument:
    """Either an error (`error_code` is not None) or the text of each element of `Credentials`."""

    credentials: dict[str, str]
    error_code: str | None = None
    error_message: str = ""

    def __repr__(self) -> str:
        return f"StsDocument(error_code={self.error_code!r})"


class _Leaves:
    """Collects the text of every element by its path of local names."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._path: list[str] = []
        self._text: list[str] = []

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        if len(self._path) >= _MAX_DEPTH:
            raise StsDocumentError("XML that is nested too deep")
        self._path.append(name.rpartition(" ")[2])
        self._text = []

    def text(self, text: str) -> None:
        self._text.append(text)

    def end(self, _name: str) -> None:
        path = "/".join(self._path)
        if path in self.texts and path.startswith((_CREDENTIALS, *_ERRORS)):
            raise StsDocumentError("an XML element that stands twice")
        self.texts[path] = "".join(self._text).strip()
        self._path.pop()
        self._text = []


def parse_sts_document(body: bytes) -> StsDocument:
    """Read an answer's body. Namespaces are not compared: every STS but AWS's has its own.

    Raises: StsDocumentError if it is neither credentials nor an error.
    """
    leaves = _Leaves()
    # The encoding is fixed, so that no document chooses a codec; expat puts the space between a
    # namespace and the local name.
    parser = expat.ParserCreate("utf-8", " ")
    parser.StartElementHandler = leaves.start
    parser.EndElementHandler = leaves.end
    parser.CharacterDataHandler = leaves.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise StsDocumentError(f"a body that is not XML ({reason})") from None
    for root in _ERRORS:
        code = leaves.texts.get(f"{root}Code")
        if code is not None:
            message = leaves.texts.get(f"{root}Message", "")
            return StsDocument(credentials={}, error_code=code, error_message=message)
    fields = {
        path.removeprefix(_CREDENTIALS): text
        for path, text in leaves.texts.items()
        if path.startswith(_CREDENTIALS)
    }
    if not fields:
        raise StsDocumentError("XML that is neither credentials nor an error")
    return StsDocument(credentials=fields)


def _refuse_doctype(
    _name: str, _system_id: str | None, _public_id: str | None, _has_subset: bool
) -> None:
    raise StsDocumentError("a document type declaration")
